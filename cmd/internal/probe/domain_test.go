package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

const statusText = `<!-- WARNING: THIS IS AN AUTO-GENERATED FILE. -->
<domstatus state='running' reason='booted' pid='4321'>
  <monitor path='/var/lib/libvirt/qemu/domain-1-web/monitor.sock' type='unix'/>
  <vcpus><vcpu id='0' pid='4330'/></vcpus>
  <domain type='qemu' id='1'>
    <name>web</name>
    <uuid>` + webUUID + `</uuid>
    <metadata><x:uuid xmlns:x='urn:x'>` + dbUUID + `</x:uuid></metadata>
    <devices>
      <emulator>/bin/sh</emulator>
      <interface type='network'><source network='lab'/><target dev='lo'/><model type='virtio'/></interface>
      <interface type='user'><model type='e1000'/></interface>
      <interface type='bridge'><target dev='no-such-tap'/></interface>
    </devices>
  </domain>
</domstatus>
`

// tree makes libvirt's and the kernel's files of one domain.
func tree(t *testing.T, name, text string) Domains {
	t.Helper()
	d := Domains{RunDir: t.TempDir(), ProcDir: t.TempDir()}
	for path, text := range map[string]string{
		filepath.Join(d.RunDir, "qemu", name+".xml"):   text,
		filepath.Join(d.RunDir, "qemu", "garbage.xml"): "<domstatus",
		filepath.Join(d.RunDir, "qemu", name+".pid"):   "4321\n",
		filepath.Join(d.ProcDir, "uptime"):             "100.00 1.0\n",
		filepath.Join(d.ProcDir, "4321", "stat"):       "4321 (qemu) S" + strings.Repeat(" 7", 18) + " 9999 8\n",
		filepath.Join(d.ProcDir, "4321", "cmdline"):    "qemu\x00-uuid\x00" + webUUID + "\x00",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestFind(t *testing.T) {
	want := Target{
		UUID: webUUID, Name: "web", Process: qemu.Process{PID: 4321, Start: 9999}, Executable: "/bin/sh",
		Others: []string{"lo: is no tap device", `"no-such-tap": there is no such device in the helper's network namespace`},
	}
	d := tree(t, "web", statusText)
	for _, uuid := range []string{webUUID, strings.ToUpper(webUUID)} {
		got, err := d.Find(uuid)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return (a == nil) == (b == nil) })); diff != "" || err != nil {
			t.Errorf("Find(%s): %v (-want +got):\n%s", uuid, err, diff)
		}
		if !d.Alive(got) || d.Alive(Target{Process: qemu.Process{PID: 4321, Start: 1}}) {
			t.Error("Alive does not tell this process from another with its PID")
		}
	}
}

func TestFindNot(t *testing.T) {
	for name, test := range map[string]struct {
		name, old, new, uuid, want string
	}{
		"unknown":              {"web", "", "", "22222222-cdaf-9455-926a-d65c16db1809", "no such domain"},
		"only in metadata":     {"web", "", "", dbUUID, "no such domain"},
		"path":                 {"web", "", "", "../../../etc/passwd", "no UUID"},
		"name":                 {"web", "", "", "web", "no UUID"},
		"empty":                {"web", "", "", "", "no UUID"},
		"UUID and more":        {"web", "", "", webUUID + "/..", "no UUID"},
		"long":                 {"web", "", "", strings.Repeat("a", 1<<20), "no UUID"},
		"name of another file": {"other", "", "", webUUID, "no such domain"},
		"other process":        {"web", "pid='4321'", "pid='1'", webUUID, "names process 1"},
		"no process":           {"web", "pid='4321'", "", webUUID, "names process 0"},
		"negative process":     {"web", "pid='4321'", "pid='-4'", webUUID, "no such domain"},
		"cut short":            {"web", "</domstatus>", "", webUUID, "web.xml"},
		"deep":                 {"web", "<vcpus>", "<vcpus>" + strings.Repeat("<a>", 1000), webUUID, "deep"},
		"no root element":      {"web", "domstatus", "domain", webUUID, "no such domain"},
		"too long":             {"web", "<vcpus>", "<vcpus>" + strings.Repeat(" ", 5<<20), webUUID, "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			text := statusText
			if test.old != "" {
				text = strings.ReplaceAll(text, test.old, test.new)
			}
			if _, err := tree(t, test.name, text).Find(test.uuid); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Find: %v; want %q", err, test.want)
			}
		})
	}
	if _, err := (Domains{RunDir: t.TempDir()}).Find(webUUID); err == nil || !strings.Contains(err.Error(), "--run-dir") {
		t.Errorf("Find without libvirt: %v", err)
	}
}

