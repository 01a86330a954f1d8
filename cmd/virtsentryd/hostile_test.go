//go:build integration

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/monitor"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// testDriver is libvirt's make-believe hypervisor: its domains live in the process that asks for them.
const testDriver = "test:///default"

// hostileDomain is a domain of the test driver: name, UUID and emulator.
const hostileDomain = `<domain type='test'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices><emulator>%s</emulator>
<interface type='bridge'><source bridge='br0'/><model type='virtio'/><driver name='qemu'/></interface></devices></domain>`

// player is a program that plays a domain's QEMU.
type player struct {
	name, uuid string
	cmd        *exec.Cmd
	in         io.Writer
	out        *bufio.Reader
}

// site is the daemon's monitor on libvirt's test driver, with domains that players play, and the real LTTng daemons.
type site struct {
	dir     string
	conn    *golibvirt.Connect
	monitor *monitor.Monitor
	players int
	tracer  *exec.Cmd // the session daemon; nil: it is not ours
}

// newSite starts what a player needs, and the monitor, all of which end with the test.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), tracer: startSessionDaemon(t)}
	t.Cleanup(func() { s.endTracer() })
	cfg := config.Default()
	cfg.Libvirt.URI, cfg.Libvirt.RunDir = testDriver, filepath.Join(s.dir, "libvirt")
	cfg.LTTng.OutputDir, cfg.Profiles.Dir = filepath.Join(s.dir, "traces"), filepath.Join(s.dir, "profiles")
	cfg.History.File = filepath.Join(s.dir, "history.db")
	cfg.Hooks.Dir, cfg.Hooks.Pokes = filepath.Join(s.dir, "hooks.d"), filepath.Join(s.dir, "pokes")
	cfg.Sources.Socket = filepath.Join(s.dir, "probe.sock")
	cfg.Learning.Starting = 0
	if err := os.MkdirAll(filepath.Join(cfg.Libvirt.RunDir, "qemu"), 0o755); err != nil {
		t.Fatal(err)
	}
	set, err := catalogue.Load(cfg.LTTng.Features)
	if err != nil {
		t.Fatal(err)
	}
	first, err := libvirt.Connect(testDriver) // starts libvirt's event loop, which comes before any connection
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	if s.conn, err = golibvirt.NewConnect(testDriver); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = s.conn.Close() })
	if d, err := s.conn.LookupDomainByName("test"); err == nil { // which the driver comes with
		_ = d.Destroy()
		_ = d.Free()
	}
	log := logrus.New()
	log.SetOutput(t.Output())
	log.SetLevel(logrus.WarnLevel)
	s.monitor = monitor.New(cfg, set, engine(""), log)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.monitor.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the monitor ends with: %v", err)
		}
		s.none(t)
	})
	return s
}

// none checks that no session is left. One that the tracer had not ended in time, as it was flooded, is ended here, as the next daemon would end it.
func (s *site) none(t *testing.T) {
	t.Helper()
	for _, last := range []bool{false, true} {
		list, err := lttng.Sessions()
		if err != nil {
			t.Error(err)
		}
		for _, one := range list {
			if !strings.HasPrefix(one.Path, s.dir) {
				continue
			}
			if last {
				t.Errorf("session %s is left", one.Name)
				continue
			}
			t.Logf("session %s was not ended in time", one.Name)
			if err := lttng.DestroySession(one.Name); err != nil {
				t.Error(err)
			}
		}
	}
}

// startSessionDaemon starts a session daemon where none answers; nil: one does.
func startSessionDaemon(t *testing.T) *exec.Cmd {
	t.Helper()
	if lttng.Alive() {
		return nil
	}
	daemon := exec.Command("lttng-sessiond", "--no-kernel")
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); !lttng.Alive(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("lttng-sessiond does not answer")
		}
	}
	return daemon
}

// endTracer kills the session daemon with all that it has started: it may wait for a consumer daemon that does not end.
func (s *site) endTracer() {
	if s.tracer != nil {
		_ = syscall.Kill(-s.tracer.Process.Pid, syscall.SIGKILL)
		_ = s.tracer.Wait()
	}
}

