package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	denyLines = "# silence refusals\n  deny /dev/shm/lttng-ust-wait-* r,\n  deny /run/shm/lttng-ust-wait-* r,\n"
	stockMaps = "55d0-55d1 r-xp 00000000 fe:01 77 /usr/bin/qemu-system-x86_64\n"
	vhostArgs = `-netdev {"type":"tap","fd":"33","vhost":true,"vhostfd":"35","id":"hostnet0"}` +
		` -device {"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"52:54:00:4d:00:0a","bus":"pci.1","addr":"0x0"}`
)

var errNoHelper = fmt.Errorf("probe: %w", probe.ErrNoHelper)

func withArmour(h *host, rules, local string) {
	h.write(armourEnabled, "Y\n")
	h.write(abstraction, rules)
	if local != "" {
		h.write(localRules, local)
	}
	h.write(ofProcess(webPID, "attr/apparmor/current"), "libvirt-"+webUUID+" (enforce)\n")
}

func stock(h *host) {
	h.write(ofProcess(webPID, "maps"), stockMaps)
	h.executable("/usr/bin/qemu-system-x86_64", "libc.so.6")
	h.domains[0].State, h.domains[0].Coverage, h.domains[0].Reason = "blind", "none", &control.Reason{Code: "no-trace-points", Text: "QEMU has not registered with LTTng"}
	h.domains[0].Ledger = control.Ledger{}
}