// TestStatusFile: what root has not written is not read, and nothing is waited for.
func TestStatusFile(t *testing.T) {
	replace := func(make func(path string) error) error {
		d := tree(t, "web", statusText)
		path := filepath.Join(d.RunDir, "qemu", "web.xml")
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		_, err := d.Find(webUUID)
		return err
	}
	for name, test := range map[string]struct {
		make func(path string) error
		want string
	}{
		"writable by all": {func(p string) error { return os.Chmod(p, 0o666) }, "written by others"},
		"FIFO":            {func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)) }, "no regular file"},
		"directory":       {func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, "no regular file"},
		"link":            {func(p string) error { return errors.Join(os.Rename(p, p+"2"), os.Symlink(p+"2", p)) }, "symbolic links"},
	} {
		if err := replace(test.make); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", name, err, test.want)
		}
	}
	if isRoot() {
		if err := replace(func(p string) error { return os.Chown(p, 4321, 0) }); err == nil || !strings.Contains(err.Error(), "not to root") {
			t.Errorf("another user's: %v", err)
		}
	}
}

func TestExecutable(t *testing.T) {
	d := tree(t, "web", statusText)
	q := qemu.Process{PID: 4321} // began when the made-up host did, 100 seconds ago
	dir := t.TempDir()
	file := filepath.Join(dir, "qemu")
	if err := os.WriteFile(file, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.WriteFile(open, nil, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/bin/sh": "", "": "no absolute path", "bin/sh": "no absolute path", "/no/such": "no such file", dir: "no regular file", open: "written by others",
		file: "was replaced",
	} {
		err := d.checkExecutable(q, path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", path, err, want)
		}
	}
}

func TestTargetChanged(t *testing.T) {
	a, b := Device{"vnet0", 3}, Device{"vnet1", 4}
	for _, test := range []struct {
		before, now []Device
		want        bool
	}{
		{nil, nil, false}, {[]Device{a, b}, []Device{b, a}, false}, {[]Device{a}, nil, true}, {[]Device{a}, []Device{a, b}, true}, {[]Device{a}, []Device{{"vnet0", 9}}, true},
	} {
		if got := (Target{Taps: test.before}).changed(Target{Taps: test.now}); got != test.want {
			t.Errorf("%v to %v: %v", test.before, test.now, got)
		}
	}
}

// TestLinks: every network namespace has a loop device, which is no tap device.
func TestLinks(t *testing.T) {
	all, err := links()
	if l := all["lo"]; err != nil || l.index != 1 || l.tap() {
		t.Errorf("lo: %+v, %v", l, err)
	}
	for _, test := range []struct {
		link
		want bool
	}{
		{link{kind: "tun", tun: unix.IFF_TAP}, true}, {link{kind: "tun", tun: unix.IFF_TUN}, false}, {link{kind: "tun"}, true}, {link{kind: "macvtap"}, true},
		{link{kind: "veth"}, false}, {link{}, false},
	} {
		if got := test.tap(); got != test.want {
			t.Errorf("%+v: %v", test.link, got)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(statusText))
	f.Add([]byte("<domstatus pid='1'><domain><name>a</name><uuid>b</uuid></domain></domstatus>"))
	f.Add([]byte("<!DOCTYPE a [<!ENTITY b 'c'>]><domstatus>&b;</domstatus>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseStatus(text)
		if err == nil && (s.Domain.Name == "" || s.Domain.UUID == "") {
			t.Errorf("%+v", s)
		}
		_ = fmt.Sprint(s.taps())
	})
}

func FuzzLinks(f *testing.F) {
	f.Add([]byte("\x08\x00\x01\x00\x00\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseLinks(b)
		_, _ = parseAttributes(b)
	})
}
