//go:build integration

package main

import (
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

const (
	// flood is how many packets the second guest receives.
	flood = 2000
	// trickle is more than the first guest receives meanwhile in one unit: it exchanges none with anybody.
	trickle = 100
)

func (s *stack) testTwoGuests(t *testing.T) {
	s.web.judged(t)
	if err := s.lab.Define(t.Context(), lab.GuestDef{Name: "second", MemoryMiB: 384}); err != nil {
		t.Fatal(err)
	}
	second := s.guest(t, "second")
	began, _ := s.web.status(t)
	second.domain(t, (*golibvirt.Domain).Create)
	s.web.attached(t)
	second.attached(t)
	if s.web.pid(t) == second.pid(t) {
		t.Fatal("two guests, one QEMU")
	}
	second.await(t, "learning")

	event := time.Now().Truncate(2 * time.Second)
	second.ping(t, flood)
	s.within(t, "the flood is seen in the second guest", func() bool {
		all, _ := second.received(event)
		return all >= flood
	})
	if all, most := s.web.received(event); most >= trickle {
		t.Errorf("the first guest received %d packets, %d in one unit, during a flood of the second one", all, most)
	}
	if d, _ := s.web.status(t); d.State == "learning" || d.State == "starting" || d.State == "blind" {
		t.Errorf("the first guest is %s because of the second one: %+v", d.State, d)
	}

	before, _ := s.web.status(t)
	s.sound(t) // of both
	second.domain(t, (*golibvirt.Domain).Destroy)
	second.gone(t)
	s.web.attached(t)
	s.web.judgedAfter(t, time.Now())
	after, _ := s.web.status(t)
	if after.PID != began.PID || after.Units.Judged <= before.Units.Judged || after.Units.Unread > began.Units.Unread {
		t.Errorf("the first guest, before %+v, after %+v; want it judged all the time", began, after)
	}
	if s := after.Ledger.Scored - began.Ledger.Scored; s < wantScored*(after.Ledger.Life-began.Ledger.Life) {
		t.Errorf("the first guest, before %+v, after %+v; want nearly all scored", began.Ledger, after.Ledger)
	}
}
