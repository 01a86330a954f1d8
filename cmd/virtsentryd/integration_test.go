//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
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

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng"
)

const (
	labDir = "/run/virtsentry-lab-test"
	guest  = "web"
	// learnt units: the fewest that a profile is made from.
	learnt = 30
	// patience bounds each wait. A wait ends when what it waits for has come.
	patience = 3 * time.Minute
)

// TestIntegrationWay goes the whole way on the real stack: libvirtd, QEMU with UST, LTTng and a Debian guest. The promises are named by
// its steps, which build on each other.
func TestIntegrationWay(t *testing.T) {
	if err := lab.CheckRoot(); err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	step := func(name string, f func(*testing.T)) {
		if !t.Run(name, f) {
			t.FailNow()
		}
	}
	step("attach to a guest already running", s.testAttachRunning)
	step("a libvirt client sees each state as metadata and as an event", s.testLearn)
	step("a paused guest is said to be paused", s.testPause)
	step("a guest destroyed in mid-unit leaves no session", s.testDestroy)
	step("attach at start, with the profile of last time", s.testAttachAtStart)
	step("a session daemon that is killed: blind until there is one again", s.testSessionDaemon)
	step("a libvirtd that is killed: watched on, and recorded again when it is back", s.testLibvirtd)
	step("a daemon that is killed leaves blind behind, and no session", s.testKill)
	step("a daemon that stops says so and leaves no session", s.testStop)
}

// stack is a lab with a daemon, and a libvirt client that is neither's.
type stack struct {
	lab    *lab.Lab
	dir    string
	client *libvirt.Connection
	raw    *golibvirt.Connect // for what our own package does not do
	daemon *exec.Cmd
	uuid   string

	mu     sync.Mutex // guards events
	events int        // METADATA_CHANGE events of the state's namespace
}