// cases are hosts with one fault each, and the findings on them in testdata/NAME.txt. Here stands what must be in them: check and status.
var cases = map[string]struct {
	change func(*host)
	want   string
}{
	"healthy":         {func(*host) {}, ""},
	"stock-qemu":      {func(h *host) { stock(h); h.helper = errNoHelper }, "virtsentry-probe warning, trace-points problem, state problem"},
	"stock-qemu-seen": {stock, "trace-points warning, state problem"},
	"hanging-helper":  {func(h *host) { h.helper = errors.New("probe: ask: context deadline exceeded") }, "virtsentry-probe problem"},
	"refusing-helper": {func(h *host) {
		h.helper = fmt.Errorf("probe: %w", probe.ErrRefused)
	}, "virtsentry-probe unknown"},
	"helper-not-wanted": {func(h *host) {
		h.helper = errNoHelper
		h.write("/etc/virtsentry/virtsentry.toml", "[sources]\nuse = [\"ust\"]\n")
		h.remove(bpfSetting)
	}, ""},
	"no-ebpf": {func(h *host) { stock(h); h.remove(bpfSetting) }, "ebpf warning, trace-points problem, state problem"},
	"old-kernel": {func(h *host) {
		h.write(kernelRelease, "5.4.0-1\n")
		h.helper = errNoHelper
	}, "virtsentry-probe warning, ebpf warning"},
	"locked-down": {func(h *host) {
		h.write(lockdownFile, "none integrity [confidentiality]\n")
		stock(h)
		h.guest("web", webUUID, webPID, strings.Split(vhostArgs, " ")...)
		stock(h)
	}, "ebpf warning, trace-points problem, state problem"},
	"older-kernel": {func(h *host) {
		h.write(kernelRelease, "6.1.0-40-amd64\n")
		stock(h)
	}, "ebpf warning, trace-points problem, state problem"},
	"garbled-kernel": {func(h *host) { h.write(kernelRelease, "\x1b[31mnew\n") }, "ebpf unknown"},
	"no-tracefs": {func(h *host) {
		h.remove(tracefsEvents)
		h.guest("web", webUUID, webPID, "-machine", "pc-q35-7.2,usb=off,accel=kvm")
	}, "tracefs warning"},
	"vhost-net-seen": {func(h *host) {
		h.guest("web", webUUID, webPID, append(strings.Split(vhostArgs, " "), "-accel", "kvm")...)
		h.link(ofProcess(webPID, "fd/35"), "/dev/vhost-net")
	}, ""},
	"ust-of-a-library": {func(h *host) { h.executable("/usr/bin/qemu-system-x86_64", "libc.so.6") }, "trace-points warning"},
	"not-yet-mapped":   {func(h *host) { h.write(ofProcess(webPID, "maps"), stockMaps) }, "trace-points unknown"},
	"no-session-daemon": {func(h *host) {
		h.remove(lttngDir)
		h.remove("/run/lttng")
	}, "session-daemon problem, registered problem"},
	"dead-session-daemon": {func(h *host) { h.listens = nil }, "session-daemon problem, registered problem"},
	"not-roots-session-daemon": {func(h *host) {
		h.listens[lttngDir+"/lttng-ust-sock-8"] = Peer{PID: sessiondPID, UID: 1000}
	}, "session-daemon problem"},
	"abi-0-of-1": { // QEMU of 2.12, session daemon of 2.13: taken
		func(h *host) {
			h.write(ofProcess(webPID, "maps"), "7f00-7f10 r--p 00000000 fe:01 99 /usr/lib/liblttng-ust.so.0.0.0\n")
		}, ""},
	"abi-1-of-0": { // QEMU of 2.13, session daemon of 2.12
		func(h *host) { h.executable(ofProcess(sessiondPID, "exe"), "liblttng-ust-ctl.so.4") }, "ust-abi problem"},
	"abi-2.14-of-2.13": {func(h *host) {
		h.write(ofProcess(webPID, "map_files/7f00-7f10"), "lttng-ust-sock-8\x00LTTNG_UST_APP_PATH\x00")
	}, "ust-abi problem"},
	"abi-2.15-of-2.13": {func(h *host) {
		h.write(ofProcess(webPID, "map_files/7f00-7f10"), "lttng-ust-sock-11\x00LTTNG_UST_APP_PATH\x00")
	}, "ust-abi problem"},
	"abi-2.13-of-2.15": {func(h *host) {
		h.write(lttngDir+"/lttng-ust-sock-11", "") // that of 8 was left behind
		h.write("/dev/shm/lttng-ust-wait-11", "")
		h.listens = map[string]Peer{lttngDir + "/lttng-ust-sock-11": {PID: sessiondPID}}
		h.executable(ofProcess(sessiondPID, "exe"), "liblttng-ust-ctl.so.6")
	}, "ust-abi problem"},
	"confined-socket": {func(h *host) {
		h.chmod(lttngDir+"/lttng-ust-sock-8", 0o660)
		h.peers = nil
	}, "registered problem"},
	"not-registered": {func(h *host) { h.peers = nil }, "registered problem"},
	"apparmor-deny": {func(h *host) {
		withArmour(h, denyLines, "")
		h.peers = nil
	}, "apparmor problem, registered problem, confinement problem"},
	"apparmor-changed-later": {func(h *host) {
		withArmour(h, "# deny /dev/shm/lttng-ust-wait-* r,\n", "  /dev/shm/lttng-ust-wait-* r,\n  /run/lttng/lttng-ust-sock-* rw,\n")
		h.peers = nil
	}, "registered problem, confinement problem"},
	"apparmor-allows": {func(h *host) {
		withArmour(h, "", "  /dev/shm/lttng-ust-wait-* r,\n  /run/lttng/lttng-ust-sock-* rw,\n")
	}, ""},
	"vhost-net": {func(h *host) {
		h.helper = errNoHelper
		h.guest("web", webUUID, webPID, strings.Split(vhostArgs, " ")...)
		h.link(ofProcess(webPID, "fd/35"), "/dev/vhost-net")
		h.domains[0].Coverage = "partial"
		h.domains[0].Unseen = []control.Unseen{{Kind: "interface", Name: "vnet0", Why: "vhost-net moves its packets past QEMU"}}
	}, "virtsentry-probe warning, network problem"},
	"vhost-net-plugged-in": {func(h *host) {
		h.helper = errNoHelper
		h.link(ofProcess(webPID, "fd/35"), "/dev/vhost-net")
	}, "virtsentry-probe warning, network problem"},
	"other-devices": {func(h *host) {
		h.helper = errNoHelper
		h.guest("web", webUUID, webPID, "-netdev", "vhost-user,chardev=charnet0,id=hostnet0", "-netdev", "tap,fd=3,id=hostnet1,vhost=on,vhostfd=4",
			"-device", "virtio-net-pci,netdev=hostnet0,id=net0,mac=52:54:00:4d:00:0a", "-device", `{"driver":"vhost-user-fs-pci","id":"fs0","tag":"a,,b"}`,
			"-device", "vfio-pci,host=0000:01:00.0,id=hostdev0", "-device", "vhost-user-blk-pci,id=virtio-disk1", "-device", "{broken", "-netdev")
	}, "virtsentry-probe warning, network warning, network problem, devices warning, devices warning, devices warning"},
	"bad-clock-source": {func(h *host) {
		h.write(clockSource+"current_clocksource", "hpet\n")
		h.unsynced = true
	}, "clock warning, clock-source warning"},
	"other-namespaces": {func(h *host) {
		h.write("/other/run/lttng/x", "")
		h.write("/other/dev/shm/x", "")
		h.link(ofProcess(webPID, "root"), filepath.Join(h.root, "other"))
		h.link(ofProcess(webPID, "ns/pid"), "pid:[2]")
		h.link(ofProcess(webPID, "ns/user"), "user:[2]")
		h.link(ofProcess(webPID, "ns/time"), "time:[2]")
	}, "namespaces problem, namespaces problem, namespaces problem, namespaces warning, trace-clock problem"},
	"environment": {func(h *host) {
		h.write(ofProcess(webPID, "environ"), "LTTNG_UST_CLOCK_PLUGIN=/lib/my.so\x00LTTNG_UST_APP_PATH=/tmp/x\x00")
		h.peers = map[int]string{12: "/var/lib/libvirt/qemu/.lttng/lttng-ust-sock-8"}
	}, "registered problem, trace-clock problem"},
	"wait-file-of-another": {func(h *host) { h.chmod("/dev/shm/lttng-ust-wait-8", 0o660) }, "wait-file problem"},
	"no-wait-file":         {func(h *host) { h.remove("/dev/shm/lttng-ust-wait-8") }, "wait-file problem"},
	"little-memory":        {func(h *host) { h.free = 2 << 20 }, "memory problem"},
	"many-cpus":            {func(h *host) { h.write(possibleCPUs, "0-8191\n") }, "memory problem"},
	"selinux":              {func(h *host) { h.write("/sys/fs/selinux/enforce", "1") }, "selinux warning"},
	"no-daemon": {func(h *host) {
		h.domains, h.asked = nil, fmt.Errorf("control: %w", control.ErrNoDaemon)
	}, "virtsentryd problem"},
	"damaged-history": {func(h *host) {
		for i := range h.domains {
			h.domains[i].Aside = "/var/lib/virtsentry/history.db.damaged-20260504T120000.000000000"
		}
	}, "virtsentryd warning"},
	"not-watched":        {func(h *host) { h.domains = nil }, "state problem"},
	"bad-configuration":  {func(h *host) { h.write("/etc/virtsentry/virtsentry.toml", "[nonsense]\n") }, "configuration problem"},
	"another-run-dir":    {func(h *host) { h.write("/etc/virtsentry/virtsentry.toml", "[libvirt]\nrun_dir = \"/run/other\"\n") }, "libvirt problem, process problem"},
	"garbled":            {garble, "ust-abi unknown, clock-source warning, memory unknown, ust-abi unknown"},
	"garbled-executable": {func(h *host) { h.write(ofProcess(sessiondPID, "exe"), "no ELF"); h.remove(ofProcess(webPID, "maps")) }, "ust-abi unknown, trace-points unknown, ust-abi unknown"},
}

