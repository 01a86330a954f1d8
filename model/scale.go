package model

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
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

	rare     expected   // Rare
	expected []expected // Mean

	rest []int32   // the columns that are not in Columns
	odd  hits      // the same
	none float64   // residual of 0 hits of those
	few  []float64 // what no hits of each of Columns come to before whitening, then 1 hit of each, and so on: most counts are small

	whitening blas64.General // what Direction and Factor do to the frequent columns; none where these are too many or have no directions
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
	expected := func(sum float64) float64 { return significant((sum + w/2) / (n + w)) }
	s.Rare = expected(0)
	for _, often := range []bool{true, false} {
		for j, sum := range sums {
			if sum > 0 && (expected(sum) >= frequent) == often {
				s.Columns = append(s.Columns, j)
				s.Mean = append(s.Mean, expected(sum))
			}
		}
	}
	s.expect()
	u := make([][]float64, len(rows))
	s.Center = make([]float64, len(s.Columns))
	for i, r := range rows {
		u[i] = make([]float64, len(s.Columns))
		for k, j := range s.Columns {
			u[i][k] = s.expected[k].residual(r[j])
			s.Center[k] += u[i][k] / n
		}
	}
	for k, c := range s.Center {
		s.Center[k] = significant(c)
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
			s.Spread[k] = max(1, significant(math.Sqrt(square/n)))
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
	s.rest = make([]int32, 0, columns-len(s.Columns)) // there are many of them, in each profile
	for j, ok := range has {
		if !ok {
			s.rest = append(s.rest, int32(j))
		}
	}
	s.odd = hitsAt(s.rest, columns)
	s.expect()
	s.none = s.rare.residual(0)
	s.few = make([]float64, 0, len(s.Columns)*fewHits)
	for hits := range fewHits {
		for k := range s.Columns {
			s.few = append(s.few, s.spread(float64(hits), k))
		}
	}
	s.prepareWhitening()
}

// mostWhitened is the number of frequent columns up to which whitening is prepared: that takes its third power of time, and its square of room.
const mostWhitened = 256

// prepareWhitening joins the steps along all directions, one after another as they are told to so many digits only, into one.
func (s *Scaling) prepareWhitening() {
	dim := s.frequentColumns()
	s.whitening = blas64.General{}
	if len(s.Direction) == 0 || dim > mostWhitened {
		return
	}
	w := blas64.General{Rows: dim, Cols: dim, Stride: dim, Data: make([]float64, dim*dim)}
	for k := range dim {
		w.Data[k*dim+k] = 1
	}
	before := blas64.Vector{N: dim, Inc: 1, Data: make([]float64, dim)}
	for k, d := range s.Direction {
		along := blas64.Vector{N: dim, Inc: 1, Data: d}
		blas64.Gemv(blas.Trans, 1, w, along, 0, before)
		blas64.Ger(s.Factor[k]-1, along, before, w)
	}
	s.whitening = w
}

// expect prepares what residuals need.
func (s *Scaling) expect() {
	s.rare = expect(s.Rare)
	s.expected = make([]expected, len(s.Mean))
	for k, mean := range s.Mean {
		s.expected[k] = expect(mean)
	}
}

// limit passes over all columns but those that are in; nil: over none.
func (s *Scaling) limit(in []bool) {
	if in != nil {
		s.rest = slices.DeleteFunc(s.rest, func(j int32) bool { return !in[j] })
		s.odd = hitsAt(s.rest, len(in))
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
	for _, d := range directions {
		for j, x := range d {
			d[j] = math.Round(x*directionDigits) / directionDigits
		}
	}
	s.Direction = directions
	for _, v := range variance {
		s.Factor = append(s.Factor, significant(1/math.Sqrt(max(v, leastVariance))))
	}
}

// directionDigits is to what part of 1 directions are told: their lengths are still 1 to a millionth.
const directionDigits = 1e8

// significant is v as six digits tell it. More say nothing, and would take most of a profile's room.
func significant(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		return v
	}
	return short
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
	return (s.expected[k].residual(count) - s.Center[k]) / s.Spread[k]
}

// apply writes the scaled values into dst, which has length size.
func (s *Scaling) apply(dst, counts []float64) {
	s.applyIn(dst, counts, make([]float64, len(s.Columns)))
}

// applyIn is apply without garbage. room has a place for each of Columns.
func (s *Scaling) applyIn(dst, counts, room []float64) {
	s.plain(dst, counts)
	strange := 0.0
	for _, j := range s.rest {
		if v := counts[j]; v > 0 {
			strange += s.strange(v)
		}
	}
	dst[len(s.Columns)] = math.Sqrt(strange)
	s.whiten(dst, room)
}

// strange is the square of what a count of a column comes to that had no hit in training.
func (s *Scaling) strange(count float64) float64 {
	d := s.rare.residual(count) - s.none
	return d * d
}

// plain writes what the counts of Columns come to before whitening into dst.
func (s *Scaling) plain(dst, counts []float64) {
	n := len(s.Columns)
	dst = dst[:n]
	for k, j := range s.Columns {
		x := counts[j]
		if hits := int(x); uint(hits) < fewHits && float64(hits) == x {
			dst[k] = s.few[hits*n+k]
		} else {
			dst[k] = s.spread(x, k)
		}
	}
}

// whiten whitens what stands in z. room has a place for each of Columns.
func (s *Scaling) whiten(z, room []float64) {
	if dim := s.whitening.Rows; dim > 0 {
		u := blas64.Vector{N: dim, Inc: 1, Data: room[:dim]}
		copy(u.Data, z)
		blas64.Gemv(blas.NoTrans, 1, s.whitening, u, 0, blas64.Vector{N: dim, Inc: 1, Data: z[:dim]})
		return
	}
	// The directions are orthogonal, so that one after another is as good as all at once.
	for k, d := range s.Direction {
		u := z[:len(d)]
		floats.AddScaled(u, (s.Factor[k]-1)*floats.Dot(u, d), d)
	}
}

// applyAll returns the scaled copies of rows.
func (s *Scaling) applyAll(rows [][]float64) [][]float64 {
	size := s.size()
	flat := make([]float64, len(rows)*size)
	scaled := make([][]float64, len(rows))
	room := make([]float64, len(s.Columns))
	for i, r := range rows {
		scaled[i] = flat[i*size : (i+1)*size : (i+1)*size]
		s.applyIn(scaled[i], r, room)
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
func (s *Scaling) stray() float64 { return s.rare.residual(1) - s.none }

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
