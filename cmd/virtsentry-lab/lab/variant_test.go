package lab

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recipes is the source tree's packaging/lab.
const recipesDir = "../../../packaging/lab"

// machine is what of a definition differs between variants.
type machine struct {
	VCPUs int `xml:"vcpu"`
	Type  struct {
		Machine string `xml:"machine,attr"`
	} `xml:"os>type"`
	Cmdline string `xml:"os>cmdline"`
	Disk    struct {
		Dev string `xml:"dev,attr"`
		Bus string `xml:"bus,attr"`
	} `xml:"devices>disk>target"`
	NIC struct {
		Type string `xml:"type,attr"`
	} `xml:"devices>interface>model"`
	NICDriver *struct {
		Name string `xml:"name,attr"`
	} `xml:"devices>interface>driver"`
}

func TestVariantXML(t *testing.T) {
	l := testLab(t)
	for _, tt := range []struct {
		variant string
		vcpus   int
		machine string
		disk    string // dev and bus
		nic     string
	}{
		{"", 1, "q35", "vda virtio", "virtio"},
		{"q35", 1, "q35", "vda virtio", "virtio"},
		{"i440fx", 1, "pc", "vda virtio", "virtio"},
		{"emulated", 1, "q35", "sda sata", "e1000e"},
		{"smp2", 2, "q35", "vda virtio", "virtio"},
		{"trixie", 1, "q35", "vda virtio", "virtio"},
		{"database", 1, "q35", "vda virtio", "virtio"},
		{"mail", 1, "q35", "vda virtio", "virtio"},
	} {
		text, err := l.guestXML(&state{}, GuestDef{Name: "web", Addr: WebAddr, MemoryMiB: 768, Variant: tt.variant})
		if err != nil {
			t.Errorf("variant %q: %v", tt.variant, err)
			continue
		}
		var got machine
		if err := xml.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("variant %q: %v", tt.variant, err)
			continue
		}
		if got.VCPUs != tt.vcpus || got.Type.Machine != tt.machine || got.Disk.Dev+" "+got.Disk.Bus != tt.disk || got.NIC.Type != tt.nic {
			t.Errorf("variant %q: %+v, want %+v", tt.variant, got, tt)
		}
		if root := "root=/dev/" + got.Disk.Dev + " "; !strings.HasPrefix(got.Cmdline, root) {
			t.Errorf("variant %q: command line %q does not begin with %q", tt.variant, got.Cmdline, root)
		}
		// Without it libvirt may choose vhost-net, which hides a virtio card; other cards know no such choice.
		if (got.NICDriver != nil) != (tt.nic == "virtio") {
			t.Errorf("variant %q: driver of the network card %v", tt.variant, got.NICDriver)
		}
	}
}

func TestUnknownVariant(t *testing.T) {
	l := testLab(t)
	cfg := Config{Variant: "pdp11"}.withDefaults()
	_, xmlErr := l.guestXML(&state{}, GuestDef{Name: "a", Addr: WebAddr, Variant: "pdp11"})
	for what, err := range map[string]error{
		"configuration": cfg.check(),
		"definition":    l.define(t.Context(), &state{}, GuestDef{Name: "a", Variant: "pdp11"}),
		"XML":           xmlErr,
	} {
		for _, want := range append(VariantNames(), `"pdp11"`) {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v does not name %s", what, err, want)
			}
		}
	}
}

func TestVariantWantsItsImage(t *testing.T) {
	l := testLab(t)
	for _, tt := range []struct{ variant, recipe string }{{"emulated", ""}, {"trixie", "emulated"}, {"q35", "trixie"}, {"database", "emulated"}} {
		err := l.define(t.Context(), &state{Recipe: tt.recipe}, GuestDef{Name: "a", Variant: tt.variant})
		if err == nil || !strings.Contains(err.Error(), "another image") || !strings.Contains(err.Error(), "--variant "+tt.variant) {
			t.Errorf("variant %s on the image of %q: error %v, want one that says what to do", tt.variant, tt.recipe, err)
		}
	}
}

func TestVariantsAreWhole(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range Variants() {
		if seen[v.Name] || v.About == "" {
			t.Errorf("variant %q: there twice, or says nothing of itself", v.Name)
		}
		seen[v.Name] = true
		if !labName.MatchString("virtsentry-lab-" + v.Name) {
			t.Errorf("variant %q: a lab cannot be named after it", v.Name)
		}
		if s, ok := services[v.service]; !ok || s.load == nil || s.answers == nil || s.what == "" {
			t.Errorf("variant %q: service %q is not one", v.Name, v.service)
		}
		recipe := v.recipe()
		if v.image != "" {
			recipe = append(recipe, "packaging/lab/variants/"+v.image+"/adapt")
		}
		for _, script := range recipe {
			if info, err := os.Stat(filepath.Join(recipesDir, "../..", script)); strings.Contains(script, "/") && (err != nil || info.Mode()&0o111 == 0) {
				t.Errorf("variant %q: %s cannot be run: %v", v.Name, script, err)
			}
		}
	}
}

// A recipe that changes must not leave a variant's changes of it without effect.
func TestAdaptedRecipes(t *testing.T) {
	script := func(name string) string {
		path, err := filepath.Abs(filepath.Join(recipesDir, "variants", name, "adapt"))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		variant string
		changed map[string]string // file and what it now contains
		gone    map[string]string
	}{
		{"emulated", map[string]string{
			"packages": "\nlinux-image-amd64\n|linux-image-amd64\n", "initrd/modules": "\ne1000e\nahci\n", "initrd/init": "\nmodprobe -a -q crc32c_generic ext4 button\n",
		}, map[string]string{"packages": "linux-image-cloud-amd64"}},
		{"trixie", map[string]string{"assemble": "VERSION_CODENAME=trixie", "assemble.default": "debootstrap", "rootfs/etc/locale.conf": ""}, nil},
		{"mail", map[string]string{"packages": "\npostfix\ndovecot-pop3d\n", "rootfs/etc/postfix/main.cf": "home_mailbox"}, nil},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(recipesDir, "image"))); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), script(tt.variant))
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", tt.variant, err, out)
			continue
		}
		for file, want := range tt.changed {
			text, err := os.ReadFile(filepath.Join(dir, file))
			ok := false
			for _, w := range strings.Split(want, "|") {
				ok = ok || strings.Contains(string(text), w)
			}
			if err != nil || !ok {
				t.Errorf("%s: %s (%v) lacks %q", tt.variant, file, err, want)
			}
		}
		for file, not := range tt.gone {
			if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || strings.Contains(string(text), not) {
				t.Errorf("%s: %s (%v) still has %q", tt.variant, file, err, not)
			}
		}
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(recipesDir, "variants", "build"), "pdp11").CombinedOutput()
	if diff := cmp.Diff("usage: build VARIANT, one of: emulated mail trixie\n", string(out)); err == nil || diff != "" {
		t.Errorf("build of an unknown variant: %v, (-want +got):\n%s", err, diff)
	}
}