// restart has another session daemon, as an operator does where the first has lost its consumer daemon.
func (s *site) restart(t *testing.T) {
	t.Helper()
	s.endTracer()
	s.tracer = startSessionDaemon(t)
}

// compile builds a program of testdata that plays a QEMU.
func (s *site) compile(t *testing.T, program string) string {
	t.Helper()
	const source = "../../testdata"
	dir := filepath.Join(s.dir, program)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "qemu-system-x86_64")
	build := exec.CommandContext(t.Context(), "gcc", "-O2", "-pthread", "-I", filepath.Join(source, "ustload"), "-o", binary,
		filepath.Join(source, program, program+".c"), "-llttng-ust", "-ldl", "-lm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, out)
	}
	return binary
}

// start starts a domain as libvirt does: its QEMU, the PID file, and then the event.
func (s *site) start(t *testing.T, name, binary string, args ...string) *player {
	t.Helper()
	s.players++
	p := &player{name: name, uuid: fmt.Sprintf("%08x-1057-11e5-8e00-000000000001", s.players)}
	p.cmd = exec.Command(binary, append([]string{"-name", "guest=" + name, "-uuid", p.uuid}, args...)...)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	file := filepath.Join(s.dir, "libvirt", "qemu", name+".pid")
	if err := os.WriteFile(file, fmt.Appendln(nil, p.cmd.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := s.conn.DomainCreateXML(fmt.Sprintf(hostileDomain, name, p.uuid, binary), 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Free()
	return p
}

// tell gives a player a line.
func (p *player) tell(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
}

func (s *site) status(t *testing.T, p *player) control.DomainStatus {
	t.Helper()
	d, err := s.monitor.Domain(p.uuid)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return d
}

// until waits for something of the domains.
func (s *site) until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v: %+v", what, patience, s.monitor.Domains())
		}
	}
}

// hostiles starts an honest guest, and one that is hostile in each of these ways, and waits until all are seen.
func (s *site) hostiles(t *testing.T, modes ...string) (good *player, evil []*player) {
	t.Helper()
	honest, hostile := s.compile(t, "ustload"), s.compile(t, "hostile")
	good = s.start(t, "good", honest, "-load", "web", "-seed", "1")
	for i, mode := range modes {
		evil = append(evil, s.start(t, mode, hostile, "-mode", mode, "-seed", fmt.Sprint(i+1)))
	}
	s.until(t, "all are seen", func() bool {
		list := s.monitor.Domains()
		for _, d := range list {
			if d.Units.Seen < 3 {
				return false
			}
		}
		return len(list) == len(evil)+1
	})
	return good, evil
}

// told logs what is said of a guest, and checks that it can be.
func (s *site) told(t *testing.T, p *player) control.DomainStatus {
	t.Helper()
	d := s.status(t, p)
	reason := "none"
	if d.Reason != nil {
		reason = d.Reason.Code + ": " + d.Reason.Text
	}
	t.Logf("%s: %s, reason %s; units %+v, ledger %v", p.name, d.State, reason, d.Units, d.Ledger)
	balanced(t, d)
	if d.State == "blind" && d.Reason == nil {
		t.Errorf("%s: blind without a reason", p.name)
	}
	return d
}

// borne is for how many units hostile guests are borne.
const borne = 15

