package model

import (
	"fmt"
	"math"
	"slices"
)

// windows are the lengths, in units, over which a guest is looked at: two seconds show a flood at once; twelve, and
// thirty-six, what trickles, such as a body sent in drops every five seconds.
var windows = []int{1, 6, 18}

// A window is learnt from at least windowsLearnt times its length, and from leastUnits units: of less there are not enough
// looks to know what is usual.
const (
	windowsLearnt = 15
	leastUnits    = 150
)

// View is one way to look at a guest: sums of the counts of so many units in a row, feature by feature or
// octave by octave. Each has a one-class machine of its own.
type View struct {
	Units       int         `json:"units"`          // in a row, of which counts are summed up
	Octaves     bool        `json:"octaves"`        // buckets of one octave are one column
	Part        string      `json:"part,omitempty"` // the source whose features alone it looks at; empty: all
	Scaling     Scaling     `json:"scaling"`
	Machine     Machine     `json:"machine"`
	Calibration Calibration `json:"calibration"`
	// Usual has the range of each of Scaling.Columns; only where Octaves is false.
	Usual []Range `json:"usual,omitempty"`

	whole int     // the view of all features that looks at as many units in the same way, this one if it does; -1: none does
	same  []int32 // for each of Scaling.Columns, the place in that of whole which comes to the same before whitening; nil where there is not one for each
	alike bool    // same is each of them in its place
}

// sumUp returns the sums of each so many rows that follow on each other without a gap, with the start of the last.
func sumUp(rows []Row, units int) []Row {
	if units == 1 {
		return rows
	}
	var sums []Row
	for i := units - 1; i < len(rows); i++ {
		if rows[i].Start-rows[i-units+1].Start != int64(units-1)*int64(Width) {
			continue
		}
		sum := slices.Clone(rows[i].Values)
		for _, r := range rows[i-units+1 : i] {
			for j, v := range r.Values {
				sum[j] += v
			}
		}
		sums = append(sums, Row{Start: rows[i].Start, Values: sum})
	}
	return sums
}

// views learns all ways to look at a guest that d has enough units for.
func views(engine Engine, d Dataset, o Options) ([]View, error) {
	list, err := viewsOf(engine, d, "", o)
	for _, part := range parts(d.Features) {
		if err != nil {
			return nil, err
		}
		var more []View
		more, err = viewsOf(engine, d, part, o)
		list = append(list, more...)
	}
	return list, err
}

// viewsOf learns the ways to look at a part of the features; empty: at all of them.
func viewsOf(engine Engine, d Dataset, part string, o Options) ([]View, error) {
	groups := octaves(d.Features)
	var all, coarser []bool
	if part != "" {
		all, coarser = within(d.Features, nil, part), within(d.Features, groups, part)
		if count := func(in []bool) (n int) {
			for _, x := range in {
				if x {
					n++
				}
			}
			return n
		}; count(all) == count(coarser) {
			groups = nil // it has no buckets
		}
	}
	var list []View
	for _, units := range windows {
		sums := sumUp(d.Rows, units)
		if units > 1 && (len(sums) < windowsLearnt*units || len(d.Rows) < leastUnits) {
			continue
		}
		fine, err := newView(engine, sums, units, nil, all, o)
		if err != nil {
			return nil, err
		}
		fine.Part = part
		list = append(list, fine)
		if groups == nil {
			continue
		}
		coarse, err := newView(engine, sums, units, groups, coarser, o)
		if err != nil {
			return nil, err
		}
		coarse.Part = part
		list = append(list, coarse)
	}
	return list, nil
}

