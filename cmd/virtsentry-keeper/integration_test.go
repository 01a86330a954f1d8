//go:build integration

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/cmd/internal/keeper"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/libvirt"
)

// patience bounds each wait; promised is within what everything is gone and the guest runs.
const (
	patience = time.Minute
	promised = 5 * time.Second
)

// stage is a lab with a guest, and a keeper.
type stage struct {
	lab    *lab.Lab
	client *libvirt.Connection
	uuid   string
	dir    string
	binary string
	keeper *exec.Cmd
	log    *os.File
}

// TestIntegrationKeeper counts system calls of a real guest, and kills whatever can be killed meanwhile.
func TestIntegrationKeeper(t *testing.T) {
	if err := lab.CheckRoot(); err != nil {
		t.Skip(err)
	}
	s := newStage(t)
	for _, x := range []struct {
		name string
		test func(*testing.T)
	}{
		{"known number", s.testNumber},
		{"busy guest", s.testBusy},
		{"client is killed", s.testKillClient},
		{"keeper is killed", s.testKillKeeper},
		{"keeper and guard are killed", s.testKillBoth},
		{"guard is killed", s.testKillGuard},
		{"keeper is told to end", s.testTerminate},
		{"somebody pauses the guest", s.testPause},
		{"policy", s.testPolicy},
		{"libvirt's daemon is killed", s.testLibvirt},
		{"guest is destroyed", s.testDestroy}, // the last one
	} {
		if !t.Run(x.name, x.test) {
			t.FailNow() // in what state the guest is now, nobody knows
		}
	}
}

func newStage(t *testing.T) *stage {
	t.Helper()
	cfg := lab.Config{Dir: "/run/virtsentry-lab-keep", Guest: "web", Variant: "smp2", Daemon: os.Getenv("VIRTSENTRY_LAB_DAEMON")}
	down := func() {
		if err := lab.Down(context.Background(), cfg.Dir, nil); err != nil {
			t.Error(err)
		}
	}
	down()
	t.Cleanup(down)
	s := &stage{dir: t.TempDir()}
	var err error
	if s.lab, err = lab.Up(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s.connect(t)
	t.Cleanup(func() { _ = s.client.Close() })
	list, err := s.client.Running()
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	s.uuid = list[0].UUID
	s.binary = s.file("virtsentry-keeper")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-race", "-o", s.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	// More is allowed than would be on a host of somebody's, so that the test can count exactly.
	s.write(t, "keeper.toml", "guest_syscalls = true\nuri = "+strconv.Quote(s.lab.URI())+"\nshare = 0.9\nstops = 2000\n")
	if s.log, err = os.Create(s.file("log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		_ = s.log.Close()
		if text, _ := os.ReadFile(s.file("log")); t.Failed() || strings.Contains(string(text), "DATA RACE") {
			t.Errorf("the keepers' log:\n%s", text)
		}
	})
	return s
}

func (s *stage) connect(t *testing.T) {
	t.Helper()
	var err error
	if s.client, err = libvirt.Connect(s.lab.URI()); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) file(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) command(args ...string) *exec.Cmd {
	c := exec.Command(s.binary, append(args, "--config", s.file("keeper.toml"), "--run-dir", s.file("notes"), "--log-level", "debug")...)
	c.Stderr = s.log
	return c
}

// serve starts a keeper, if none runs.
func (s *stage) serve(t *testing.T) {
	t.Helper()
	if s.keeper != nil {
		return
	}
	s.keeper = s.command("--socket", s.file("socket"))
	if err := s.keeper.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "the keeper serves", func() bool {
		_, err := keeper.Ask(t.Context(), s.file("socket"), keeper.Request{})
		return errors.Is(err, keeper.ErrRefused)
	})
}

// stop ends the keeper as an init system would.
func (s *stage) stop() {
	if s.keeper == nil {
		return
	}
	_ = s.keeper.Process.Signal(syscall.SIGTERM)
	_ = s.keeper.Wait()
	s.keeper = nil
}

