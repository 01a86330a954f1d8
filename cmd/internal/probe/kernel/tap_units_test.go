package kernel

import (
	"slices"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// TestTapUnits sends while units are read: every packet is in one of them.
func TestTapUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seven seconds")
	}
	newNetwork(t)
	g := newTap(t, "a0")
	const offset = 123456789
	c := attachBy(t, byTCX, Options{Offset: offset}, g.TapDevice)
	sent := uint64(0)
	var units []unit.Unit
	send := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); sent++ {
			g.send(t, frame{}.pad(100))
			time.Sleep(50 * time.Microsecond)
		}
	}
	for _, last := range []bool{false, false, false, true} {
		send(7 * time.Second / 4)
		more, err := c.Collect(last)
		if err != nil {
			t.Fatal(err)
		}
		units = append(units, more...)
	}
	counted := uint64(0)
	column := slices.IndexFunc(probe.Tap.Columns(), func(c probe.Column) bool { return c.Name == lengthColumn("sent", 100) })
	for i, u := range units {
		counted += u.Counts[column]
		if u.Lost != 0 || i > 0 && (u.Start%width != 0 || u.Start != units[i-1].Start+units[i-1].Duration) {
			t.Errorf("unit %d: %d, %d, lost %d", i, u.Start, u.Duration, u.Lost)
		}
		if full := i > 0 && i < len(units)-1; full != u.Full() && full {
			t.Errorf("unit %d lasts %d ns", i, u.Duration)
		}
	}
	if counted != sent || len(units) < 4 {
		t.Errorf("%d of %d packets in %d units", counted, sent, len(units))
	}
}
