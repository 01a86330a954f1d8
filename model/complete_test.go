package model

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// lose keeps a share of each count, another one for each half of the features.
func lose(values []float64, first, second float64) []float64 {
	kept := make([]float64, len(values))
	for j, v := range values {
		share := first
		if j%2 == 1 {
			share = second
		}
		kept[j] = math.Floor(v * share)
	}
	return kept
}

// An ordinary unit that lost events is not called anomalous for what it lost; a flood
// is one still.
func TestCompleteLossyUnits(t *testing.T) {
	p, g := trained(t, 6, 300)
	for _, kept := range [][2]float64{{0, 0}, {0.5, 0.5}, {1, 0.2}, {0.3, 1}, {1, 1}} {
		wrong, missed := 0, 0
		for range 200 {
			u := g.unit(1).Values
			wrong += int(count(anomalousAtLeast(t, p, lose(u, kept[0], kept[1]))))
			u[4] *= 200
			u[12] *= 100
			missed += int(count(!anomalousAtLeast(t, p, lose(u, kept[0], kept[1]))))
		}
		if wrong > 2 {
			t.Errorf("keeping %v: %d of 200 ordinary units are anomalous", kept, wrong)
		}
		if kept[0] > 0 && missed > 0 {
			t.Errorf("keeping %v: %d of 200 floods missed", kept, missed)
		}
	}
}

func anomalousAtLeast(t *testing.T, p *Profile, values []float64) bool {
	t.Helper()
	completed, err := p.Complete(values, LossyColumns(true, len(values)))
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Judge(completed)
	if err != nil {
		t.Fatal(err)
	}
	return v.Anomalous
}

// What one source of several has not seen is not held against a unit, and what the others saw of a flood is.
func TestCompleteLossyColumns(t *testing.T) {
	p, g := trained(t, 6, 300)
	n := len(p.Features)
	for _, lost := range []Columns{{From: 0, To: n / 2}, {From: n / 2, To: n}, {From: n / 3, To: n / 2}} {
		wrong, missed := 0, 0
		judge := func(values []float64, flooded int) bool {
			values[flooded] *= 200
			clear(values[lost.From:lost.To])
			v, err := p.Sequence(0).Judge(0, values, []Columns{lost})
			if err != nil {
				t.Fatal(err)
			}
			return v.Anomalous
		}
		seen := 4 // a column that is not lost
		if lost.From <= seen && seen < lost.To {
			seen = 12
		}
		for range 200 {
			wrong += int(count(judge(g.unit(1).Values, lost.From)))
			missed += int(count(!judge(g.unit(1).Values, seen)))
		}
		if wrong > 2 || missed > 0 {
			t.Errorf("columns %d to %d lost: %d of 200 ordinary units are anomalous, %d of 200 floods missed", lost.From, lost.To, wrong, missed)
		}
	}
	for _, lossy := range [][]Columns{{{From: -1, To: 1}}, {{From: 2, To: 1}}, {{From: 0, To: n + 1}}, {{From: 3, To: 5}, {From: 4, To: 6}}} {
		if _, err := p.Complete(g.unit(1).Values, lossy); !errors.Is(err, ErrUnit) {
			t.Errorf("lossy columns %v: %v", lossy, err)
		}
	}
}

// Completed counts are never fewer, and never less ordinary.
func TestCompleteProperties(t *testing.T) {
	p, g := trained(t, 7, 90)
	rapid.Check(t, func(t *rapid.T) {
		values := g.unit(1).Values
		for j := range values {
			values[j] = math.Floor(values[j] * rapid.SampledFrom([]float64{0, 0.5, 1, 1, 3, 1e9}).Draw(t, "factor"))
		}
		completed, err := p.Complete(values, LossyColumns(true, len(values)))
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range completed {
			if !(v >= values[j]) {
				t.Fatalf("feature %d: %v from at least %v", j, v, values[j])
			}
		}
		before, _ := p.Judge(values)
		after, err := p.Judge(completed)
		if err != nil || after.Score < before.Score {
			t.Fatalf("score %v, completed %v, %v", before.Score, after.Score, err)
		}
	})
	if _, err := p.Complete([]float64{1}, nil); !errors.Is(err, ErrUnit) {
		t.Errorf("wrong length: %v", err)
	}
}

func BenchmarkComplete(b *testing.B) {
	p, values := benchmarkProfile(b)
	values = lose(values, 0.5, 0)
	for b.Loop() {
		if _, err := p.Complete(values, LossyColumns(true, len(values))); err != nil {
			b.Fatal(err)
		}
	}
}
