package model

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

const (
	// frequent is the expected count from which on it is learnt how a column moves together with others.
	frequent = 20
	// leastVariance is the least variance, in that of counting noise, that a direction is believed to have.
	leastVariance = 0.1
	// scalingBlocks is the number of blocks held out in turn to see how much directions vary.
	scalingBlocks = 5
)

// Scaling brings counts of different magnitude, which move together with the guest's load, to comparable units, in
// which counting noise has a variance of about 1:
//
//	u = (residual(count, Mean) - Center) / Spread,   z = u - Σₖ (1 - Factor[k]) (Direction[k]·u) Direction[k].
//
// The residual says how unlikely a count is (see residual). Columns that are not frequent stand for
// themselves; one that scatters by more than counting noise is divided by that Spread. Frequent ones, of which most
// follow the guest's load, are whitened, in the symmetric form, which keeps a coordinate for each column: along
// each of their principal directions, z is divided by the standard deviation there, so that twice the load is one
// unusual thing and not forty, and a column that leaves the others, with which it always goes, is one as well.
//
// How much units vary along a direction is measured on blocks of units that the directions were not fitted to, as
// Abadir, Distaso and Žikeš estimate eigenvalues ("Design-free estimation of variance matrices", Journal of
// Econometrics 181, 2014): what looks like a strict rule in fifty units need not be one, and a load that moves
// over minutes is not known from three.
//
// Columns without any hit in training have one coordinate together, the length of what they would have by
// themselves: none of them is in any training unit, so that distances are the same, and a profile does not grow
// with what never happens.
type Scaling struct {
	Columns   []int       `json:"columns"`   // that had hits in training, the frequent ones first
	Mean      []float64   `json:"mean"`      // expected count of each, > 0
	Rare      float64     `json:"rare"`      // expected count of every other column, > 0
	Center    []float64   `json:"center"`    // mean residual of each
	Spread    []float64   `json:"spread"`    // of each, ≥ 1; 1 for frequent ones
	Direction [][]float64 `json:"direction"` // over the frequent columns: orthogonal, of length 1
	Factor    []float64   `json:"factor"`    // one for each direction, > 0

	rest []int     // the columns that are not in Columns
	none float64   // residual of 0 hits of those
	few  []float64 // what 0 hits, 1 hit and so on of each of Columns come to before whitening: most counts are small
}

// fewHits is how many counts of each column are worked out beforehand.
const fewHits = 8

// size is the length of a scaled vector.
func (s *Scaling) size() int { return len(s.Columns) + 1 }

// fitScaling returns the scaling of rows, at least two, in the order of time, all of the same length, whose values are
// counts. Each row is the sum of so many units, overlap of them shared with the next row's.
func fitScaling(rows [][]float64, units int) Scaling {
	s := Scaling{}
	n, w := float64(len(rows)), float64(units)
	sums := make([]float64, len(rows[0]))
	for _, r := range rows {
		for j, v := range r {
			sums[j] += min(v, maxCount)
		}
	}
	// Half a hit more than was seen, in one unit more: what was never seen is expected, if seldom.
	expected := func(sum float64) float64 { return (sum + w/2) / (n + w) }
	s.Rare = expected(0)
	for _, often := range []bool{true, false} {
		for j, sum := range sums {
			if sum > 0 && (expected(sum) >= frequent) == often {
				s.Columns = append(s.Columns, j)
				s.Mean = append(s.Mean, expected(sum))
			}
		}
	}
	u := make([][]float64, len(rows))
	s.Center = make([]float64, len(s.Columns))
	for i, r := range rows {
		u[i] = make([]float64, len(s.Columns))
		for k, j := range s.Columns {
			u[i][k] = residual(r[j], s.Mean[k])
			s.Center[k] += u[i][k] / n
		}
	}
	s.Spread = make([]float64, len(s.Columns))
	for k, mean := range s.Mean {
		square := 0.0
		for i := range u {
			u[i][k] -= s.Center[k]
			square += u[i][k] * u[i][k]
		}
		s.Spread[k] = 1
		if mean < frequent {
			s.Spread[k] = max(1, math.Sqrt(square/n))
		}
	}
	s.fitDirections(u, units)
	s.prepare(len(sums))
	return s
}