func within(t *testing.T, d time.Duration, what string, f func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !f() {
		if time.Since(begin) > d {
			t.Fatalf("waited %v in vain: %s", d, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begin)
}

// ask begins a trace and waits for its first unit.
func (s *stage) ask(t *testing.T, seconds float64) *keeper.Trace {
	t.Helper()
	s.serve(t)
	trace, err := keeper.Ask(t.Context(), s.file("socket"), keeper.Request{UUID: s.uuid, Seconds: seconds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trace.Close() })
	if _, err := trace.Next(); err != nil {
		t.Fatal(err)
	}
	return trace
}

// released waits until no stub is left and the guest runs, checks that it came soon enough, and that the guest is well: it comes to its system-call entry as often as
// a web page needs, which with a break left it would not survive.
func (s *stage) released(t *testing.T) {
	t.Helper()
	took := within(t, promised, "the stub is closed, the guest runs, and no note is left", func() bool {
		stubs, err := s.client.Stubs(s.uuid)
		state, stateErr := s.client.RunState(s.uuid)
		return errors.Join(err, stateErr) == nil && len(stubs) == 0 && state == "running" && !s.noted(t)
	})
	t.Logf("all is gone, and the guest runs, after %v", took.Round(time.Millisecond))
	s.well(t)
}

func (s *stage) noted(t *testing.T) bool {
	t.Helper()
	left, err := filepath.Glob(s.file("notes/*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(left) > 0
}

// well checks that the guest works, and goes on running.
func (s *stage) well(t *testing.T) {
	t.Helper()
	if err := s.lab.WaitForWeb(t.Context(), "web", patience); err != nil {
		t.Fatal(err)
	}
	if state, err := s.client.RunState(s.uuid); err != nil || state != "running" {
		t.Fatalf("QEMU says %q, %v", state, err)
	}
}

// exec runs a command in the guest. libvirt refuses to ask the agent in the moments in which the guest is stopped.
func (s *stage) exec(t *testing.T, argv ...string) string {
	t.Helper()
	r, err := s.lab.Exec(t.Context(), "web", argv...)
	if err != nil || r.Code != 0 {
		t.Fatalf("%s in the guest: %v, %s", argv, err, r.Stderr)
	}
	return string(r.Stdout)
}

// testNumber: a program of the guest makes a number of calls that nobody else does, and as many are seen. It has started before, and sleeps while the trace begins: the agent
// is asked nothing meanwhile.
func (s *stage) testNumber(t *testing.T) {
	const getppid, times = 110, 20
	s.exec(t, "sh", "-c", `perl -e 'open F, ">/tmp/ready"; close F; sleep 5; for (1..20) { syscall(110, 4711, -2, 3, 4, 5, 6); select(undef, undef, undef, 0.05) } open F, ">/tmp/calls"; print F "20"' >/dev/null 2>&1 &
		while ! test -e /tmp/ready; do sleep 0.1; done`)
	trace := s.ask(t, 20)
	seen, count, sampled := uint64(0), 0.0, false
	each, before := uint64(0), int64(0)
	for {
		u, err := trace.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sampled = sampled || u.Sampled
		for _, c := range u.Each {
			if c.At < before || c.At < u.Start || c.At > u.Start+u.Duration {
				t.Errorf("%s at %d, after one at %d, in the unit from %d to %d", c, c.At, before, u.Start, u.Start+u.Duration)
			}
			before = c.At
			if c.Number != getppid {
				continue
			}
			if each++; c.Arguments != [6]uint64{4711, ^uint64(1), 3, 4, 5, 6} {
				t.Errorf("the guest has not called %s", c)
			}
		}
		for _, c := range u.Calls {
			if c.Number == getppid {
				seen, count = seen+c.Seen, count+c.Count
			}
		}
		t.Logf("unit: %d kinds, %d stops, stopped %v, armed %v of %v, sampled %v", len(u.Calls), u.Stops, time.Duration(u.Stopped), time.Duration(u.Armed), time.Duration(u.Running), u.Sampled)
	}
	s.released(t)
	if got := s.exec(t, "cat", "/tmp/calls"); got != "20" {
		t.Fatalf("the guest has not called: %q", got)
	}
	t.Logf("%d calls of %d seen, counted as %.1f; sampled: %v", seen, times, count, sampled)
	if each != seen {
		t.Errorf("%d calls were told one by one, of %d", each, seen)
	}
	if !sampled && seen != times || seen > times || count < times/2 || count > 2*times {
		t.Errorf("%d calls were seen and counted as %.1f (sampled: %v), want %d", seen, count, sampled, times)
	}
}

// testBusy has a guest make more calls than can be seen. By the default limits it is to get on with its work.
func (s *stage) testBusy(t *testing.T) {
	s.exec(t, "sh", "-c", `perl -e 'use Time::HiRes qw(time); $s = time; while (time - $s < 14) { $t = time; $n = 0; while (time - $t < 1) { for (1..200) { syscall(110) } $n += 200 } push @a, $n } open F, ">/tmp/busy"; print F "@a"' >/dev/null 2>&1 &`)
	time.Sleep(3 * time.Second)
	s.serve(t)
	trace, err := keeper.Ask(t.Context(), s.file("socket"), keeper.Request{UUID: s.uuid, Seconds: 6, Share: guestcalls.DefaultLimits.Share, Stops: guestcalls.DefaultLimits.Stops})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = trace.Close() }()
	stops, held, all, sampled := uint64(0), int64(0), int64(0), false
	for {
		u, err := trace.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		stops, held, all, sampled = stops+u.Stops, held+u.Stopped, all+u.Duration, sampled || u.Sampled
	}
	s.released(t)
	within(t, patience, "the guest has worked", func() bool {
		r, err := s.lab.Exec(t.Context(), "web", "cat", "/tmp/busy")
		if err == nil && r.Code == 0 && len(r.Stdout) > 0 {
			t.Logf("calls in each second of the guest, of which 6 were looked at: %s", r.Stdout)
			return true
		}
		time.Sleep(time.Second)
		return false
	})
	t.Logf("%d stops, held up %.1f %% of the time", stops, 100*float64(held)/float64(all))
	if !sampled || float64(stops) > 1.5*guestcalls.DefaultLimits.Stops*time.Duration(all).Seconds() {
		t.Errorf("sampled: %v; %d stops in %v", sampled, stops, time.Duration(all))
	}
}

func (s *stage) testKillClient(t *testing.T) {
	s.serve(t)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), clientOf+"="+s.file("socket")+" "+s.uuid)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	s.open(t)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	s.released(t)
}

// open checks that there is a stub, so that its end means something.
func (s *stage) open(t *testing.T) {
	t.Helper()
	if stubs, err := s.client.Stubs(s.uuid); err != nil || len(stubs) != 1 || !s.noted(t) {
		t.Fatalf("stubs while the guest is looked at: %v, %v", stubs, err)
	}
}

// kill kills the keeper, and nothing else.
func (s *stage) kill(t *testing.T) {
	t.Helper()
	if err := s.keeper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.keeper.Wait()
	s.keeper = nil
}

func (s *stage) testKillKeeper(t *testing.T) {
	trace := s.ask(t, 600)
	s.open(t)
	s.kill(t)
	s.released(t)
	for {
		if _, err := trace.Next(); err != nil { // after what was under way
			if !errors.Is(err, keeper.ErrNoKeeper) {
				t.Errorf("the client hears %v", err)
			}
			return
		}
	}
}

// guards are the process IDs of the keeper's guards.
func (s *stage) guards(t *testing.T) (pids []int) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.keeper.Process.Pid) + "/task/" + strconv.Itoa(s.keeper.Process.Pid) + "/children")
	if err != nil {
		t.Fatal(err)
	}
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(s.keeper.Process.Pid) + "/task/*/children")
	for _, task := range tasks {
		more, _ := os.ReadFile(task) // a thread that has ended has none
		text = append(text, more...)
	}
	for _, f := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		t.Fatal("there is no guard")
	}
	return pids
}

