package model

import (
	"fmt"
	"math"
)

// Complete returns the most ordinary counts that a unit which lost events may have
// had: counts of the lossy columns are lower bounds, so each of the returned ones is at least the
// one given; the others are what they are. If their verdict is anomalous, the unit was, whatever it lost; otherwise it
// says nothing (see [Decider.Observe]). A plain search: of the guest's mean unit,
// some of the support vectors, and multiples of the load along the first
// directions, the best is improved by steps towards the support vectors around
// it. It costs some hundred times what [Profile.Judge] does; errors are the same.
func (p *Profile) Complete(values []float64, lossy []Columns) ([]float64, error) {
	if err := p.checkUnit(values); err != nil {
		return nil, err
	}
	if err := checkColumns(lossy, len(values)); err != nil {
		return nil, err
	}
	view := &p.Views[0]
	best := append([]float64(nil), values...)
	z := make([]float64, view.room())
	bestScore := view.score(z, best)
	try := func(candidate []float64) bool {
		next := 0 // the first column that is not settled
		for _, c := range lossy {
			copy(candidate[next:c.From], values[next:c.From])
			for j := c.From; j < c.To; j++ {
				candidate[j] = max(values[j], candidate[j])
			}
			next = c.To
		}
		copy(candidate[next:], values[next:])
		score := view.score(z, candidate)
		if score <= bestScore {
			return false
		}
		best, bestScore = candidate, score
		return true
	}
	for _, start := range view.ordinary() {
		try(view.Scaling.counts(start, len(values)))
	}
	for range 100 {
		scaled := z[:view.Scaling.size()]
		view.Scaling.apply(scaled, best)
		if !try(view.Scaling.counts(view.Machine.around(scaled), len(values))) {
			break
		}
	}
	return best, nil
}

// Columns are some of a unit's columns, those from From up to To, which is not one of them.
type Columns struct{ From, To int }

// LossyColumns are all of so many where a unit lost events as a whole, and otherwise none.
func LossyColumns(lossy bool, n int) []Columns {
	if !lossy {
		return nil
	}
	return []Columns{{To: n}}
}

// checkColumns says whether ranges are in order and within so many columns.
func checkColumns(list []Columns, n int) error {
	last := 0
	for _, c := range list {
		if c.From < last || c.To < c.From || c.To > n {
			return fmt.Errorf("%w: lossy columns %d to %d of %d", ErrUnit, c.From, c.To, n)
		}
		last = c.To
	}
	return nil
}

// ordinary returns scaled vectors to start from.
func (v *View) ordinary() [][]float64 {
	starts := append([][]float64{make([]float64, v.Scaling.size())}, thin(v.Machine.Vectors, 64)...)
	for _, d := range v.Scaling.Direction[:min(2, len(v.Scaling.Direction))] {
		for _, steps := range []float64{-3, -2, -1, 1, 2, 3} {
			z := make([]float64, v.Scaling.size())
			for j, x := range d {
				z[j] = steps * x
			}
			starts = append(starts, z)
		}
	}
	return starts
}

// around returns the mean of the support vectors, each weighted by its part in the
// kernel sum of z, so that the nearest count. Its difference to z is, but for
// its length, the gradient of the score.
func (m *Machine) around(z []float64) []float64 {
	nearest := math.Inf(1)
	for _, v := range m.Vectors {
		nearest = min(nearest, squaredDistance(z, v))
	}
	mean, total := make([]float64, len(z)), 0.0
	for i, v := range m.Vectors {
		w := m.Alpha[i] * math.Exp(-m.Gamma*(squaredDistance(z, v)-nearest))
		total += w
		for j := range mean {
			mean[j] += w * v[j]
		}
	}
	for j := range mean {
		mean[j] /= total
	}
	return mean
}
