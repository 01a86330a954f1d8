//go:build integration

package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// stopped stops a process for a while, in which f runs, and lets it go on.
func stopped(t *testing.T, pid int, f func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}()
	f()
}

func (s *stack) faultSlowLibvirt(t *testing.T) seen {
	p, err := s.lab.LibvirtDaemon()
	if err != nil {
		t.Fatal(err)
	}
	event := time.Now()
	stopped(t, p.PID, func() { time.Sleep(15 * time.Second) })
	s.web.unmoved(t, event, 7)
	s.testPause(t)
	d, _ := s.web.status(t)
	s.web.await(t, d.State)
	return seen{text: fmt.Sprintf("%d units judged meanwhile", len(s.heard.between(s.web.uuid, event, event.Add(15*time.Second))))}
}

func (s *stack) faultSlowSessions(t *testing.T) seen {
	p, ours, err := s.lab.SessionDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if !ours {
		t.Skip("the host has a session daemon of its own, which is not ours")
	}
	before, _ := s.web.status(t)
	event := time.Now()
	stopped(t, p.PID, func() { time.Sleep(20 * time.Second) })
	cont := time.Now()
	s.web.judgedAfter(t, cont)
	units := s.heard.between(s.web.uuid, cont, s.heard.firstJudged(s.web.uuid, cont))
	s.took(len(units), s.heard.firstJudged(s.web.uuid, cont).Sub(cont))
	after, _ := s.web.status(t)
	if !after.Profile || after.PID != before.PID || !after.Trained.Equal(*before.Trained) {
		t.Errorf("before %+v, after %+v; want the same profile", before, after)
	}
	return seen{text: tally(s.heard.between(s.web.uuid, event, cont))}
}

// tally says in words what became of units.
func tally(units []control.UnitReport) string {
	judged, lossy := 0, 0
	for _, u := range units {
		if u.Judged && u.Lost == 0 {
			judged++
		}
		if u.Lost > 0 {
			lossy++
		}
	}
	return fmt.Sprintf("of %d units meanwhile %d judged whole, %d lossy", len(units), judged, lossy)
}

func (s *stack) faultSlowDaemon(t *testing.T) seen {
	before, _ := s.web.status(t)
	event := time.Now()
	stopped(t, s.daemon.Process.Pid, func() { time.Sleep(20 * time.Second) })
	cont := time.Now()
	s.web.judgedAfter(t, cont)
	s.took(len(s.heard.between(s.web.uuid, cont, s.heard.firstJudged(s.web.uuid, cont))), s.heard.firstJudged(s.web.uuid, cont).Sub(cont))
	after, _ := s.web.status(t)
	balanced(t, after)
	units := s.heard.between(s.web.uuid, event, cont)
	if len(units) < 8 || after.Units.Unread > before.Units.Unread {
		t.Errorf("%d units of 20 seconds, %d that could not be read", len(units), after.Units.Unread-before.Units.Unread)
	}
	return seen{text: tally(units)}
}

// faultModifyJob has a monitor command wait for a QEMU that does not run. libvirt gives the domain's modify job to one at a time, and to write metadata
// takes it.
func (s *stack) faultModifyJob(t *testing.T) seen {
	pid := s.web.pid(t)
	answered := make(chan error, 1)
	event := time.Now()
	var blocked control.DomainStatus
	stopped(t, pid, func() {
		go func() {
			d, err := s.raw.LookupDomainByUUIDString(s.web.uuid)
			if err == nil {
				_, err = d.QemuMonitorCommand(`{"execute":"query-name"}`, golibvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
				_ = d.Free()
			}
			answered <- err
		}()
		time.Sleep(15 * time.Second)
		list, err := s.control().Domains(t.Context())
		if err != nil || len(list) != 1 {
			t.Errorf("the daemon does not answer while the job is held: %v, %v", list, err)
			return
		}
		blocked = list[0]
	})
	cont := time.Now()
	if err := <-answered; err != nil {
		t.Errorf("the monitor command: %v", err)
	}
	s.within(t, "the metadata is what the daemon says", func() bool {
		d, ok := s.web.status(t)
		state, err := s.client.State(s.web.uuid)
		return ok && err == nil && state != nil && state.Value == d.State && state.Updated.After(event) || ok && err == nil && state.Value == d.State && d.Since.Before(event)
	})
	s.took(len(s.heard.between(s.web.uuid, cont, time.Now())), time.Since(cont))
	if s.worst.units > mostUnits {
		t.Errorf("the metadata was right only %d units after the job was free", s.worst.units)
	}
	s.web.judgedAfter(t, cont)
	return seen{text: fmt.Sprintf("%s while it was held", blocked.State)}
}