func (s *stage) killGuards(t *testing.T) {
	t.Helper()
	for _, pid := range s.guards(t) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be there twice
	}
}

func (s *stage) testKillBoth(t *testing.T) {
	s.ask(t, 600)
	s.open(t)
	pids := s.guards(t)
	s.kill(t)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err := s.command("release").Run(); err != nil {
		t.Fatal(err)
	}
	s.released(t)
}

func (s *stage) testKillGuard(t *testing.T) {
	s.ask(t, 600)
	s.open(t)
	s.killGuards(t)
	s.released(t)
}

func (s *stage) testTerminate(t *testing.T) {
	s.ask(t, 600)
	s.open(t)
	s.stop()
	s.released(t)
}

// testPause: whoever pauses the guest meanwhile finds it paused, with nothing left in it, and can resume it.
func (s *stage) testPause(t *testing.T) {
	trace := s.ask(t, 600)
	raw, err := golibvirt.NewConnect(s.lab.URI())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = raw.Close() }()
	d, err := raw.LookupDomainByUUIDString(s.uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	// libvirt does nothing where it believes the guest to be paused already, as it is for moments: the operator tries again.
	within(t, patience, "the guest is paused, and the trace has ended", func() bool {
		if err := d.Suspend(); err != nil {
			return false
		}
		state, reason, err := d.GetState()
		return err == nil && state == golibvirt.DOMAIN_PAUSED && golibvirt.DomainPausedReason(reason) == golibvirt.DOMAIN_PAUSED_USER
	})
	var nextErr error
	for nextErr == nil {
		_, nextErr = trace.Next()
	}
	if !errors.Is(nextErr, io.EOF) || trace.End().Reason != keeper.ReasonPaused {
		t.Errorf("the trace has ended by %v, %+v", nextErr, trace.End())
	}
	within(t, promised, "the stub is closed", func() bool {
		stubs, err := s.client.Stubs(s.uuid)
		return err == nil && len(stubs) == 0 && !s.noted(t)
	})
	if state, err := s.client.RunState(s.uuid); err != nil || state != "paused" {
		t.Errorf("QEMU says %q, %v, of a guest that was paused", state, err)
	}
	if err := d.Resume(); err != nil {
		t.Fatal(err)
	}
	s.released(t)
}