// prepare works out what follows from the rest for rows of so many columns.
func (s *Scaling) prepare(columns int) {
	has := make([]bool, columns)
	for _, j := range s.Columns {
		has[j] = true
	}
	s.rest = nil
	for j, ok := range has {
		if !ok {
			s.rest = append(s.rest, j)
		}
	}
	s.none = residual(0, s.Rare)
	s.few = make([]float64, 0, len(s.Columns)*fewHits)
	for k := range s.Columns {
		for hits := range fewHits {
			s.few = append(s.few, s.spread(float64(hits), k))
		}
	}
}

// limit passes over all columns but those that are in; nil: over none.
func (s *Scaling) limit(in []bool) {
	if in != nil {
		s.rest = slices.DeleteFunc(s.rest, func(j int) bool { return !in[j] })
	}
}

// frequentColumns is how many of Columns are frequent.
func (s *Scaling) frequentColumns() int {
	for k, mean := range s.Mean {
		if mean < frequent {
			return k
		}
	}
	return len(s.Mean)
}

// fitDirections finds the principal directions of the frequent columns in u, centred rows, and how much rows vary along them.
func (s *Scaling) fitDirections(u [][]float64, units int) {
	dim := s.frequentColumns()
	if dim == 0 {
		return
	}
	variance := make([]float64, dim)
	for b := range scalingBlocks {
		from, to := b*len(u)/scalingBlocks, (b+1)*len(u)/scalingBlocks
		var others [][]float64
		for i := range u {
			if i <= from-units || i >= to+units-1 { // shares no unit with the block
				others = append(others, u[i][:dim])
			}
		}
		if from == to || len(others) < 2 {
			return // too few to know of any direction
		}
		mean := meanOf(others)
		directions, ok := principal(others, mean)
		if !ok {
			return
		}
		for k, d := range directions {
			for _, r := range u[from:to] {
				along := 0.0
				for j, x := range r[:dim] {
					along += (x - mean[j]) * d[j]
				}
				variance[k] += along * along / float64(to-from) / scalingBlocks
			}
		}
	}
	all := make([][]float64, len(u))
	for i, r := range u {
		all[i] = r[:dim]
	}
	directions, ok := principal(all, make([]float64, dim))
	if !ok {
		return
	}
	s.Direction = directions
	for _, v := range variance {
		s.Factor = append(s.Factor, 1/math.Sqrt(max(v, leastVariance)))
	}
}

// meanOf is the mean of rows.
func meanOf(rows [][]float64) []float64 {
	mean := make([]float64, len(rows[0]))
	for _, r := range rows {
		for j, x := range r {
			mean[j] += x / float64(len(rows))
		}
	}
	return mean
}

