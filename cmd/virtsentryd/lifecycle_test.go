//go:build integration

package main

import (
	"strings"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/hooks"
)

func (s *stack) testAttachRunning(t *testing.T) {
	s.web.domain(t, (*golibvirt.Domain).Create)
	if err := s.lab.WaitForWeb(t.Context(), s.web.name, patience); err != nil {
		t.Fatal(err)
	}
	s.startDaemon(t)
	state := s.web.await(t, "learning")
	if state.Reason == nil || state.Reason.Code != "gathering" {
		t.Errorf("state %+v; want the reason gathering", state)
	}
	d, ok := s.web.status(t)
	if !ok || d.PID != s.web.pid(t) || d.Missed == 0 {
		t.Errorf("status %+v; want PID %d, and that its start was missed", d, s.web.pid(t))
	}
}

func (s *stack) testLearn(t *testing.T) {
	s.web.judged(t)
	s.web.await(t, "normal")
	s.within(t, "three events: starting, learning, normal", func() bool { return s.seen() >= 3 })
	d, _ := s.web.status(t)
	// Units that stand far out are left out: at most a tenth.
	if !d.Profile || d.LearntUnits > learnt || d.LearntUnits < learnt*9/10 || d.Units.Lossy > 0 || d.Units.Late > 0 || d.BufferBytes == 0 {
		t.Errorf("status %+v; want a profile of %d units, nothing lost, and the memory of its buffers", d, learnt)
	}
	// What a unit counts is what the guest does: packets that it receives are seen as such.
	began := time.Now()
	s.web.ping(t, 40)
	s.within(t, "40 packets received", func() bool {
		all, _ := s.web.received(began.Truncate(2 * time.Second))
		return all >= 40
	})
}

func (s *stack) testPause(t *testing.T) {
	s.web.judged(t)
	event := time.Now()
	s.web.domain(t, (*golibvirt.Domain).Suspend)
	s.web.becomes(t, event, "paused", is("paused"))
	if state := s.web.await(t, "paused"); state.Reason == nil || state.Reason.Code != "paused" {
		t.Errorf("state %+v; want the reason paused", state)
	}
	event = time.Now()
	s.web.domain(t, (*golibvirt.Domain).Resume)
	s.web.becomes(t, event, "not paused", func(c hooks.Change) bool { return c.State != "paused" })
	s.web.judgedAfter(t, event)
}

// rebootsBy checks what follows when the guest boots again within its QEMU process.
func (s *stack) rebootsBy(t *testing.T, what string, boot func(*golibvirt.Domain) error) {
	t.Helper()
	s.web.judged(t)
	before, _ := s.web.status(t)
	session := s.web.sessions(t)
	asked := time.Now()
	s.web.domain(t, boot)
	// A guest that is asked to reboot takes its time to shut down, in which it is judged as ever.
	s.web.within(t, what+": libvirt tells of it", func() bool { return !s.rebooted(s.web.uuid, asked).IsZero() })
	event := s.rebooted(s.web.uuid, asked).Add(-time.Second) // the daemon may have heard of it before
	change := s.web.becomes(t, event, what+": starting", is("starting"))
	if change.Reason == nil || change.Reason.Code != "booting" {
		t.Errorf("%s: %+v; want the reason booting", what, change)
	}
	over := s.web.changes(t, change.Since, what+": the start is over", func(c hooks.Change) bool { return c.State != "starting" })
	if took := over.Since.Sub(change.Since); took > starting+3*2*time.Second {
		t.Errorf("%s: starting for %v; the limit is %v", what, took, starting)
	}
	s.web.judgedAfter(t, over.Since)
	after, _ := s.web.status(t)
	if after.PID != before.PID || !after.Profile || after.Trained == nil || !after.Trained.Equal(*before.Trained) {
		t.Errorf("%s: before %+v, after %+v; want the same QEMU and the same profile", what, before, after)
	}
	if after.Ledger.Reasons["booting"] <= before.Ledger.Reasons["booting"] {
		t.Errorf("%s: no time was spent booting: before %+v, after %+v", what, before.Ledger, after.Ledger)
	}
	if now := s.web.sessions(t); len(now) != 1 || now[0] != session[0] {
		t.Errorf("%s: sessions %v; want %v as before", what, now, session)
	}
}