func (s *stage) testPolicy(t *testing.T) {
	if err := s.client.RestorePolicy(s.uuid, `<policy xmlns="`+libvirt.PolicyURI+`" guest-syscalls="no"/>`); err != nil {
		t.Fatal(err)
	}
	s.serve(t)
	_, err := keeper.Ask(t.Context(), s.file("socket"), keeper.Request{UUID: s.uuid, Seconds: 1})
	if !errors.Is(err, keeper.ErrRefused) || !strings.Contains(err.Error(), "its policy forbids it") {
		t.Errorf("Ask = %v", err)
	}
	raw, err := golibvirt.NewConnect(s.lab.URI())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = raw.Close() }()
	d, err := raw.LookupDomainByUUIDString(s.uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	if err := d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "", "", libvirt.PolicyURI, golibvirt.DOMAIN_AFFECT_CONFIG); err != nil {
		t.Fatal(err)
	}
	s.released(t)
}

// testLibvirt: without libvirt's daemon the guest is let run all the same, and the stub closed as soon as there is one again.
func (s *stage) testLibvirt(t *testing.T) {
	s.ask(t, 600)
	p, err := s.lab.LibvirtDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := s.lab.WaitForWeb(t.Context(), "web", patience); err != nil {
		t.Fatal(err)
	}
	_ = s.client.Close()
	if _, err := lab.Up(t.Context(), lab.Config{Dir: s.lab.Dir(), Guest: "web", Variant: "smp2"}); err != nil {
		t.Fatal(err)
	}
	s.connect(t)
	s.released(t)
}

func (s *stage) testDestroy(t *testing.T) {
	trace := s.ask(t, 600)
	raw, err := golibvirt.NewConnect(s.lab.URI())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = raw.Close() }()
	d, err := raw.LookupDomainByUUIDString(s.uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	var destroying sync.WaitGroup
	destroying.Go(func() {
		if err := d.Destroy(); err != nil {
			t.Error(err)
		}
	})
	var nextErr error
	for nextErr == nil {
		_, nextErr = trace.Next()
	}
	destroying.Wait()
	if !errors.Is(nextErr, io.EOF) || trace.End().Reason != keeper.ReasonGone {
		t.Errorf("the trace has ended by %v, %+v", nextErr, trace.End())
	}
	within(t, promised, "no note is left", func() bool { return !s.noted(t) })
}
