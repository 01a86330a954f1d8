package model

import (
	"errors"
	"fmt"
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
	// Trimmed are the times of units that were left out because they stood far out from the rest, in their order.
	Trimmed []Span `json:"trimmed,omitempty"`
	// Convergence says whether these units were enough; nil: nobody has looked.
	Convergence *Convergence `json:"convergence,omitempty"`
}

// Range is the usual range of one column's count in the training units, or in sums of them.
type Range struct {
	Low     float64 `json:"low"`     // 1 % quantile, a count that occurred
	Typical float64 `json:"typical"` // median
	High    float64 `json:"high"`    // 99 % quantile
	// Spread is the standard deviation of the count's residual (see [Scaling]), at least 1.
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
	Level       float64     `json:"level"` // a single unit this improbable is anomalous
	// Views are the ways to look at the guest: first single units, feature by feature. Others are there if
	// there were enough units, and buckets, to learn them.
	Views []View `json:"views"`

	groups [][]int // of the features, for the views by octaves
	group  []int32 // of each feature, if there are any
}

// Machine is that of single units, feature by feature.
func (p *Profile) Machine() *Machine { return &p.Views[0].Machine }

// SupportVectors is the number of those of all views.
func (p *Profile) SupportVectors() int {
	n := 0
	for i := range p.Views {
		n += len(p.Views[i].Machine.Alpha)
	}
	return n
}

// WithoutLastView returns the profile without its last view, which is the coarsest look at the longest time, or at the last source; nil when it has one only.
func (p *Profile) WithoutLastView() *Profile {
	if len(p.Views) < 2 {
		return nil
	}
	fewer := *p
	fewer.Views = p.Views[:len(p.Views)-1]
	return &fewer
}

// Usual is the usual range of each feature in a single unit.
func (p *Profile) Usual() []Range {
	ranges := make([]Range, len(p.Features))
	for j := range ranges {
		ranges[j] = p.Views[0].usualOf(j)
	}
	return ranges
}

// Verdict is the judgement of one unit.
type Verdict struct {
	// Decision is the decision value Σ αᵢ K(vᵢ, x) - ρ of the machine of single units, negative
	// outside. It saturates: whatever is far from all training units has -ρ.
	Decision float64
	// Score is ln(Σ αᵢ K(vᵢ, x) / ρ), of the same machine. It orders units as Decision does and
	// has its sign, but falls without bound, about with the squared distance to the
	// nearest support vector, so that far units can still be told apart.
	Score float64
	// PValue is the conformal p-value of Score, at least 1/(n+1) for n
	// held-out units. See [Calibration].
	PValue float64
	// Tail is how improbable the unit is for the guest, by itself or with those before it (see [Sequence]): at or
	// under the profile's Level it is anomalous.
	Tail float64
	// Anomalous means that Tail is at most the profile's Level.
	Anomalous bool
	// Units is the number of units, this one the last, of the view that finds it least probable.
	Units int

	view     int
	evidence float64 // logarithm of Tail where that was not cut off at 1: orders all units
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

// check verifies a profile as a whole, prepares it for judging, and finds what
// is wrong with one from outside.
func (p *Profile) check() error {
	if err := checkFeatures(p.Features); err != nil {
		return err
	}
	if !(p.Level > 0 && p.Level < 1) {
		return fmt.Errorf("level %v is not in (0, 1)", p.Level)
	}
	if t := p.Training; t.Units < 1 || t.Dropped < 0 || t.From >= t.To {
		return fmt.Errorf("trained on %d units, %d dropped, from %d to %d", t.Units, t.Dropped, t.From, t.To)
	}
	if err := p.Training.checkTrimmed(); err != nil {
		return err
	}
	if c := p.Training.Convergence; c != nil && (c.Learnt < 1 || c.Judged < 0 || c.Unusual < 0 || c.Unusual > c.Judged) {
		return fmt.Errorf("%d of %d units unusual after learning from %d", c.Unusual, c.Judged, c.Learnt)
	}
	if err := p.Fingerprint.check(); err != nil {
		return err
	}
	p.share()
	return p.checkViews()
}

// maxWindow is the most units that a view may look at.
const maxWindow = 256

// checkViews verifies that single units come first, feature by feature, and that no view is there twice.
func (p *Profile) checkViews() error {
	type look struct {
		units   int
		octaves bool
		part    string
	}
	seen := map[look]bool{}
	for i := range p.Views {
		v := &p.Views[i]
		l := look{v.Units, v.Octaves, v.Part}
		switch {
		case i == 0 && l != look{1, false, ""}:
			return errors.New("the first view is not of single units, feature by feature")
		case v.Units < 1 || v.Units > maxWindow || seen[l]:
			return fmt.Errorf("view %d is of %d units, or there twice", i, v.Units)
		case v.Octaves && p.groups == nil:
			return fmt.Errorf("view %d is by octaves, of which the features have none", i)
		case v.Octaves && !seen[look{v.Units, false, v.Part}]:
			return fmt.Errorf("view %d is by octaves, and there is none before it feature by feature", i)
		case v.Part != "" && !slices.Contains(parts(p.Features), v.Part):
			return fmt.Errorf("view %d is of %.40q, of which there are no features, or no others", i, v.Part)
		case v.Part != "" && !seen[look{v.Units, false, ""}]:
			return fmt.Errorf("view %d is of a part, and there is none before it of all features", i)
		}
		seen[l] = true
		columns, groups := len(p.Features), [][]int(nil)
		if v.Octaves {
			columns, groups = len(p.groups), p.groups
		}
		var in []bool
		if v.Part != "" {
			in = within(p.Features, groups, v.Part)
		}
		if err := v.check(columns, in); err != nil {
			return fmt.Errorf("view %d: %w", i, err)
		}
	}
	p.shareColumns()
	if len(p.Views) == 0 {
		return errors.New("no views")
	}
	return nil
}