func (s *stack) testReboot(t *testing.T) {
	s.rebootsBy(t, "reboot", func(d *golibvirt.Domain) error { return d.Reboot(golibvirt.DOMAIN_REBOOT_DEFAULT) })
}

func (s *stack) testReset(t *testing.T) {
	s.rebootsBy(t, "reset", func(d *golibvirt.Domain) error { return d.Reset(0) })
}

func (s *stack) testRestore(t *testing.T) {
	s.web.judged(t)
	saved := s.web.pid(t)
	s.web.domain(t, func(d *golibvirt.Domain) error { return d.ManagedSave(0) })
	s.web.gone(t)
	s.web.domain(t, (*golibvirt.Domain).Create)
	event := time.Now() // its CPUs run now
	s.web.attached(t)
	s.web.judgedAfter(t, event)
	if s.web.pid(t) == saved {
		t.Error("the guest was not restored: its QEMU is the old one")
	}
	late := 0
	for _, u := range s.heard.since(s.web.uuid, event) {
		if !u.Judged {
			late++
		}
	}
	t.Logf("%d units were not judged", late)
	if late > mostUnits {
		t.Errorf("%d units of a restored guest were not judged; it does not boot", late)
	}
}

func (s *stack) testDestroy(t *testing.T) {
	s.web.judged(t)
	now := time.Now()
	time.Sleep((3*time.Second - now.Sub(now.Truncate(2*time.Second))) % (2 * time.Second)) // amid a unit
	s.web.domain(t, (*golibvirt.Domain).Destroy)
	s.web.gone(t)
	s.noSession(t)
	if log := s.log(); !strings.Contains(log, "detached") {
		t.Errorf("log without a word of it:\n%s", log)
	}
}

func (s *stack) testAttachAtStart(t *testing.T) {
	s.web.stopped(t)
	events := s.seen()
	event := time.Now()
	s.web.domain(t, (*golibvirt.Domain).Create)
	s.web.becomes(t, event, "starting", is("starting"))
	// The profile is there: whatever the state, it is never learning again.
	s.within(t, "units judged by the profile of last time", func() bool {
		d, ok := s.web.status(t)
		if ok && d.State == "learning" {
			t.Fatalf("learning again: %+v", d)
		}
		return ok && d.Profile && d.Units.Judged > 0
	})
	s.within(t, "events of the new start", func() bool { return s.seen() > events })
	if d, _ := s.web.status(t); d.Missed != 0 {
		t.Errorf("the guest ran for %v s before it was attached to; want none of it missed", d.Missed)
	}
}

func (s *stack) testQuick(t *testing.T) {
	s.web.judged(t)
	s.web.restart(t)
	asked := s.web.restart(t)
	s.web.becomes(t, asked, "starting", is("starting"))
	s.web.attached(t)
	s.web.judgedAfter(t, asked)
	d, _ := s.web.status(t)
	t.Logf("%v s of the guest's life were missed", d.Missed)
	// The observation of the QEMU before it ends first.
	if !d.Profile || d.Missed > 2*mostUnits || d.Units.Unread > 0 {
		t.Errorf("status %+v; want the profile in force, and the guest seen from its start, or soon after", d)
	}
}

func (s *stack) testRename(t *testing.T) {
	s.web.stopped(t)
	old := s.web.name
	s.web.renamed(t, old+"-renamed")
	s.web.renamed(t, old)
}

// renamed gives the guest, which does not run, another name, and checks that it is judged under that one, by the profile that it has.
func (g *guest) renamed(t *testing.T, name string) {
	t.Helper()
	g.domain(t, func(d *golibvirt.Domain) error { return d.Rename(name, 0) })
	g.name = name
	asked := time.Now()
	g.domain(t, (*golibvirt.Domain).Create)
	if change := g.becomes(t, asked, "starting as "+name, is("starting")); change.Name != name {
		t.Errorf("the guest %s is %s to hooks", name, change.Name)
	}
	g.attached(t)
	d, err := g.control().Domain(t.Context(), name)
	if err != nil || d.UUID != g.uuid || !d.Profile {
		t.Errorf("by its new name: %+v, %v; want the guest %s with its profile", d, err, g.uuid)
	}
	g.judgedAfter(t, asked)
	g.domain(t, (*golibvirt.Domain).Destroy)
	g.gone(t)
}
