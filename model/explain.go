package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Contribution is what one feature adds to a unit's being unusual, or to that of several units in a row.
type Contribution struct {
	Feature   string
	Units     int     // in a row that are looked at together
	Observed  float64 // hits in them
	Typical   float64 // median of as many training units in a row
	UsualLow  float64 // 1 % quantile of these
	UsualHigh float64 // 99 % quantile
	// Deviation is the signed distance of Observed from the usual, as its residual ([Scaling])
	// in units of the feature's own usual spread: positive for more hits than usual.
	Deviation float64
	// Share is the feature's part, 0 to 1, in the distance from the
	// training units like it, with the features' usual moving together taken
	// out. It tells also what is unusual only beside the other features.
	Share float64
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

// Explain says how far each feature of one unit by itself is from the usual, the most
// telling first; equally telling ones in the profile's order. Its errors are
// those of [Profile.Judge].
func (p *Profile) Explain(values []float64) ([]Contribution, error) {
	if err := p.checkUnit(values); err != nil {
		return nil, err
	}
	return p.explain(0, values), nil
}

// explain explains sums by a view without octaves.
func (p *Profile) explain(view int, sums []float64) []Contribution {
	v := &p.Views[view]
	list := make([]Contribution, len(p.Features))
	for j, name := range p.Features {
		list[j] = Contribution{
			Feature: name, Units: v.Units, Observed: sums[j],
			Deviation: v.Scaling.rare.residual(sums[j]) - v.Scaling.none,
		}
	}
	for k, j := range v.Scaling.Columns {
		u := v.Usual[k]
		list[j].Typical, list[j].UsualLow, list[j].UsualHigh = u.Typical, u.Low, u.High
		list[j].Deviation = (v.Scaling.expected[k].residual(sums[j]) - v.Scaling.Center[k]) / u.Spread
	}
	v.share(list, sums)
	slices.SortStableFunc(list, func(a, b Contribution) int {
		return cmp.Compare(math.Abs(b.Deviation), math.Abs(a.Deviation))
	})
	return list
}

// share divides the squared distance between sums and the support vectors
// around them among the features, in whose order list is.
func (v *View) share(list []Contribution, sums []float64) {
	z := make([]float64, v.Scaling.size())
	v.Scaling.apply(z, sums)
	mean, total := v.Machine.around(z), 0.0
	for k, j := range v.Scaling.Columns {
		d := z[k] - mean[k]
		list[j].Share = d * d
		total += d * d
	}
	for _, j := range v.Scaling.rest {
		list[j].Share = list[j].Deviation * list[j].Deviation
		total += list[j].Share
	}
	for j := range list {
		if total > 0 {
			list[j].Share /= total
		}
	}
}

// Telling returns up to limit of the contributions in list that tell most: those outside their usual range
// in the order of list, but what has the same words once, as it is counted at two places, and each subsystem's first before any second one, so that
// three words for one thing do not hide another; what deviates less than a third
// as much as the first comes after all others. If there is none, the unit is
// unusual only as a whole, and those with the greatest share are told, an
// unusual combination. Describe may be nil.
func Telling(list []Contribution, limit int, describe Describe) (told []Contribution, combination bool) {
	told = spreadOut(list, describe)
	if combination = len(told) == 0; combination {
		told = slices.Clone(list)
		slices.SortStableFunc(told, func(a, b Contribution) int { return cmp.Compare(b.Share, a.Share) })
	}
	return told[:min(max(limit, 0), len(told))], combination
}

// Sentence puts up to limit contributions, those that are [Telling], into words, for example
//
//	network: packets received by the guest, 2,040 instead of 30 to 61 (40 times the usual); ...
//
// A nil describe, or one without words for a feature, leaves
// the feature's own name.
func Sentence(list []Contribution, limit int, describe Describe) string {
	told, combination := Telling(list, limit, describe)
	if len(told) == 0 {
		return ""
	}
	var parts []string
	for _, c := range told {
		if combination {
			parts = append(parts, fmt.Sprintf("%s %s%s (usually %s)", c.subject(describe), group(c.Observed), c.during(), c.usual()))
		} else {
			parts = append(parts, c.phrase(describe))
		}
	}
	if combination {
		return "unusual combination of " + strings.Join(parts, "; ")
	}
	return strings.Join(parts, "; ")
}

// spreadOut returns the unusual ones of list in the order in which Sentence names
// them.
func spreadOut(list []Contribution, describe Describe) []Contribution {
	var leading, following, faint []Contribution
	named, said := map[string]bool{}, map[string]bool{}
	first := 0.0
	for _, c := range list {
		subject := c.subject(describe)
		if !c.Unusual() || said[subject] {
			continue
		}
		said[subject] = true
		first = max(first, math.Abs(c.Deviation))
		subsystem := ""
		if describe != nil {
			subsystem, _ = describe(c.Feature)
		}
		switch {
		case math.Abs(c.Deviation) < first/3:
			faint = append(faint, c)
		case named[subsystem]:
			following = append(following, c)
		default:
			named[subsystem] = true
			leading = append(leading, c)
		}
	}
	return slices.Concat(leading, following, faint)
}

// subject is what a contribution is about.
func (c Contribution) subject(describe Describe) string {
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
	return words
}

// usual is the usual range in words.
func (c Contribution) usual() string {
	if c.UsualHigh == c.UsualLow {
		return group(c.UsualLow)
	}
	return group(c.UsualLow) + " to " + group(c.UsualHigh)
}

// during says in words how long was looked at, where that was more than one unit.
func (c Contribution) during() string {
	if c.Units <= 1 {
		return ""
	}
	return fmt.Sprintf(" in %.0f s", (time.Duration(c.Units) * Width).Seconds())
}

// phrase is one unusual count in words.
func (c Contribution) phrase(describe Describe) string {
	s := fmt.Sprintf("%s, %s%s instead of %s", c.subject(describe), group(c.Observed), c.during(), c.usual())
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
