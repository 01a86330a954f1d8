package lab

import (
	"context"
	"encoding/xml"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testLab(t *testing.T) *Lab {
	t.Helper()
	l, err := Open(filepath.Join(t.TempDir(), "virtsentry-lab-unit"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOpenRefusesWhatIsNotALabs(t *testing.T) {
	for dir, ok := range map[string]bool{
		"":                           true, // the default
		"/run/virtsentry-lab":        true,
		"/run/virtsentry-lab/":       true,
		"/run/virtsentry-lab-b":      true,
		"/run":                       false,
		"/":                          false,
		"virtsentry-lab":             false,
		"/run/virtsentry-lab/..":     false,
		"/run/virtsentry-lab-A":      false,
		"/run/virtsentry-lab-a b":    false,
		"/run/virtsentry-laboratory": false,
	} {
		l, err := Open(dir, nil)
		if (err == nil) != ok {
			t.Errorf("Open(%q): error %v, want success %v", dir, err, ok)
		}
		if err == nil && !strings.HasPrefix(l.Netns(), "virtsentry-lab") {
			t.Errorf("Open(%q): namespace %q is not a lab's", dir, l.Netns())
		}
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"defaults", Config{}, true},
		{"guest with a path", Config{Guest: "../x"}, false},
		{"guest too long", Config{Guest: strings.Repeat("a", 32)}, false},
		{"too little memory", Config{MemoryMiB: 64}, false},
		{"unknown accelerator", Config{Accel: "hvf"}, false},
		{"the modular daemon", Config{Daemon: "virtqemud"}, true},
		{"a daemon by its path", Config{Daemon: "/opt/libvirt/sbin/virtqemud"}, true},
		{"another daemon", Config{Daemon: "/usr/sbin/virtlxcd"}, false},
		{"a daemon by a relative path", Config{Daemon: "./libvirtd"}, false},
	} {
		if err := tt.cfg.withDefaults().check(); (err == nil) != tt.ok {
			t.Errorf("%s: error %v, want success %v", tt.name, err, tt.ok)
		}
	}
}

// domain is what the test wants to see of a definition.
type domain struct {
	Type     string `xml:"type,attr"`
	UUID     string `xml:"uuid"`
	Cmdline  string `xml:"os>cmdline"`
	Emulator string `xml:"devices>emulator"`
	Disk     struct {
		Cache string `xml:"cache,attr"`
		IO    string `xml:"io,attr"`
	} `xml:"devices>disk>driver"`
	MAC struct {
		Address string `xml:"address,attr"`
	} `xml:"devices>interface>mac"`
	Net struct {
		Name string `xml:"name,attr"`
	} `xml:"devices>interface>driver"`
	Tap struct {
		Dev string `xml:"dev,attr"`
	} `xml:"devices>interface>target"`
}

func TestGuestXML(t *testing.T) {
	l := testLab(t)
	read := func(st *state, g GuestDef) (dom domain) {
		t.Helper()
		text, err := l.guestXML(st, g)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal([]byte(text), &dom); err != nil {
			t.Fatal(err)
		}
		return dom
	}
	tcg := read(&state{QEMU: "/q/<&'>/qemu", Accel: "tcg"}, GuestDef{Name: "web", Addr: WebAddr, MemoryMiB: 768})
	want := domain{
		Type: "qemu", UUID: "4798bd8a-2e0a-5e91-948f-20bccb3d6d1a", Emulator: "/q/<&'>/qemu",
		Cmdline: "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 ip=10.77.0.10::10.77.0.1:255.255.255.0:web:eth0:off",
	}
	want.Disk.Cache, want.Disk.IO = "none", "native"
	want.MAC.Address, want.Net.Name, want.Tap.Dev = "52:54:00:4d:00:0a", "qemu", "vs-web"
	if diff := cmp.Diff(want, tcg); diff != "" {
		t.Errorf("guest definition (-want +got):\n%s", diff)
	}
	kvm := read(&state{Accel: "kvm"}, GuestDef{Name: "web", Addr: WebAddr, MemoryMiB: 768})
	if kvm.UUID != tcg.UUID || kvm.Type != "kvm" {
		t.Errorf("the same guest under KVM: type %s, UUID %s; want kvm, %s", kvm.Type, kvm.UUID, tcg.UUID)
	}
	vhost := read(&state{Accel: "tcg"}, GuestDef{Name: "web", Addr: WebAddr, MemoryMiB: 768, Driver: DriverVhost})
	if vhost.Net.Name != "vhost" {
		t.Errorf("with vhost-net the card's driver is %q", vhost.Net.Name)
	}
	long := read(&state{}, GuestDef{Name: "a-name-too-long-for-a-tap", Addr: WebAddr, MemoryMiB: 768})
	if len(long.Tap.Dev) > 15 {
		t.Errorf("tap device %q is longer than the kernel allows", long.Tap.Dev)
	}
}

func TestURI(t *testing.T) {
	l := testLab(t)
	for daemon, want := range map[string]string{
		"":                         "qemu:///system?socket=" + l.dir + "/libvirt/libvirt-sock",
		"libvirtd":                 "qemu:///system?socket=" + l.dir + "/libvirt/libvirt-sock",
		"/usr/local/bin/virtqemud": "qemu:///system?mode=direct&socket=" + l.dir + "/libvirt/virtqemud-sock",
	} {
		if err := l.saveState(&state{Daemon: daemon}); err != nil {
			t.Fatal(err)
		}
		if got := l.URI(); got != want {
			t.Errorf("daemon %q: URI %s, want %s", daemon, got, want)
		}
	}
}

func TestRenderWantsAllValues(t *testing.T) {
	if text, err := render("libvirtd.conf", map[string]any{"SocketDir": "/x"}); err == nil {
		t.Errorf("a missing value went unnoticed:\n%s", text)
	}
}

func TestChooseAddr(t *testing.T) {
	addr := netip.MustParseAddr
	have := []GuestDef{{Name: "web", Addr: WebAddr}, {Name: "b", Addr: addr("10.77.0.11")}}
	for _, tt := range []struct {
		name string
		have []GuestDef
		g    GuestDef
		want string // "" for an error
	}{
		{"the default guest's own", nil, GuestDef{Name: "web"}, "10.77.0.10"},
		{"another leaves that free", nil, GuestDef{Name: "b"}, "10.77.0.11"},
		{"the next free one", have, GuestDef{Name: "c"}, "10.77.0.12"},
		{"a wanted one", have, GuestDef{Name: "c", Addr: addr("10.77.0.77")}, "10.77.0.77"},
		{"taken", have, GuestDef{Name: "c", Addr: addr("10.77.0.11")}, ""},
		{"the bridge's", have, GuestDef{Name: "c", Addr: HostAddr}, ""},
		{"broadcast", have, GuestDef{Name: "c", Addr: addr("10.77.0.255")}, ""},
		{"another net's", have, GuestDef{Name: "c", Addr: addr("10.78.0.2")}, ""},
		{"not IPv4", have, GuestDef{Name: "c", Addr: addr("fe80::1")}, ""},
	} {
		got, err := chooseAddr(tt.have, tt.g)
		if (err == nil) != (tt.want != "") || (err == nil && got.String() != tt.want) {
			t.Errorf("%s: got %v, %v; want %q", tt.name, got, err, tt.want)
		}
	}
	var full []GuestDef
	for a := WebAddr; a.As4()[3] < 255; a = a.Next() {
		full = append(full, GuestDef{Addr: a})
	}
	if got, err := chooseAddr(full, GuestDef{Name: "z"}); err == nil {
		t.Errorf("a full subnet gave %v", got)
	}
}

func TestStateKeepsAndForgets(t *testing.T) {
	l := testLab(t)
	st, err := l.loadState()
	if err != nil {
		t.Fatal(err)
	}
	st.NetnsIno = 7
	st.setProc(Proc{Name: "a", PID: 1})
	st.setProc(Proc{Name: "b", PID: 2})
	st.setProc(Proc{Name: "a", PID: 3})
	st.dropProc("b")
	st.dropProc("nobody")
	st.Guests = []GuestDef{{Name: "web", Addr: WebAddr, MemoryMiB: 768}}
	if err := l.saveState(st); err != nil {
		t.Fatal(err)
	}
	got, err := l.loadState()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(st, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("state read back (-want +got):\n%s", diff)
	}
	// After a boot PIDs and inodes are other processes' and namespaces'.
	st.Boot = "an earlier one"
	if err := l.saveState(st); err != nil {
		t.Fatal(err)
	}
	if got, err = l.loadState(); err != nil || got.Procs != nil || got.NetnsIno != 0 || len(got.Guests) != 1 {
		t.Errorf("state of an earlier boot: %+v, %v; want guests alone", got, err)
	}
	if err := os.WriteFile(l.statePath(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.loadState(); err == nil {
		t.Error("a broken state file went unnoticed")
	}
}

func TestLockExcludes(t *testing.T) {
	l := testLab(t)
	unlock, err := l.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.tryLock("change"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the lock was to be had twice: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.lock(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a lock in vain: %v", err)
	}
	unlock()
	unlock, err = l.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestMakeDirRefusesOthers(t *testing.T) {
	l := testLab(t)
	if err := os.WriteFile(l.path("precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.makeDir(); err == nil {
		t.Error("a directory with something in it was taken for the lab's")
	}
	if err := os.Remove(l.path("precious")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.makeDir(), l.makeDir()); err != nil {
		t.Error(err)
	}
}

func TestCheckTools(t *testing.T) {
	err := checkTools("virtqemud", func(name string) (string, error) {
		if strings.HasPrefix(name, "lttng") || name == "nmap" || name == "virtqemud" {
			return "", errors.New("not there")
		}
		return "/bin/" + name, nil
	})
	want := "programs missing: virtqemud, lttng, lttng-sessiond, nmap; on Debian: apt-get install libvirt-daemon lttng-tools nmap"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
