//go:build integration

package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng"
)

// TestSilentConsumer stops LTTng's consumer daemon while a guest that was mostly quiet, beside one that is busy, begins to work. Nothing of that is written
// meanwhile, which looks like silence: but no unit of the guest is given out for whole and empty, and when the consumer daemon goes on the guest is seen again, in
// the same session.
func TestSilentConsumer(t *testing.T) {
	s := newSite(t)
	binary := s.compile(t, "ustload")
	p := s.start(t, "quiet", binary, "-load", "idle", "-seed", "1")
	s.start(t, "busy", binary, "-load", "busy", "-seed", "2")
	s.until(t, "both are seen", func() bool {
		list := s.monitor.Domains()
		return len(list) == 2 && list[0].Units.Seen >= 10 && list[1].Units.Seen >= 10
	})
	consumer, err := lttng.Consumer(p.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = consumer.Release() }()
	before := s.status(t, p)
	units, heard := s.hear(t, p)

	if err := consumer.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.tell(t, "load disk") // ten bursts in each unit, where other loads have seconds of silence
	begun := time.Now().Add(500 * time.Millisecond)
	s.until(t, "it is noticed that nothing is seen", func() bool { return s.status(t, p).State == "blind" })
	s.told(t, p)
	if err := consumer.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	gone := time.Now()
	s.until(t, "seen again", func() bool {
		d := s.status(t, p)
		return d.State != "blind" && d.Last != nil && d.Last.Lost == 0 && d.Last.Start.After(gone)
	})
	heard()

	if after := s.told(t, p); after.PID != before.PID || after.Units.Late > before.Units.Late {
		t.Errorf("after it %+v, before %+v; want no late events", after, before)
	}
	for _, u := range *units {
		if u.Start.After(begun) && u.Lost == 0 && len(u.Counts) == 0 {
			t.Errorf("a unit of a guest that is busy is whole and empty: %+v", u)
		}
	}
	for _, u := range *units {
		t.Logf("unit from %s for %.3f s: %d lost, %v", u.Start.Format(time.StampMilli), u.Duration, u.Lost, u.Counts)
	}
}
