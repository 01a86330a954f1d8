package model

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Domain is the guest that a profile belongs to.
type Domain struct {
	UUID string `json:"uuid"`
	Name string `json:"name"` // at the time of training
}

// Training says what a profile was learnt from.
type Training struct {
	From    int64 `json:"from_ns"` // start of the first unit, on the trace's clock
	To      int64 `json:"to_ns"`   // end of the last unit
	Units   int   `json:"units"`   // learnt from
	Dropped int   `json:"dropped"` // within the span, left out as partial or lossy
}

// Range is the usual range of one feature's count in the training units.
type Range struct {
	Low     float64 `json:"low"`     // 1 % quantile, a count that occurred
	Typical float64 `json:"typical"` // median
	High    float64 `json:"high"`    // 99 % quantile
	// Spread is the standard deviation of log1p(count), at least the feature's
	// Scale (see [Scaling]).
	Spread float64 `json:"spread"`
}

// Profile is what one guest's units are judged by. It comes from [Train] or from
// a [Store], is not changed afterwards, and is then safe for concurrent use.
type Profile struct {
	Domain      Domain      `json:"domain"`
	Catalogue   string      `json:"catalogue"`
	Fingerprint Fingerprint `json:"fingerprint"`
	Created     time.Time   `json:"created"`
	Training    Training    `json:"training"`
	Features    []string    `json:"features"`
	Scaling     Scaling     `json:"scaling"`
	Machine     Machine     `json:"machine"`
	Calibration Calibration `json:"calibration"`
	Level       float64     `json:"level"` // a unit with Tail ≤ Level is anomalous
	Usual       []Range     `json:"usual"` // one for each feature
}

// Verdict is the judgement of one unit.
type Verdict struct {
	// Decision is the machine's decision value Σ αᵢ K(vᵢ, x) - ρ, negative
	// outside. It saturates: whatever is far from all training units has -ρ.
	Decision float64
	// Score is ln(Σ αᵢ K(vᵢ, x) / ρ). It orders units as Decision does and
	// has its sign, but falls without bound, about with the squared distance to the
	// nearest support vector, so that far units can still be told apart.
	Score float64
	// PValue is the conformal p-value of Score, at least 1/(n+1) for n
	// held-out units. See [Calibration].
	PValue float64
	// Tail is PValue continued below the lowest held-out scores.
	Tail float64
	// Anomalous means that Tail is at most the profile's Level.
	Anomalous bool
}

// stackFeatures is the number of features up to which judging needs no heap.
const stackFeatures = 256

// Judge gives the verdict on one unit's counts, in the order of Features. The
// error wraps [ErrUnit] if values has another length or a value is no count.
func (p *Profile) Judge(values []float64) (Verdict, error) {
	if err := p.checkUnit(values); err != nil {
		return Verdict{}, err
	}
	var buffer [stackFeatures]float64
	z := buffer[:]
	if len(values) > len(z) {
		z = make([]float64, len(values))
	}
	z = z[:len(values)]
	p.Scaling.Apply(z, values)
	score := p.Machine.score(z)
	v := Verdict{
		Decision: p.Machine.Rho * math.Expm1(score),
		Score:    score,
		PValue:   p.Calibration.PValue(score),
		Tail:     p.Calibration.Tail(score),
	}
	v.Anomalous = v.Tail <= p.Level
	return v, nil
}

// checkUnit says whether values can be judged by p.
func (p *Profile) checkUnit(values []float64) error {
	if len(values) != len(p.Features) {
		return fmt.Errorf("%w: %d values for %d features", ErrUnit, len(values), len(p.Features))
	}
	if j := notCount(values); j >= 0 {
		return fmt.Errorf("%w: feature %q: %v is no count", ErrUnit, p.Features[j], values[j])
	}
	return nil
}

// usualRanges describes each column of rows, scaled by s.
func usualRanges(rows [][]float64, s Scaling) []Range {
	ranges := make([]Range, len(rows[0]))
	column := make([]float64, len(rows))
	quantile := func(percent int) float64 { return column[(len(column)-1)*percent/100] }
	for j := range ranges {
		for i, r := range rows {
			column[i] = r[j]
		}
		slices.Sort(column)
		// From the other end for the upper quantile, so that both are as wide.
		high := column[len(column)-1-(len(column)-1)/100]
		ranges[j] = Range{Low: quantile(1), Typical: quantile(50), High: high, Spread: s.spread(j, column)}
	}
	return ranges
}

// check verifies a profile as a whole, prepares it for judging, and finds what
// is wrong with one from outside.
func (p *Profile) check() error {
	if err := checkFeatures(p.Features); err != nil {
		return err
	}
	dim := len(p.Features)
	if err := p.Scaling.check(dim); err != nil {
		return err
	}
	if len(p.Usual) != dim {
		return fmt.Errorf("%d usual ranges for %d features", len(p.Usual), dim)
	}
	for j, r := range p.Usual {
		if !(r.Low >= 0 && r.Low <= r.Typical && r.Typical <= r.High && r.High <= math.MaxFloat64 &&
			r.Spread >= minScale && r.Spread <= maxLog) {
			return fmt.Errorf("feature %q is usually %v to %v to %v with a spread of %v",
				p.Features[j], r.Low, r.Typical, r.High, r.Spread)
		}
	}
	if !(p.Level > 0 && p.Level < 1) {
		return fmt.Errorf("level %v is not in (0, 1)", p.Level)
	}
	if t := p.Training; t.Units < 1 || t.Dropped < 0 || t.From >= t.To {
		return fmt.Errorf("trained on %d units, %d dropped, from %d to %d", t.Units, t.Dropped, t.From, t.To)
	}
	if err := p.Fingerprint.check(); err != nil {
		return err
	}
	if err := p.Machine.check(dim); err != nil {
		return err
	}
	scores := p.Calibration.Scores
	if len(scores) == 0 || notFinite(scores) >= 0 || !slices.IsSorted(scores) {
		return fmt.Errorf("%d calibration scores, not finite and ascending", len(scores))
	}
	p.Calibration = newCalibration(scores, p.Machine.Gamma)
	return nil
}