// newView learns one way to look at a guest from rows that are sums of so many units, by those columns alone that are in (nil: by all).
func newView(engine Engine, rows []Row, units int, groups [][]int, in []bool, o Options) (View, error) {
	v := View{Units: units, Octaves: groups != nil}
	gathered := make([]Row, len(rows))
	values := make([][]float64, len(rows))
	for i, r := range rows {
		values[i] = gather(nil, groups, r.Values)
		if in != nil {
			values[i] = slices.Clone(values[i])
			for j := range values[i] {
				if !in[j] {
					values[i][j] = 0
				}
			}
		}
		gathered[i] = Row{Start: r.Start, Values: values[i]}
	}
	scores, err := heldOut(engine, gathered, units, o)
	if err != nil {
		return v, err
	}
	if v.Scaling, v.Machine, err = fit(engine, gathered, units, o); err != nil {
		return v, err
	}
	v.Scaling.limit(in)
	if groups == nil {
		v.Usual = usualRanges(values, &v.Scaling)
	}
	v.Calibration = newCalibration(scores, v.strayCost())
	return v, nil
}

// strayCost is what a single hit of what never was in training costs in score.
func (v *View) strayCost() float64 {
	d := v.Scaling.stray()
	return v.Machine.Gamma * d * d
}

// room is what score needs: for the scaled vector, and a place for each support vector, or each column if these are more.
func (v *View) room() int {
	return v.Scaling.size() + max(len(v.Machine.Alpha), len(v.Scaling.Columns))
}

// score is that of sums of Units units, already gathered. The scaled vector stands in z, of length room, afterwards.
func (v *View) score(z, sums []float64) float64 { return v.Machine.scoreIn(v.scale(z, sums)) }

// scale scales sums of Units units, already gathered, and divides z, of length room, into what comes of it and a place for each support vector, at least.
func (v *View) scale(z, sums []float64) (scaled, room []float64) {
	size := v.Scaling.size()
	v.Scaling.applyIn(z[:size], sums, z[size:])
	return z[:size], z[size:]
}

// usualOf is the usual range of a feature, of a view without octaves.
func (v *View) usualOf(feature int) Range {
	if k := slices.Index(v.Scaling.Columns, feature); k >= 0 {
		return v.Usual[k]
	}
	return Range{Spread: 1}
}

// check verifies a view that came from outside, of so many columns, and prepares it. in says which of them it looks at; nil: all.
func (v *View) check(columns int, in []bool) error {
	if err := v.Scaling.check(columns); err != nil {
		return err
	}
	for _, j := range v.Scaling.Columns {
		if in != nil && !in[j] {
			return fmt.Errorf("column %d is not of %.40q", j, v.Part)
		}
	}
	v.Scaling.limit(in)
	if want := len(v.Scaling.Columns); !v.Octaves && len(v.Usual) != want || v.Octaves && len(v.Usual) != 0 {
		return fmt.Errorf("%d usual ranges for %d columns", len(v.Usual), want)
	}
	for k, r := range v.Usual {
		if !(r.Low >= 0 && r.Low <= r.Typical && r.Typical <= r.High && r.High <= math.MaxFloat64 && r.Spread >= 1 && r.Spread <= maxResidualValue) {
			return fmt.Errorf("column %d is usually %v to %v to %v with a spread of %v", v.Scaling.Columns[k], r.Low, r.Typical, r.High, r.Spread)
		}
	}
	if err := v.Machine.check(v.Scaling.size()); err != nil {
		return err
	}
	return v.Calibration.check(v.strayCost())
}

// usualRanges describes each column of rows that s has.
func usualRanges(rows [][]float64, s *Scaling) []Range {
	ranges := make([]Range, len(s.Columns))
	column := make([]float64, len(rows))
	quantile := func(percent int) float64 { return column[(len(column)-1)*percent/100] }
	for k, j := range s.Columns {
		square := 0.0
		for i, r := range rows {
			column[i] = r[j]
			d := s.expected[k].residual(r[j]) - s.Center[k]
			square += d * d
		}
		slices.Sort(column)
		// From the other end for the upper quantile, so that both are as wide.
		high := column[len(column)-1-(len(column)-1)/100]
		ranges[k] = Range{Low: quantile(1), Typical: quantile(50), High: high, Spread: max(1, significant(math.Sqrt(square/float64(len(rows)))))}
	}
	return ranges
}
