package monitor

import (
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// While a domain is suspect its units are collected right after their end, and no longer.
func TestHurry(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	at := time.Now().Add(200 * time.Second)
	next := func(scale uint64, state string, hurried bool) {
		t.Helper()
		s.observe(load(1, at, scale, 0))
		at = at.Add(unit.Width)
		if got := s.status().State; got != state || s.source.hurried != hurried {
			t.Fatalf("state %s, collected hurriedly: %v; want %s, %v", got, s.source.hurried, state, hurried)
		}
	}
	next(1, stateNormal, false)
	next(40, stateNormal, false)
	next(40, stateSuspect, false)
	next(40, stateAnomalous, true)
	next(40, stateAnomalous, false)
	if n := len(s.m.hurries); n != hurriedMost {
		t.Errorf("%d turns are left of %d", n, hurriedMost)
	}
}

func TestHurryTurns(t *testing.T) {
	m := &Monitor{hurries: newTurns(hurriedMost)}
	list := make([]*watcher, hurriedMost+1)
	for i := range list {
		list[i] = &watcher{m: m}
		list[i].hurry(true)
		list[i].hurry(true) // it has one already
	}
	last := list[hurriedMost]
	if last.hurried {
		t.Fatal("one more than there are turns")
	}
	list[0].hurry(false)
	list[0].hurry(false)
	if last.hurry(true); !last.hurried {
		t.Error("no turn, though another has given its own back")
	}
}
