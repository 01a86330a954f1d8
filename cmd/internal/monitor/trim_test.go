package monitor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// A flood amid the units that are learnt from is left out, told, and not among the units that are kept for relearning.
func TestLearnLeavesOut(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	begun := time.Now()
	units := load(60, begun, 1, 0)
	flood := load(5, begun.Add(30*unit.Width), 20, 0)
	s.observe(slices.Concat(units[:30], flood, units[35:]))
	p := s.judge.profile
	if p == nil {
		t.Fatalf("not learnt: %+v", s.status())
	}
	at := begun.Truncate(unit.Width).UTC()
	info, err := s.m.Profile(s.domain.UUID)
	if err != nil {
		t.Fatal(err)
	}
	want := []control.Trimmed{{From: at.Add(30 * unit.Width), To: at.Add(35 * unit.Width), Units: 5}}
	if diff := cmp.Diff(want, info.Trimmed); diff != "" || info.Units != 55 {
		t.Errorf("%d units (-want +got):\n%s", info.Units, diff)
	}
	if rows, err := trainingRows(s.m.store, p); err != nil || len(rows) != 55 {
		t.Errorf("%d units are kept, %v; want those that were learnt from", len(rows), err)
	}
	s.observe(load(5, begun.Add(time.Hour), 20, 0))
	if now := s.status().State; now != stateAnomalous {
		t.Errorf("%s in the same flood; want anomalous", now)
	}
}

// Where a large part of the units stands far out, nothing is learnt, and the reason says when that was.
func TestLearnRefuses(t *testing.T) {
	cfg := testConfig(t)
	cfg.Learning.MaxUnits = cfg.Learning.Units
	s := newSingle(t, cfg)
	s.begin()
	begun := time.Now()
	units := load(60, begun, 1, 0)
	flood := load(12, begun.Add(30*unit.Width), 20, 0)
	s.observe(slices.Concat(units[:30], flood, units[42:]))
	now := s.status()
	from := begun.Truncate(unit.Width).Add(30 * unit.Width).UTC().Format("15:04:05")
	if now.Profile || now.Reason.Code != reasonRefused || !strings.Contains(now.Reason.Text, "12 of 60 units") || !strings.Contains(now.Reason.Text, "from "+from) {
		t.Errorf("%+v; want it refused, and why", now.Reason)
	}
	s.observe(load(60, begun.Add(time.Hour), 1, 0))
	if !s.status().Profile {
		t.Errorf("%+v; want that learnt which comes next", s.status().Reason)
	}
}
