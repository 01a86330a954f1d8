package model

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const tick = int64(Width)

// recording makes one of the guest's next n units.
func (g *guest) recording(name string, n int, factor float64) Recording {
	r := Recording{Name: name, Features: guestFeatures()}
	for range n {
		u := g.unit(factor)
		o := Observation{Start: u.Start}
		for _, v := range u.Values {
			o.Counts = append(o.Counts, uint64(v))
		}
		r.Units = append(r.Units, o)
	}
	return r
}

// counts makes a recording of one feature.
func counts(name, feature string, start int64, values ...uint64) Recording {
	r := Recording{Name: name, Features: []string{feature}}
	for i, v := range values {
		r.Units = append(r.Units, Observation{Start: start + int64(i)*tick, Counts: []uint64{v}})
	}
	return r
}

func TestLay(t *testing.T) {
	a := counts("a", "x", 1000*tick, 1, 2, 3)
	a.Units[2].Partial = true
	b := counts("b", "x", 1003*tick, 4) // goes on where a ended
	c := counts("c", "y", 7, 5, 6)
	c.Units[0].Partial = true
	c.Units[1].Lossy = true
	got, err := lay([]string{"x", "y"}, []Recording{a, b, c})
	if err != nil {
		t.Fatal(err)
	}
	start := 3*tick + int64(time.Hour)
	want := []sample{
		{row: Row{Start: 0, Values: []float64{1, 0}}, fresh: true},
		{row: Row{Start: tick, Values: []float64{2, 0}}},
		{row: Row{Start: 3 * tick, Values: []float64{4, 0}}},
		{row: Row{Start: start + tick, Values: []float64{0, 6}}, fresh: true, lossy: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); diff != "" {
		t.Error(diff)
	}
	if n := len(learnable([]string{"x", "y"}, got).Rows); n != 3 {
		t.Errorf("%d units to learn from", n)
	}
	if names := allFeatures([]Recording{c}, []Recording{a, b}); !slices.Equal(names, []string{"x", "y"}) {
		t.Errorf("features %v", names)
	}
}

// Whatever the clocks of recordings are, all whole units of theirs lie in order on the common line, and
// those of one recording as far apart as they were.
func TestLayAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var recordings []Recording
		whole := 0
		for range rapid.IntRange(1, 4).Draw(t, "recordings") {
			start := rapid.Int64Range(-1e15, 1e15).Draw(t, "start")
			r := Recording{Features: []string{"x"}}
			for range rapid.IntRange(1, 5).Draw(t, "units") {
				r.Units = append(r.Units, Observation{Start: start, Partial: len(r.Units) > 0 && rapid.Bool().Draw(t, "partial")})
				start += rapid.Int64Range(1, 10*tick).Draw(t, "step")
			}
			for _, u := range r.Units {
				whole += int(count(!u.Partial))
			}
			recordings = append(recordings, r)
		}
		got, err := lay([]string{"x"}, recordings)
		if err != nil || len(got) != whole {
			t.Fatalf("%d of %d units, %v", len(got), whole, err)
		}
		for i := range got[1:] {
			if got[i+1].row.Start <= got[i].row.Start {
				t.Errorf("unit %d at %d, then %d", i, got[i].row.Start, got[i+1].row.Start)
			}
		}
		at := 0
		for _, r := range recordings {
			first := got[at].row.Start - r.Units[0].Start
			for _, u := range r.Units {
				if u.Partial {
					continue
				}
				if got[at].row.Start-u.Start != first {
					t.Error("distances within a recording have changed")
				}
				at++
			}
		}
	})
}

func TestUnusableRecordings(t *testing.T) {
	good := counts("good", "x", 0, 1, 2)
	far := counts("bad", "x", math.MinInt64, 1, 2)
	far.Units[1].Start = math.MaxInt64
	many := counts("bad", "x", 0, 1)
	many.Units[0].Counts = []uint64{1, 2}
	back := counts("bad", "x", 0, 1, 2)
	back.Units[1].Start = 0
	partial := counts("bad", "x", 0, 1)
	partial.Units[0].Partial = true
	for what, r := range map[string]Recording{
		"too far apart": far, "more counts than features": many, "out of order": back, "all partial": partial, "empty": {Name: "bad"},
	} {
		_, err := lay([]string{"x"}, []Recording{good, r})
		if !errors.Is(err, ErrRecording) || !strings.Contains(err.Error(), "bad: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := lay([]string{"x"}, nil); !errors.Is(err, ErrRecording) {
		t.Errorf("none: %v", err)
	}
	// Recordings that each are short enough, but not together.
	long := counts("long", "x", 0, 1, 2)
	long.Units[1].Start = maxSpan - 1
	if _, err := lay([]string{"x"}, []Recording{long, long}); !errors.Is(err, ErrRecording) {
		t.Errorf("two long ones: %v", err)
	}
}
