package monitor

import (
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// A domain's day must not take more memory than was planned for.
func TestTimelineSize(t *testing.T) {
	if size := unsafe.Sizeof(timeline{}); size > 16<<10 {
		t.Errorf("a time line takes %d bytes", size)
	}
}

var epoch = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// scoredUnit is the unit that begins so many units after epoch.
func scoredUnit(n int, state string, score, p float64, anomalous bool) *control.UnitReport {
	return &control.UnitReport{Start: epoch.Add(time.Duration(n) * unit.Width), State: state, Judged: true, Score: score, PValue: p, Anomalous: anomalous}
}

func TestTimeline(t *testing.T) {
	var l timeline
	if units, minutes := l.tracks(); units.State != nil || minutes.State != nil || !units.Start.IsZero() {
		t.Errorf("an empty time line shows %+v, %+v", units, minutes)
	}
	for n := range 30 {
		l.unit(scoredUnit(n, stateNormal, 0.5, 0.5, false), "")
	}
	l.unit(scoredUnit(30, stateSuspect, -1.234, 0.0004, true), "")
	l.unit(scoredUnit(31, stateNormal, 0.25, 0.3, false), "")
	l.unit(&control.UnitReport{Start: epoch.Add(32 * unit.Width), State: stateUnknown}, reasonEventsLost)
	l.note(epoch.Add(33*unit.Width), stateBlind, reasonNoDaemon)
	l.note(epoch.Add(300*unit.Width), stateBlind, reasonNoDaemon)
	units, minutes := l.tracks()
	if !units.Start.Equal(epoch) || len(units.State) != 301 || len(minutes.State) != 11 || units.Step != 2 || minutes.Step != 60 {
		t.Fatalf("%v, %d units, %d minutes", units.Start, len(units.State), len(minutes.State))
	}
	for i, want := range map[int]struct {
		state, reason string
		scored        int
		score, p      float64
	}{
		0: {stateNormal, "", 1, 0.5, 0.5}, 30: {stateSuspect, "", 1, -1.23, 0.0004}, 32: {stateUnknown, reasonEventsLost, 0, 0, 0}, 34: {stateBlind, reasonNoDaemon, 0, 0, 0},
		299: {stateBlind, reasonNoDaemon, 0, 0, 0},
	} {
		reason := ""
		if r := units.Reason[i]; r >= 0 {
			reason = units.Reasons[r]
		}
		near := func(a, b float64) bool { return a == b || a/b > 0.99 && a/b < 1.01 }
		if units.States[units.State[i]] != want.state || reason != want.reason || units.Scored[i] != want.scored || !near(units.Score[i], want.score) || !near(units.PValue[i], want.p) {
			t.Errorf("unit %d: %s %s %d %v %v, want %+v", i, units.States[units.State[i]], reason, units.Scored[i], units.Score[i], units.PValue[i], want)
		}
	}
	// The minute of the unusual unit shows it, however many usual ones there are.
	if minutes.States[minutes.State[1]] != stateSuspect || !minutes.Unusual[1] || minutes.Scored[1] != 2 || minutes.PValue[1] > 0.00041 || minutes.Score[1] > -1.2 {
		t.Errorf("minute 1: %v %v %v %v", minutes.State[1], minutes.Unusual[1], minutes.Scored[1], minutes.PValue[1])
	}
	r := l.ribbon(epoch.Add(10 * time.Minute))
	if len(r.States) != control.RibbonMinutes || r.States[49:] != "nsbbbbbbbbb" || r.Unusual[49:] != "06........." {
		t.Errorf("ribbon %q %q", r.States, r.Unusual)
	}
	// Of what is a day old, nothing is left.
	l.note(epoch.Add(25*time.Hour), stateNormal, "")
	if units, minutes := l.tracks(); len(units.State) > timelineUnits || len(minutes.State) != timelineMinutes || minutes.Start.Before(epoch.Add(time.Hour)) {
		t.Errorf("a day later: %d, %d, %v", len(units.State), len(minutes.State), minutes.Start)
	}
	// A clock that is set back begins anew.
	l.note(epoch, stateNormal, "")
	if units, _ := l.tracks(); len(units.State) != 1 || !units.Start.Equal(epoch) {
		t.Errorf("after the clock was set back: %d units from %v", len(units.State), units.Start)
	}
}

// Whatever comes, in whatever order, the newest unit is shown as it was last told, and no time that was not scored shows a score.
func TestTimelineShowsWhatCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l timeline
		told := map[int]*control.UnitReport{}
		newest := 0
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 2000), 1, 60).Draw(t, "units") {
			if n <= newest-timelineUnits {
				continue
			}
			if rapid.Bool().Draw(t, "noted") {
				l.note(epoch.Add(time.Duration(n)*unit.Width), stateBlind, reasonNoDaemon)
			} else {
				told[n] = scoredUnit(n, stateNormal, rapid.Float64Range(-5, 5).Draw(t, "score"), rapid.Float64Range(0, 1).Draw(t, "p"), false)
				l.unit(told[n], "")
			}
			newest = max(newest, n)
		}
		units, minutes := l.tracks()
		first := int(units.Start.Sub(epoch) / unit.Width)
		scored := 0
		for i := range units.State {
			u, was := told[first+i]
			if was != (units.Scored[i] == 1) || was && (units.PValue[i]-u.PValue > 0.01 || u.PValue-units.PValue[i] > 0.01) {
				t.Fatalf("unit %d: scored %d, p %v; told %+v", first+i, units.Scored[i], units.PValue[i], u)
			}
		}
		for _, n := range minutes.Scored {
			scored += n
		}
		if scored < 0 || len(minutes.State) > timelineMinutes {
			t.Fatal("the minutes cannot be")
		}
	})
}

// What was counted is summed up in columns, with what is usual beside it.
func TestCounts(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, reasonGathering)
	start := time.Now().Add(-10 * time.Minute).Truncate(unit.Width)
	b.source.put(batch{units: load(60, start, 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	c, err := b.Counts(b.domain.Name, control.CountsSpan{Columns: 10})
	if err != nil || c.Total != 60 || len(c.Units) != 10 || !c.Profile || !c.Start.Equal(start) || c.Step != 12 || len(c.Rows) == 0 {
		t.Fatalf("Counts = %+v, %v", c, err)
	}
	for _, r := range c.Rows {
		if len(r.Values) != 10 || r.Mean < r.Low || r.Mean > r.High {
			t.Errorf("%s: mean %v, usually %v to %v", r.Feature, r.Mean, r.Low, r.High)
		}
	}
	if c, err := b.Counts(b.domain.Name, control.CountsSpan{To: start}); err != nil || c.Total != 0 || c.Rows != nil {
		t.Errorf("Counts before the first unit = %+v, %v", c, err)
	}
	line, err := b.Timeline(b.domain.UUID)
	if err != nil || line.Level <= 0 || len(line.Minutes.State) < 10 {
		t.Errorf("Timeline = %+v, %v", line, err)
	}
	if all := b.Ribbons(); len(all[b.domain.UUID].States) != control.RibbonMinutes {
		t.Errorf("Ribbons = %v", all)
	}
}
