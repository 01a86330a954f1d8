package monitor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

func TestActivities(t *testing.T) {
	tests := map[string][]activity{
		"nothing":                   nil,
		"paused":                    {{true, 1}},
		"paused twice":              {{true, 1}, {true, 2}},
		"paused, and on":            {{true, 1}, {false, 2}},
		"a moment between":          {{true, 1}, {false, 2}, {true, 3}},
		"and on again":              {{true, 1}, {false, 2}, {true, 3}, {false, 4}},
		"on, and paused":            {{false, 1}, {true, 2}},
		"on, a moment between, off": {{false, 1}, {true, 2}, {false, 3}, {true, 4}, {false, 5}, {true, 6}},
	}
	want := map[string][]activity{
		"nothing":                   nil,
		"paused":                    {{true, 1}},
		"paused twice":              {{true, 1}},
		"paused, and on":            {{true, 1}, {false, 2}},
		"a moment between":          {{true, 1}},
		"and on again":              {{true, 1}, {false, 4}},
		"on, and paused":            {{false, 1}, {true, 2}},
		"on, a moment between, off": {{false, 1}, {true, 2}},
	}
	for name, told := range tests {
		var n notice
		for _, a := range told {
			n.act(a.paused, a.at)
		}
		if diff := cmp.Diff(want[name], n.activities, cmp.AllowUnexported(activity{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Whatever a watcher is told while it is busy, it knows afterwards.
func TestNewsAreNotLost(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.m.watchers[s.domain.UUID] = s.watcher
	for range 10 * requestQueue {
		s.configureSoon()
		s.news.tell(func(n *notice) { n.hardware = &libvirt.Hardware{Machine: "pc"} })
	}
	at := now() - int64(time.Second)
	s.m.event(t.Context(), libvirt.Event{Kind: libvirt.Rebooted, Domain: s.domain}, at)
	s.m.event(t.Context(), libvirt.Event{Kind: libvirt.Suspended, Domain: s.domain}, at)
	s.settings.Learning.Units++ // not what is configured
	s.heed()
	if len(s.reboots) != 1 || s.reboots[0].from != at || !s.paused || s.pausedAt != at {
		t.Errorf("reboots %v, paused %v at %d; want both at %d", s.reboots, s.paused, s.pausedAt, at)
	}
	if s.hardware.Machine != "pc" || s.settings.Learning.Units != s.m.cfg.Learning.Units {
		t.Errorf("hardware %+v, settings %+v; want those that are true now", s.hardware, s.settings)
	}
}

func TestManyReboots(t *testing.T) {
	var n notice
	for at := range int64(100) {
		n.reboot(at)
	}
	if diff := cmp.Diff([]int64{92, 93, 94, 95, 96, 97, 98, 99}, n.reboots); diff != "" {
		t.Errorf("reboots (-want +got):\n%s", diff)
	}
}

// A pause that libvirt tells of while a collection takes its time is of the units of that time.
func TestPauseDuringCollection(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.m.watchers[s.domain.UUID] = s.watcher
	start := time.Now()
	s.m.event(t.Context(), libvirt.Event{Kind: libvirt.Suspended, Domain: s.domain}, now())
	s.observe([]unit.Unit{{Start: start.UnixNano(), Duration: int64(unit.Width), Counts: make([]uint64, len(s.judge.features))}})
	if n := s.status().LearntUnits; n > 0 {
		t.Errorf("%d unit of a guest that stood still was learnt", n)
	}
}

// A watcher that waits for the one before it does what it is asked for.
func TestServesWhileItWaits(t *testing.T) {
	s := newSingle(t, testConfig(t))
	before, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		s.await(before)
	}()
	if err := s.ask(func() error { return nil }); err != nil {
		t.Error(err)
	}
	s.news.tell(func(n *notice) { n.hardware = &libvirt.Hardware{Machine: "pc"} })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		known := false
		if err := s.ask(func() error { known = s.known; return nil }); err != nil {
			t.Fatal(err)
		}
		if known {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the hardware is not known")
		}
	}
	close(before)
	<-over
}