// garble is what a hostile process might have others read.
func garble(h *host) {
	h.write(possibleCPUs, "0-99999999999\n")
	h.write(clockSource+"current_clocksource", "\x1b[31m\n")
	h.executable(ofProcess(sessiondPID, "exe"), "libc.so.6")
	h.remove(ofProcess(webPID, "map_files/7f00-7f10"))
	if err := unix.Mkfifo(filepath.Join(h.root, ofProcess(webPID, "map_files/7f00-7f10")), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := healthy(t)
			tc.change(h)
			findings, err := h.check()
			if err != nil {
				t.Fatal(err)
			}
			if got := faults(findings); got != sorted(tc.want) {
				t.Errorf("faults: %s; want %s", got, sorted(tc.want))
			}
			golden(t, h, name, findings)
		})
	}
}

// TestStranger looks with the rights of a user who is nobody at a host where /proc is as the kernel shows it to others.
func TestStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	h := healthy(t)
	h.denied[clientSocket] = true
	h.peerErr = unix.EPERM
	h.helper = fmt.Errorf("probe: %w", probe.ErrRefused)
	h.domains, h.asked = nil, fmt.Errorf("control: %w", control.ErrDenied)
	for dir := h.root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		h.must(os.Chmod(dir, 0o755))
	}
	for _, file := range []string{"environ", "maps", "map_files", "fd", "ns"} {
		h.chmod(ofProcess(webPID, file), 0)
	}
	h.chmod(ofProcess(sessiondPID, "exe"), 0)
	findings, err := asNobody(t, h)
	if err != nil {
		t.Fatal(err)
	}
	want := "virtsentryd unknown, virtsentry-probe unknown, ust-abi unknown, session-access warning, trace-points unknown, ust-abi unknown, registered unknown, namespaces unknown, trace-clock unknown, network unknown"
	if got := faults(findings); got != sorted(want) {
		t.Errorf("faults: %s; want %s", got, sorted(want))
	}
	golden(t, h, "stranger", findings)

	// Where libvirt's directory is closed, a domain that is asked for may be there.
	h.chmod("/run/libvirt/qemu", 0o700)
	findings, err = asNobody(t, h, "web")
	if err != nil || !strings.Contains(faults(findings), "libvirt unknown") || !strings.Contains(faults(findings), "process unknown") {
		t.Errorf("closed run-time directory: %s, %v", faults(findings), err)
	}
}

