package model

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// UnusualLevel is the p-value at or under which a unit is counted as unusual for [Drift]: of a guest that is as it was, such a share of the units is.
const UnusualLevel = 0.1

const (
	driftShare      = 0.15             // the share of unusual units from which on a guest is not as it was
	driftConfidence = 0.999            // that it is more
	driftBatch      = 150              // units whose share is one observation: five minutes
	driftBatches    = 24               // such observations that are kept: of two hours
	driftLeast      = driftBatches / 4 // observations from which on something is said: after half an hour
)

// Drift watches whether a guest's normal operation moves away from what its profile was learnt on. The profile's calibration is the fixed
// reference: against it the p-values of units are uniform, as long as the guest is as it was, so that a tenth of them is at most 0.1.
//
// Units that follow on each other are alike, so that they are not counted one by one: each observation is the share of unusual units in a batch,
// and the scatter of these shares says how well their mean is known (the method of batch means: Law and Kelton, Simulation Modeling and Analysis).
// A calibration of few units does not know a tenth well either; that its units are as alike as those that are judged widens the interval by as
// much. It is done twice: over the last two hours, and over all time since the profile was put in force, in batches that grow with it.
// The zero value is not ready; see [NewDrift]. Drift is not safe for concurrent use.
type Drift struct {
	calibrated float64 // units of the reference
	recent     batches
	all        batches
	drifted    bool
}

// NewDrift returns a watch over the units that a profile judges.
func NewDrift(p *Profile) *Drift {
	return &Drift{
		calibrated: float64(p.Views[0].Calibration.Units),
		recent:     batches{size: driftBatch},
		all:        batches{size: driftBatch, grows: true},
	}
}

// Observe takes the p-value of the next unit. Units of an alarm are no normal operation: they are left out by the caller.
func (d *Drift) Observe(pValue float64) {
	unusual := pValue <= UnusualLevel
	d.recent.observe(unusual)
	d.all.observe(unusual)
}

// Shift is what is known of how far a guest has moved.
type Shift struct {
	Units int     // judged, of whole batches
	Share float64 // of them that are unusual: [UnusualLevel] as long as the guest is as it was
	Low   float64 // the true share is more than this, with 99.9 % confidence
}

// Drifted says whether that is more than chance makes of a guest that is as it was.
func (s Shift) Drifted() bool { return s.Low > driftShare }

// Recent is the shift over the last two hours; ok is false as long as there are too few units.
func (d *Drift) Recent() (s Shift, ok bool) { return d.recent.shift(d.calibrated) }

// Overall is the shift over all time since the profile was put in force; ok is false as long as there are too few units.
func (d *Drift) Overall() (s Shift, ok bool) { return d.all.shift(d.calibrated) }

// Drifted says whether the guest has moved away. Once it has, that stands until the last two hours are as usual as the reference again.
func (d *Drift) Drifted() bool {
	recent, ok := d.Recent()
	overall, _ := d.Overall()
	switch {
	case !ok:
	case recent.Drifted() || overall.Drifted() && recent.Share > driftShare:
		d.drifted = true
	case recent.Share <= driftShare:
		d.drifted = false
	}
	return d.drifted
}

// batches are shares of unusual units, each of so many units in a row.
type batches struct {
	size   int
	grows  bool // instead of forgetting the oldest, two become one
	shares []float64
	units  int // of the newest, which is not whole yet
	hits   int
}

func (b *batches) observe(unusual bool) {
	if b.units++; unusual {
		b.hits++
	}
	if b.units < b.size {
		return
	}
	b.shares = append(b.shares, float64(b.hits)/float64(b.size))
	b.units, b.hits = 0, 0
	switch {
	case len(b.shares) <= driftBatches:
	case b.grows:
		// The last one, odd, goes back to those that are not whole.
		last := b.shares[driftBatches]
		b.units, b.hits = b.size, int(math.Round(last*float64(b.size)))
		for i := range driftBatches / 2 {
			b.shares[i] = (b.shares[2*i] + b.shares[2*i+1]) / 2
		}
		b.shares = b.shares[:driftBatches/2]
		b.size *= 2
	default:
		b.shares = slices.Delete(b.shares, 0, 1)
	}
}

// shift is what the batches say against a reference of so many units.
func (b *batches) shift(calibrated float64) (Shift, bool) {
	n := len(b.shares)
	if n < driftLeast {
		return Shift{}, false
	}
	mean, variance := stat.MeanVariance(b.shares, nil)
	// One unit tells at least as much as one among like ones, and no less than independent ones would scatter.
	const single = UnusualLevel * (1 - UnusualLevel)
	variance = max(variance, single/float64(b.size))
	alike := variance * float64(b.size) / single // units that tell as much as one independent one
	if b.grows && b.size > driftBatch {
		// What makes hours differ is not in the reference; it is taken to be as alike as units of five minutes can be.
		alike = min(alike, driftBatch)
	}
	margin := math.Sqrt(variance/float64(n) + single*min(alike, calibrated)/calibrated)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile(driftConfidence)
	return Shift{Units: n * b.size, Share: mean, Low: max(0, mean-t*margin)}, true
}