// TestHostileGuests has guests that own their QEMUs write whatever they like into the packets that these share with LTTng's consumer daemon, or more than
// anybody can take, while the daemon's monitor reads them by means of the real LTTng daemons. The monitor lives, within bounds; of each such guest it says
// what it can know, or why it is blind; and a guest beside them is watched as if they were not there.
func TestHostileGuests(t *testing.T) {
	s := newSite(t)
	good, evil := s.hostiles(t, "packets", "events", "storm")
	before := s.status(t, good)
	units, heard := s.hear(t, good)
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	heap := memory.HeapAlloc
	for _, p := range evil {
		p.tell(t, "go")
	}
	s.until(t, "units of the good guest", func() bool { return s.status(t, good).Units.Seen >= before.Units.Seen+borne })
	for _, p := range evil {
		p.tell(t, "rest")
	}
	s.until(t, "units after it", func() bool { return s.status(t, good).Units.Seen >= before.Units.Seen+borne+3 })
	heard()

	runtime.ReadMemStats(&memory)
	t.Logf("heap %d KiB, %d before", memory.HeapAlloc>>10, heap>>10)
	if memory.HeapAlloc > heap+256<<20 {
		t.Errorf("heap of %d MiB, %d before", memory.HeapAlloc>>20, heap>>20)
	}
	after := s.told(t, good)
	if after.Units.Lossy > before.Units.Lossy || after.Units.Unread > 0 || after.PID != before.PID || len(after.Incidents) > 0 {
		t.Errorf("the guest beside them: %+v, before %+v", after, before)
	}
	for _, u := range *units {
		if u.Lost > 0 || u.State == "blind" || u.State == "unknown" {
			t.Errorf("a unit of the guest beside them: %+v", u)
		}
	}
	for _, p := range evil {
		if d := s.told(t, p); d.Units.Lossy+d.Units.Unread == 0 && d.State != "blind" {
			t.Errorf("%s: nothing is wrong with it: %+v", p.name, d)
		}
	}
	if err := good.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the guest beside them has ended: %v", err)
	}
}

// TestHostileBuffers has a guest that owns its QEMU write into what LTTng-UST keeps of its ring buffers. LTTng 2.13's consumer daemon does not stand that, and
// with it all guests of the host are not seen any more. The monitor says so: of no guest that nobody sees is a unit given out for whole. And when somebody
// has ended that guest, and started the session daemon anew, the others are seen again. What LTTng's daemon does with what was overwritten is chance: where it
// gives up that guest alone, the others are seen on.
func TestHostileBuffers(t *testing.T) {
	if os.Getenv(faultsAll) == "" {
		t.Skip("make faults runs it")
	}
	if lttng.Alive() {
		t.Skip("there is a session daemon already, which is not ours to break")
	}
	s := newSite(t)
	good, evil := s.hostiles(t, "control")
	units, heard := s.hear(t, good)
	// Long enough that silence is news.
	s.until(t, "some units", func() bool { return s.status(t, good).Units.Seen > 12 })
	evil[0].tell(t, "go")
	alone := uint64(0) // units of the good guest when the hostile one was noticed
	s.until(t, "it is noticed that nothing is seen, or nothing of the hostile guest", func() bool {
		if s.status(t, good).State == "blind" {
			return true
		}
		if s.status(t, evil[0]).State != "blind" {
			alone = 0
		} else if alone == 0 {
			alone = s.status(t, good).Units.Seen
		}
		return alone > 0 && s.status(t, good).Units.Seen > alone+15
	})
	s.told(t, good)
	s.told(t, evil[0])
	_ = evil[0].cmd.Process.Kill()
	s.restart(t)
	restarted := time.Now()
	s.until(t, "seen again", func() bool {
		d := s.status(t, good)
		return d.State != "blind" && d.Last != nil && d.Last.Lost == 0 && len(d.Last.Counts) > 0 && d.Last.Start.After(restarted)
	})
	heard()
	s.told(t, good)
	empty := 0
	for _, u := range *units {
		if empty++; u.Lost > 0 || len(u.Counts) > 0 {
			empty = 0
		}
		if empty > 2 { // a player has quiet seconds, but few
			t.Errorf("unit after unit of a guest that is busy is whole and empty: %+v", u)
		}
	}
}

// hear hears a domain's units from now on, until the returned function is called.
func (s *site) hear(t *testing.T, p *player) (*[]control.UnitReport, func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	list := new([]control.UnitReport)
	units := s.monitor.Subscribe(ctx)
	all.Go(func() {
		for u := range units {
			if u.Domain == p.uuid {
				*list = append(*list, u)
			}
		}
	})
	return list, func() { stop(); all.Wait() }
}
