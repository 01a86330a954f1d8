package model

import (
	"math"
	"math/rand/v2"
	"testing"
)

// pvalues makes p-values that are alike over some units (an autoregressive process, made uniform), and moved away by so many standard deviations.
type pvalues struct {
	random *rand.Rand
	memory float64 // what a unit keeps of the one before
	at     float64
}

func (p *pvalues) next(moved float64) float64 {
	p.at = p.memory*p.at + math.Sqrt(1-p.memory*p.memory)*p.random.NormFloat64()
	return math.Erfc(-(p.at-moved)/math.Sqrt2) / 2
}

func newWatch(calibrated int) *Drift {
	p := &Profile{Views: make([]View, 1)}
	p.Views[0].Calibration = newCalibration(make([]float64, calibrated), 1)
	return NewDrift(p)
}

// A guest that is as it was is not said to drift, though its units are alike for minutes; one that moves is, and one that comes back has.
func TestDrift(t *testing.T) {
	for _, memory := range []float64{0, 0.98} {
		wrong, found, back := 0, 0, 0
		const guests = 12
		for seed := range uint64(guests) {
			p := pvalues{random: rand.New(rand.NewPCG(seed, 1)), memory: memory}
			d := newWatch(5000)
			run := func(units int, moved float64) (drifted bool) {
				for i := range units {
					d.Observe(p.next(moved))
					drifted = i%driftBatch == 0 && d.Drifted() || drifted
				}
				return drifted
			}
			if run(43200, 0) {
				wrong++
			}
			if run(7200, 1.3) {
				found++
			}
			run(7200, 0)
			if !d.Drifted() {
				back++
			}
		}
		t.Logf("memory %v: %d false, %d found, %d back, of %d guests", memory, wrong, found, back, guests)
		if wrong > 1 || found < guests-1 || back < guests-1 {
			t.Errorf("memory %v: of %d guests %d are said to drift in a day, %d of those that do, %d came back", memory, guests, wrong, found, back)
		}
	}
}

// What is rare but lasts is found by all time, and little is said early or of a poor reference.
func TestDriftSpans(t *testing.T) {
	p := pvalues{random: rand.New(rand.NewPCG(1, 2))}
	d := newWatch(5000)
	for range driftBatch*driftLeast - 1 {
		d.Observe(0)
	}
	if _, ok := d.Recent(); ok || d.Drifted() {
		t.Error("something is said before there are enough units")
	}
	d.Observe(0)
	if s, ok := d.Recent(); !ok || s.Share != 1 || !s.Drifted() || !d.Drifted() || s.Units != driftBatch*driftLeast {
		t.Errorf("of units that are all unusual: %+v, %v", s, ok)
	}
	poor := newWatch(30)
	for range 3600 {
		poor.Observe(p.next(0.4))
	}
	if s, ok := poor.Recent(); !ok || s.Drifted() {
		t.Errorf("thirty units know what is usual: %+v", s)
	}
	long := newWatch(5000)
	for range 100_000 {
		long.Observe(p.next(0.35))
	}
	all, _ := long.Overall()
	recent, _ := long.Recent()
	if all.Units <= 80_000 || recent.Units != driftBatch*driftBatches || all.Low <= recent.Low || !long.Drifted() {
		t.Errorf("over all time %+v, lately %+v", all, recent)
	}
	if math.Abs(all.Share-recent.Share) > 0.05 {
		t.Errorf("shares %v and %v", all.Share, recent.Share)
	}
}
