//go:build integration

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/hooks"
)

// testJoined has the guest observed by its QEMU's trace points and by the kernel. Of packets that it receives, both say the same.
func (s *stack) testJoined(t *testing.T) {
	s.web.judged(t)
	s.stopDaemon(t)
	h := &probeHelper{stack: s}
	h.start(t)
	defer h.end()
	s.sources = `use = ["ust", "tap", "syscalls"]`
	event := time.Now()
	s.startDaemon(t)
	s.web.changes(t, event, "attached", func(c hooks.Change) bool { return c.State == "learning" })
	d, _ := s.web.status(t)
	if seeing, not := sources(d); !slices.Equal(seeing, []string{"ust", "tap", "syscalls"}) || len(not) > 0 || d.Coverage != "full" {
		t.Errorf("coverage %s, seen by %v, not by %v", d.Coverage, seeing, not)
	}
	if d.Reason == nil || d.Profile {
		t.Errorf("status %+v; want no profile, as the one there is was learnt from trace points alone", d)
	}
	const pings = 200
	for range 6 {
		s.web.ping(t, pings)
		time.Sleep(time.Second)
	}
	s.web.await(t, "normal")
	units, packets := 0, uint64(0)
	for _, u := range s.heard.since(s.web.uuid, event) {
		if u.Duration < 2 || u.Lost > 0 {
			continue
		}
		counts, calls := map[string]uint64{}, uint64(0)
		for feature, n := range u.Counts {
			if strings.HasPrefix(feature, "syscalls:") {
				calls += n
			}
			if prefix, _, sized := strings.Cut(feature, ":len"); sized {
				counts[prefix] += n
			}
		}
		trace, tap := counts["virtqueue_fill:net.rx"], counts["tap:received"]
		units, packets = units+1, packets+tap
		// A packet may pass the tap device in one unit and reach the queue in the next.
		if apart(trace, tap) > 1+tap/100 || calls == 0 {
			t.Errorf("unit at %v: %d packets received by the trace, %d by the tap device; %d system calls", u.Start, trace, tap, calls)
		}
	}
	// Of the pings, those in the first unit are left out where it is short, and those in a unit that lost events: one burst or two.
	if units < learnt || packets < 3*pings {
		t.Errorf("%d packets in %d units; want %d at least in %d", packets, units, 3*pings, learnt)
	}
	s.stopDaemon(t)
	h.end()
	s.sources = ""
	event = time.Now()
	s.startDaemon(t)
	s.web.changes(t, event, "watched by trace points again", func(c hooks.Change) bool { return c.State != "starting" && c.State != "blind" })
}

func apart(a, b uint64) uint64 { return max(a, b) - min(a, b) }