func newStack(t *testing.T) *stack {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	s := &stack{dir: t.TempDir()}
	down := func() {
		if err := lab.Down(context.Background(), labDir, nil); err != nil {
			t.Error(err)
		}
	}
	down() // what an earlier, killed test left
	t.Cleanup(down)
	t.Cleanup(func() { s.stopDaemon(t) })
	var err error
	if s.lab, err = lab.Up(ctx, lab.Config{Dir: labDir, Guest: guest, DefineOnly: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.disconnect)
	s.connect(t)
	return s
}

func (s *stack) disconnect() {
	_ = s.client.Close()
	_, _ = s.raw.Close()
}

func (s *stack) connect(t *testing.T) {
	t.Helper()
	var err error
	if s.client, err = libvirt.Connect(s.lab.URI()); err != nil {
		t.Fatal(err)
	}
	if s.raw, err = golibvirt.NewConnect(s.lab.URI()); err != nil {
		t.Fatal(err)
	}
	_, err = s.raw.DomainEventMetadataChangeRegister(nil, func(_ *golibvirt.Connect, _ *golibvirt.Domain, e *golibvirt.DomainEventMetadataChange) {
		if e.NSURI == libvirt.StateURI {
			s.mu.Lock()
			s.events++
			s.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// repair starts again what was killed of the lab.
func (s *stack) repair(t *testing.T) {
	t.Helper()
	if _, err := lab.Up(t.Context(), lab.Config{Dir: labDir, Guest: guest, DefineOnly: true}); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}

func (s *stack) log() string {
	text, _ := os.ReadFile(s.file("log")) // empty before the daemon starts
	return string(text)
}

func (s *stack) file(name string) string { return filepath.Join(s.dir, name) }

// startDaemon builds and starts a daemon of its own process, as an operator would.
func (s *stack) startDaemon(t *testing.T) {
	t.Helper()
	binary := s.file("virtsentryd")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-race", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build virtsentryd: %v\n%s", err, out)
	}
	config := fmt.Sprintf("[libvirt]\nuri = %q\nrun_dir = %q\n[lttng]\noutput_dir = %q\n[learning]\nunits = %d\nstarting = '1s'\n"+
		"[profiles]\ndir = %q\n[control]\nsocket = %q\n[log]\nlevel = 'debug'\n"+
		"[hooks]\ndir = %q\npokes = %q\n",
		s.lab.URI(), s.lab.RunLibvirt(), s.file("traces"), learnt, s.file("profiles"), s.file("control.sock"),
		s.file("hooks.d"), s.file("pokes"))
	if err := os.WriteFile(s.file("virtsentryd.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(s.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.daemon = exec.Command(binary, "--config", s.file("virtsentryd.toml"))
	s.daemon.Stderr = log
	if err := s.daemon.Start(); err != nil {
		t.Fatal(err)
	}
}

// stopDaemon ends it as an init system would, and returns when it is gone.
func (s *stack) stopDaemon(t *testing.T) {
	t.Helper()
	if s.daemon == nil {
		return
	}
	_ = s.daemon.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(time.Minute, func() { _ = s.daemon.Process.Kill() })
	defer late.Stop()
	if err := s.daemon.Wait(); err != nil {
		t.Errorf("virtsentryd: %v\n%s", err, s.log())
	}
	s.daemon = nil
}

// within waits until f says true.
func (s *stack) within(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if f() {
			return
		}
	}
	state, err := s.client.State(s.uuid)
	t.Fatalf("%s: not within %v; state %+v, %v\n--- log:\n%s", what, patience, state, err, s.log())
}

func (s *stack) await(t *testing.T, value string) *libvirt.State {
	t.Helper()
	var state *libvirt.State
	s.within(t, "state "+value, func() bool {
		var err error
		state, err = s.client.State(s.uuid)
		return err == nil && state != nil && state.Value == value
	})
	return state
}

// status asks the daemon through its control socket.
func (s *stack) status(t *testing.T) (d control.DomainStatus, ok bool) {
	t.Helper()
	d, err := control.NewClient(s.file("control.sock")).Domain(t.Context(), guest)
	return d, err == nil
}

func (s *stack) domain(t *testing.T, f func(*golibvirt.Domain) error) {
	t.Helper()
	d, err := s.raw.LookupDomainByName(guest)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	if err := f(d); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) noSession(t *testing.T) {
	t.Helper()
	s.within(t, "no session is left", func() bool {
		sessions, err := lttng.Sessions()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range sessions {
			if strings.HasPrefix(x.Path, s.dir) {
				return false
			}
		}
		left, err := filepath.Glob(s.file("traces/virtsentryd-*"))
		return err == nil && len(left) == 0
	})
}

func (s *stack) testAttachRunning(t *testing.T) {
	s.domain(t, (*golibvirt.Domain).Create)
	s.domain(t, func(d *golibvirt.Domain) (err error) {
		s.uuid, err = d.GetUUIDString()
		return err
	})
	if err := s.lab.WaitForWeb(t.Context(), guest, patience); err != nil {
		t.Fatal(err)
	}
	s.startDaemon(t)
	state := s.await(t, "learning")
	if state.Reason == nil || state.Reason.Code != "gathering" {
		t.Errorf("state %+v; want the reason gathering", state)
	}
	d, ok := s.status(t)
	pid, err := s.lab.GuestPID(guest)
	if err != nil || !ok || d.PID != pid || d.Missed == 0 {
		t.Errorf("status %+v; want PID %d (%v), and that its start was missed", d, pid, err)
	}
}

func (s *stack) testLearn(t *testing.T) {
	s.await(t, "normal")
	s.within(t, "three events: starting, learning, normal", func() bool { return s.seen() >= 3 })
	d, _ := s.status(t)
	if !d.Profile || d.LearntUnits != learnt || d.Units.Lossy > 0 || d.Units.Late > 0 {
		t.Errorf("status %+v; want a profile of %d units and nothing lost", d, learnt)
	}
	if d.Last == nil || d.Last.Counts["memory_region_ops_write"] == 0 {
		t.Errorf("the last unit counted no register writes of a running guest: %+v", d.Last)
	}
	// What a unit counts is what the guest does: packets that it receives are seen as such.
	before := d.Units.Seen
	if _, err := s.lab.Exec(t.Context(), guest, "ping", "-c", "40", "-i", "0.05", "10.77.0.1"); err != nil {
		t.Fatal(err)
	}
	received := uint64(0)
	s.within(t, "40 packets received", func() bool {
		d, ok := s.status(t)
		if ok && d.Last != nil && d.Units.Seen > before {
			received, before = received+d.Last.Counts["tap_send"], d.Units.Seen
		}
		return received >= 40
	})
}

func (s *stack) testPause(t *testing.T) {
	s.domain(t, (*golibvirt.Domain).Suspend)
	if state := s.await(t, "paused"); state.Reason == nil || state.Reason.Code != "paused" {
		t.Errorf("state %+v; want the reason paused", state)
	}
	resumed := time.Now()
	s.domain(t, (*golibvirt.Domain).Resume)
	s.within(t, "judged again", func() bool {
		d, ok := s.status(t)
		return ok && d.State != "paused" && d.Last != nil && d.Last.Judged && d.Last.Start.After(resumed)
	})
}

func (s *stack) testDestroy(t *testing.T) {
	now := time.Now()
	time.Sleep((3*time.Second - now.Sub(now.Truncate(2*time.Second))) % (2 * time.Second)) // amid a unit
	s.domain(t, (*golibvirt.Domain).Destroy)
	s.within(t, "the daemon lets go of the guest", func() bool {
		_, ok := s.status(t)
		return !ok
	})
	s.noSession(t)
	if log := s.log(); !strings.Contains(log, "detached") {
		t.Errorf("log without a word of it:\n%s", log)
	}
}

func (s *stack) testAttachAtStart(t *testing.T) {
	events := s.seen()
	s.domain(t, (*golibvirt.Domain).Create)
	// The profile is there: whatever the state, it is never learning again.
	s.within(t, "units judged by the profile of last time", func() bool {
		d, ok := s.status(t)
		if ok && d.State == "learning" {
			t.Fatalf("learning again: %+v", d)
		}
		return ok && d.Profile && d.Units.Judged > 0
	})
	s.within(t, "events of the new start", func() bool { return s.seen() > events })
	if d, _ := s.status(t); d.Missed != 0 {
		t.Errorf("the guest ran for %v s before it was attached to; want none of it missed", d.Missed)
	}
}

// sessionDaemon finds the session daemon that the lab started; 0 where it took one that was there before.
func sessionDaemon(t *testing.T) int {
	t.Helper()
	cmdlines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	lowest := 0 // the daemon is older than its helper of the same command line
	for _, file := range cmdlines {
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(text), "lttng-sessiond\x00") || !strings.Contains(string(text), labDir) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && (lowest == 0 || pid < lowest) {
			lowest = pid
		}
	}
	return lowest
}

func (s *stack) testSessionDaemon(t *testing.T) {
	pid := sessionDaemon(t)
	if pid == 0 {
		t.Skip("the host has a session daemon of its own, which is not ours to kill")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if state := s.await(t, "blind"); state.Reason == nil || state.Reason.Code != "no-session-daemon" || state.Coverage != "none" {
		t.Errorf("state %+v; want the reason no-session-daemon and no coverage", state)
	}
	s.repair(t)
	s.await(t, "normal")
}

func (s *stack) testLibvirtd(t *testing.T) {
	status, err := s.lab.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range status.Procs {
		if p.Name == "libvirtd" {
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	before, _ := s.status(t)
	s.within(t, "units are judged without libvirtd", func() bool {
		d, ok := s.status(t)
		return ok && d.Units.Judged > before.Units.Judged+2
	})
	s.disconnect()
	s.repair(t)
	s.connect(t)
	s.await(t, "normal")
	s.testPause(t)
}

func (s *stack) testKill(t *testing.T) {
	_ = s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	s.daemon = nil
	// As a service manager does after any end.
	if out, err := exec.CommandContext(t.Context(), s.file("virtsentryd"), "--config", s.file("virtsentryd.toml"), "--stopped").CombinedOutput(); err != nil {
		t.Fatalf("virtsentryd --stopped: %v\n%s", err, out)
	}
	s.blind(t)
	s.noSession(t)
	// And the next one takes over where it was.
	s.startDaemon(t)
	s.await(t, "normal")
}

func (s *stack) blind(t *testing.T) {
	t.Helper()
	state, err := s.client.State(s.uuid)
	if err != nil || state == nil || state.Value != "blind" || state.Reason.Code != "daemon-stopped" {
		text, _ := json.Marshal(state)
		t.Errorf("state %s, %v; want blind, daemon-stopped", text, err)
	}
}

func (s *stack) testStop(t *testing.T) {
	s.stopDaemon(t)
	s.blind(t)
	s.noSession(t)
}