// asNobody checks with the file system's view of another user: setfsuid(2), which takes root's capabilities over files away as well.
func asNobody(t *testing.T, h *host, refs ...string) ([]Finding, error) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with its goroutine
	defer runtime.UnlockOSThread()
	const nobody = 65534
	h.must(unix.Setfsuid(nobody))
	defer func() { h.must(unix.Setfsuid(0)) }()
	return h.check(refs...)
}

func TestChoose(t *testing.T) {
	h := healthy(t)
	h.guest("db", "11111111-cdaf-9455-926a-d65c16db1809", 4712)
	h.write("/run/libvirt/qemu/old.pid", "9999") // its process is long gone
	for ref, want := range map[string]string{"": "web db", "web": "web", strings.ToUpper(webUUID): "web", "3": "web", "4": "", "old": "", "nosuch": ""} {
		var refs []string
		if ref != "" {
			refs = []string{ref}
		}
		findings, err := h.check(refs...)
		if (want == "") != errors.Is(err, control.ErrNoDomain) {
			t.Errorf("%q: error %v", ref, err)
		}
		found := map[string]bool{}
		for _, f := range findings {
			if f.Domain != "" {
				found[f.Domain] = true
			}
		}
		if len(found) != len(strings.Fields(want)) {
			t.Errorf("%q: %v; want %s", ref, found, want)
		}
	}
}

// TestRemedies: whatever is not ok comes with what to do.
func TestRemedies(t *testing.T) {
	for name, tc := range cases {
		h := healthy(t)
		tc.change(h)
		findings, _ := h.check()
		for _, f := range findings {
			if (f.Status == OK) != (f.Remedy == "") || f.Text == "" || strings.Contains(f.Text, "%!") || strings.Contains(f.Remedy, "%!") {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

func TestLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
		}
	}()
	p, err := Live{}.Dial(path)
	if want := (Peer{PID: os.Getpid(), UID: os.Getuid()}); err != nil || p != want {
		t.Errorf("Dial = %+v, %v; want %+v", p, err, want)
	}
	<-taken
	_ = l.Close()
	if _, err := (Live{}).Dial(path); err == nil {
		t.Error("Dial of a socket on which nobody listens: no error")
	}
	if err := (Live{}).Helper(t.Context(), path); !errors.Is(err, probe.ErrNoHelper) {
		t.Errorf("Helper of a socket on which nobody listens: %v", err)
	}
	if _, err := (Live{}).ClockSynchronised(); err != nil {
		t.Error(err)
	}
	if free, err := (Live{}).Free(t.TempDir()); err != nil || free == 0 {
		t.Errorf("Free = %d, %v", free, err)
	}
}

func TestPeerName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	address := &unix.SockaddrUnix{Name: path}
	server, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = errors.Join(unix.Bind(server, address), unix.Listen(server, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(server) }()
	client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(client, address)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(client) }()
	if name, err := (Live{}).PeerName(os.Getpid(), client); err != nil || name != path {
		t.Errorf("PeerName = %q, %v; want %s", name, err, path)
	}
	for what, fd := range map[string]int{"a socket that listens": server, "no descriptor": 9999} {
		if name, err := (Live{}).PeerName(os.Getpid(), fd); err != nil || name != "" {
			t.Errorf("PeerName of %s = %q, %v", what, name, err)
		}
	}
}

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,8-11,15": 9, "": 0, "3-0": 0, "0-": 0, "-1": 0, "a": 0, "0-9999999": 0} {
		if got, err := countCPUs(list); got != want || (err == nil) != (want > 0) {
			t.Errorf("countCPUs(%q) = %d, %v; want %d", list, got, err, want)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add(vhostArgs, stockMaps)
	f.Add("-device vfio-pci,id=a,,b", "a b c d e /liblttng-ust.so.")
	f.Fuzz(func(_ *testing.T, args, maps string) {
		_, _ = passingBy(strings.Split(args, " "))
		_, _ = mappedUST(maps)
		_, _ = libraryABI(ustLibrary+"1", []byte(maps))
		_, _ = countCPUs(args)
		_, _ = countTaps(strings.Split(args, " ")), underKVM(strings.Split(args, " "))
	})
}

func TestEnded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	h := healthy(t)
	if findings, err := Check(ctx, Host{Root: h.root, Asked: h, System: h}); err != nil || len(findings) == 0 {
		t.Errorf("without an answer of the daemon: %d findings, %v", len(findings), err)
	}
}
