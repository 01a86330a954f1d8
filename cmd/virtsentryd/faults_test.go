//go:build integration

package main

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/hooks"
)

func (s *stack) testSessionDaemon(t *testing.T) {
	s.web.judged(t)
	p, ours, err := s.lab.SessionDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if !ours {
		t.Skip("the host has a session daemon of its own, which is not ours to kill")
	}
	event := time.Now()
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.web.becomes(t, event, "blind", is("blind"))
	s.within(t, "no session daemon", func() bool {
		state, err := s.client.State(s.web.uuid)
		return err == nil && state != nil && state.Value == "blind" && state.Reason.Code == "no-session-daemon" && state.Coverage == "none"
	})
	event = time.Now()
	s.repair(t)
	s.web.becomes(t, event, "sees again", func(c hooks.Change) bool { return c.State != "blind" && c.State != "starting" })
	s.web.judgedAfter(t, event)
	s.web.attached(t)
}

func (s *stack) testLibvirt(t *testing.T) {
	s.web.judged(t)
	p, err := s.lab.LibvirtDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	before, _ := s.web.status(t)
	s.within(t, "units are judged without libvirt", func() bool {
		d, ok := s.web.status(t)
		return ok && d.Units.Judged > before.Units.Judged+2
	})
	s.disconnect()
	s.repair(t)
	s.connect(t)
	s.testPause(t)
	d, _ := s.web.status(t)
	s.web.await(t, d.State)
	if d.PID != before.PID || d.Ledger.Reasons["late-attach"] > before.Ledger.Reasons["late-attach"] {
		t.Errorf("before %+v, after %+v; want the same session all the time", before, d)
	}
}

func (s *stack) testKill(t *testing.T) {
	s.web.judged(t)
	_ = s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	s.daemon = nil
	// As a service manager does after any end.
	if out, err := s.virtsentryd("--stopped").CombinedOutput(); err != nil {
		t.Fatalf("virtsentryd --stopped: %v\n%s", err, out)
	}
	s.blind(t)
	s.noSession(t)
	// And the next one takes over where it was.
	event := time.Now()
	s.startDaemon(t)
	s.web.becomes(t, event, "watched again", func(c hooks.Change) bool { return c.State != "starting" && c.State != "blind" })
	s.web.judgedAfter(t, event)
	// Without that, too: a daemon finds and ends what was left by another one.
	_ = s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	event = time.Now()
	s.startDaemon(t)
	s.web.becomes(t, event, "watched again", func(c hooks.Change) bool { return c.State != "starting" && c.State != "blind" })
	s.web.judgedAfter(t, event)
	if d, _ := s.web.status(t); d.State == "learning" || !d.Profile {
		t.Errorf("status %+v; want the profile in force", d)
	}
}

// blind checks that the guest is said to be blind because nobody watches it.
func (s *stack) blind(t *testing.T) {
	t.Helper()
	state, err := s.client.State(s.web.uuid)
	if err != nil || state == nil || state.Value != "blind" || state.Reason.Code != "daemon-stopped" {
		text, _ := json.Marshal(state)
		t.Errorf("state %s, %v; want blind, daemon-stopped", text, err)
	}
}

func (s *stack) testStop(t *testing.T) {
	s.web.judged(t)
	s.stopDaemon(t)
	s.blind(t)
	s.noSession(t)
}