// principal returns the principal directions of rows around a mean, the one along which they vary most first.
func principal(rows [][]float64, mean []float64) (directions [][]float64, ok bool) {
	dim := len(mean)
	upper := make([]float64, dim*dim) // the covariance, of which one half is enough
	for _, r := range rows {
		for i := range dim {
			x := (r[i] - mean[i]) / float64(len(rows))
			line := upper[i*dim : (i+1)*dim]
			for j := i; j < dim; j++ {
				line[j] += x * (r[j] - mean[j])
			}
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(dim, upper), true) {
		return nil, false
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for k := dim - 1; k >= 0; k-- { // their variances ascend
		directions = append(directions, mat.Col(nil, k, &vectors))
	}
	return directions, true
}

// spread is a count of one of Columns before whitening.
func (s *Scaling) spread(count float64, k int) float64 {
	return (residual(count, s.Mean[k]) - s.Center[k]) / s.Spread[k]
}

// apply writes the scaled values into dst, which has length size.
func (s *Scaling) apply(dst, counts []float64) {
	dst = dst[:len(s.Columns)+1]
	for k, j := range s.Columns {
		if n := counts[j]; n >= 0 && n < fewHits && n == math.Trunc(n) {
			dst[k] = s.few[k*fewHits+int(n)]
		} else {
			dst[k] = s.spread(n, k)
		}
	}
	strange := 0.0
	for _, j := range s.rest {
		if v := counts[j]; v > 0 {
			d := residual(v, s.Rare) - s.none
			strange += d * d
		}
	}
	dst[len(s.Columns)] = math.Sqrt(strange)
	// The directions are orthogonal, so that one after another is as good as all at once.
	for k, d := range s.Direction {
		along := 0.0
		for j, x := range dst[:len(d)] {
			along += x * d[j]
		}
		along *= 1 - s.Factor[k]
		for j, x := range d {
			dst[j] -= along * x
		}
	}
}

// applyAll returns the scaled copies of rows.
func (s *Scaling) applyAll(rows [][]float64) [][]float64 {
	size := s.size()
	flat := make([]float64, len(rows)*size)
	scaled := make([][]float64, len(rows))
	for i, r := range rows {
		scaled[i] = flat[i*size : (i+1)*size : (i+1)*size]
		s.apply(scaled[i], r)
	}
	return scaled
}

// counts undoes apply, to whole counts of so many columns; of those without hits in training there are none.
func (s *Scaling) counts(z []float64, columns int) []float64 {
	u := append([]float64(nil), z[:len(s.Columns)]...)
	for k, d := range s.Direction {
		along := 0.0
		for j, x := range u[:len(d)] {
			along += x * d[j]
		}
		along *= 1/s.Factor[k] - 1
		for j, x := range d {
			u[j] += along * x
		}
	}
	counts := make([]float64, columns)
	for k, j := range s.Columns {
		counts[j] = math.Round(countOf(u[k]*s.Spread[k]+s.Center[k], s.Mean[k]))
	}
	return counts
}

// stray is how far a single hit in a column without any in training is from having none.
func (s *Scaling) stray() float64 { return residual(1, s.Rare) - residual(0, s.Rare) }

// defaultGamma is the kernel's width for scaled rows when none is asked for:
// 1/V with V the rows' total variance (the sum over columns), at least 1. Two
// typical rows are then at a kernel value of exp(-2), whatever the number of
// columns, and columns that never move do not dilute those that do.
func defaultGamma(scaled [][]float64) float64 {
	n := float64(len(scaled))
	total := 0.0
	for j := range scaled[0] {
		var sum, square float64
		for _, r := range scaled {
			sum += r[j]
		}
		mean := sum / n
		for _, r := range scaled {
			square += (r[j] - mean) * (r[j] - mean)
		}
		total += square / n
	}
	return 1 / max(total, 1)
}

// What a scaling from outside may hold at most: nothing that is learnt comes near.
const (
	maxResidualValue = 1e9 // above the residual of maxCount hits of what is expected least
	leastMean        = 1e-9
	maxFactor        = 3.17 // above 1/sqrt(leastVariance)
	leastFactor      = 1e-9
)

// check verifies a scaling of rows of so many columns that came from outside, and prepares it.
func (s *Scaling) check(columns int) error {
	n := len(s.Columns)
	if len(s.Mean) != n || len(s.Center) != n || len(s.Spread) != n {
		return fmt.Errorf("%d means, %d centres and %d spreads for %d columns", len(s.Mean), len(s.Center), len(s.Spread), n)
	}
	if !(s.Rare >= leastMean && s.Rare < frequent) {
		return fmt.Errorf("what was never seen is expected %v times", s.Rare)
	}
	has := make(map[int]bool, n)
	for k, j := range s.Columns {
		if j < 0 || j >= columns || has[j] {
			return fmt.Errorf("column %d of %d, or twice", j, columns)
		}
		has[j] = true
		if !(s.Mean[k] >= leastMean && s.Mean[k] <= maxCount) || !(math.Abs(s.Center[k]) <= maxResidualValue) || !(s.Spread[k] >= 1 && s.Spread[k] <= maxResidualValue) {
			return fmt.Errorf("column %d has mean %v, centre %v and spread %v", j, s.Mean[k], s.Center[k], s.Spread[k])
		}
		if k > 0 && s.Mean[k] >= frequent && s.Mean[k-1] < frequent {
			return fmt.Errorf("column %d is frequent and stands behind one that is not", j)
		}
	}
	dim := s.frequentColumns()
	if len(s.Direction) > dim || len(s.Direction) != len(s.Factor) {
		return fmt.Errorf("%d directions with %d factors for %d columns", len(s.Direction), len(s.Factor), dim)
	}
	for k, d := range s.Direction {
		if len(d) != dim {
			return fmt.Errorf("direction %d has %d values for %d columns", k, len(d), dim)
		}
		square := 0.0
		for _, v := range d {
			square += v * v
		}
		if !(math.Abs(square-1) <= 1e-6 && s.Factor[k] >= leastFactor && s.Factor[k] <= maxFactor) {
			return fmt.Errorf("direction %d has squared length %v and factor %v", k, square, s.Factor[k])
		}
	}
	s.prepare(columns)
	return nil
}
