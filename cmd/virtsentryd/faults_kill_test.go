//go:build integration

package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/lttng"
)

func (s *stack) faultLogDaemon(t *testing.T) {
	p, err := s.lab.LogDaemon()
	if err != nil {
		t.Fatal(err)
	}
	event := time.Now()
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.web.unmoved(t, event, 3)
	s.repair(t)
	s.web.unmoved(t, event, 6)
}

// newSessions kills the session daemon and starts another one. It returns when that was there.
func (s *stack) newSessions(t *testing.T) time.Time {
	t.Helper()
	p, ours, err := s.lab.SessionDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if !ours {
		t.Skip("the host has a session daemon of its own, which is not ours to kill")
	}
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.within(t, "the session daemon has ended", func() bool { return !p.Alive() })
	event := time.Now()
	s.repair(t)
	return event
}

func (s *stack) faultConsumer(t *testing.T) seen {
	if _, ours, err := s.lab.SessionDaemon(); err != nil || !ours {
		t.Skip("the host has a session daemon of its own, which is not ours")
	}
	p, err := lttng.Consumer(s.web.pid(t))
	if err != nil {
		t.Fatal(err)
	}
	event := time.Now()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Release()
	blind := s.web.becomes(t, event, "blind", is("blind"))
	// No session daemon gets over that.
	event = s.newSessions(t)
	s.web.becomes(t, event, "sees again", seesAgain)
	s.web.judgedAfter(t, event)
	s.web.attached(t)
	return seen{text: fmt.Sprintf("blind, %s", blind.Reason.Code)}
}

func (s *stack) faultQEMU(t *testing.T) {
	before, _ := s.web.status(t)
	if err := syscall.Kill(s.web.pid(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.web.gone(t)
	s.noSession(t)
	s.within(t, "libvirt has seen it end", func() bool { return !s.web.runs(t) })
	event := time.Now()
	s.web.domain(t, (*golibvirt.Domain).Create)
	s.web.becomes(t, event, "starting", is("starting"))
	s.web.judgedAfter(t, event)
	after, _ := s.web.status(t)
	if !after.Profile || after.Missed > 0 || after.Trained == nil || !after.Trained.Equal(*before.Trained) {
		t.Errorf("status %+v; want the profile of before, and nothing missed", after)
	}
}
