package monitor

import (
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// A state is announced again when the host's clock was set, by which it is valid.
func TestClockSet(t *testing.T) {
	for ahead, want := range map[time.Duration]bool{0: false, 100 * time.Millisecond: false, time.Hour: true, -time.Hour: true, -2 * time.Second: true} {
		s := newSingle(t, testConfig(t))
		s.begin()
		s.learn()
		before := s.said
		if before.IsZero() {
			t.Fatal("no state was announced")
		}
		s.said, s.saidAt = before.Add(-ahead), now() // as if the clock had been set ahead just then; said has no other clock than its own
		s.refresh()
		if again := !s.said.Equal(before.Add(-ahead)); again != want {
			t.Errorf("clock set %v ahead: announced again %v; want %v", ahead, again, want)
		}
	}
}

// Units are collected after their end by the units' own clock, whatever the host's is set to.
func TestCollectedByTheUnitsClock(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	for _, shift := range []time.Duration{0, 700 * time.Millisecond, time.Second} {
		s.grid = now() - time.Now().Add(shift).UnixNano() // units' time is ahead of the host's
		before := now()
		wait := s.untilCollect()
		took := time.Duration(now() - before)      // however slow this test is
		at := time.Duration(before-s.grid) + wait  // when, in units' time, or up to so much later
		latest := collectDelay + spread + together // collections wait for each other
		after := at % unit.Width
		if wait <= 0 || wait > unit.Width+together || after+took < collectDelay || after > latest+took {
			t.Errorf("units' clock %v ahead: collected in %v, %v after a unit's end", shift, wait, after)
		}
	}
	if s.drop(); s.grid != 0 {
		t.Error("another source's units have another clock")
	}
}

// A state that somebody changes again, too soon for it to be written again at once, is written as soon as it may be.
func TestRewrittenLater(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	s.rewrite()
	at := s.said
	s.rewrite()
	s.refresh()
	if !s.said.Equal(at) {
		t.Error("written twice at once")
	}
	s.again = time.Now().Add(-rewriteEvery)
	s.refresh()
	if s.said.Equal(at) || s.changed {
		t.Error("not written when it may be")
	}
}
