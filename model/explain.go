package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Contribution is what one feature adds to a unit's being unusual.
type Contribution struct {
	Feature   string
	Observed  float64 // hits in the unit
	Typical   float64 // median of the training units
	UsualLow  float64 // 1 % quantile of the training units
	UsualHigh float64 // 99 % quantile
	// Deviation is the signed distance from the training mean in scaled
	// units (see [Scaling]): positive for more hits than usual.
	Deviation float64
}

// Unusual reports whether the observed count lies outside of the usual range.
func (c Contribution) Unusual() bool {
	return c.Observed < c.UsualLow || c.Observed > c.UsualHigh
}

// Ratio says in words how the observed count relates to the typical one: "40
// times the usual", "a third of the usual", "none", "as usual".
func (c Contribution) Ratio() string {
	switch {
	case !c.Unusual():
		return "as usual"
	case c.Observed == 0:
		return "none"
	case c.UsualHigh == 0:
		return "usually none"
	}
	// A feature that is mostly silent is compared with the end of its range.
	reference := c.Typical
	if reference == 0 {
		reference = c.UsualHigh
	}
	ratio := c.Observed / reference
	switch {
	case ratio >= 10:
		return group(math.Round(ratio)) + " times the usual"
	case ratio >= 1.95:
		return strconv.FormatFloat(math.Round(ratio*10)/10, 'f', -1, 64) + " times the usual"
	case ratio > 1:
		return strconv.FormatFloat(math.Ceil((ratio-1)*100), 'f', 0, 64) + " % more than usual"
	case ratio > 0.55:
		return strconv.FormatFloat(math.Ceil((1-ratio)*100), 'f', 0, 64) + " % less than usual"
	}
	return "1/" + group(math.Round(1/ratio)) + " of the usual"
}

// Describe gives the subsystem that a feature belongs to ("network") and what it
// counts in plain words ("packets received by the guest"). Words may be "" for a
// feature it does not know.
type Describe func(feature string) (subsystem, words string)

// Explain says how far each feature of one unit is from the usual, the most
// telling first; equally telling ones in the profile's order. Its errors are
// those of [Profile.Judge].
func (p *Profile) Explain(values []float64) ([]Contribution, error) {
	if err := p.checkUnit(values); err != nil {
		return nil, err
	}
	z := make([]float64, len(values))
	p.Scaling.Apply(z, values)
	list := make([]Contribution, len(values))
	for j, name := range p.Features {
		u := p.Usual[j]
		list[j] = Contribution{
			Feature: name, Observed: values[j], Typical: u.Typical,
			UsualLow: u.Low, UsualHigh: u.High, Deviation: z[j],
		}
	}
	slices.SortStableFunc(list, func(a, b Contribution) int {
		return cmp.Compare(math.Abs(b.Deviation), math.Abs(a.Deviation))
	})
	return list, nil
}

// Sentence puts up to limit of the contributions that lie outside their usual
// range into words, for example
//
//	network: packets received by the guest, 2,040 instead of 30 to 61 (40 times the usual); ...
//
// It is "" if there is none. A nil describe, or one without words for a feature,
// leaves the feature's own name.
func Sentence(list []Contribution, limit int, describe Describe) string {
	var parts []string
	for _, c := range list {
		if len(parts) >= limit {
			break
		}
		if c.Unusual() {
			parts = append(parts, c.phrase(describe))
		}
	}
	return strings.Join(parts, "; ")
}

// phrase is one contribution in words.
func (c Contribution) phrase(describe Describe) string {
	var subsystem, words string
	if describe != nil {
		subsystem, words = describe(c.Feature)
	}
	if words == "" {
		words = c.Feature
	}
	if subsystem != "" {
		words = subsystem + ": " + words
	}
	usual := group(c.UsualLow)
	if c.UsualHigh != c.UsualLow {
		usual += " to " + group(c.UsualHigh)
	}
	s := fmt.Sprintf("%s, %s instead of %s", words, group(c.Observed), usual)
	if c.Observed != 0 && c.UsualHigh != 0 {
		s += " (" + c.Ratio() + ")"
	}
	return s
}

// group formats a count with separators of thousands.
func group(v float64) string {
	s := strconv.FormatFloat(v, 'f', -1, 64)
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole
}
