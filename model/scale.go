package model

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// minScale is the least scale of any feature: a change of a count by about 5 %
// is never more than one scale unit, however steady the feature was.
const minScale = 0.05

// Scaling brings counts of different magnitude, which move together with the
// guest's load, to comparable units. It takes three steps:
//
//	u = (log1p(count) - Center) / Scale,   z = u - Σₖ (1 - Shrink[k]) (Direction[k]·u) Direction[k].
//
// The logarithm makes ratios matter, not differences. Scale is the noise that a
// Poisson process of the training units' mean count m would show, at most
// 1/sqrt(1+m), and at least 0.05. So a feature that never fired has Scale 1 and
// one stray hit moves it by 0.69 units only, and a feature that happened to be
// constant over a short training is not a trip wire.
//
// The last step whitens (in the symmetric form, which keeps a coordinate for each
// feature): along each principal direction in which the training units varied
// more than that noise, z is divided by their standard deviation. Of the
// features of a guest most follow its load, and one direction holds that; twice the
// load is then one unusual direction among many, while ten features each at twice
// their mean, measured one by one, would look like ten unusual things. And a
// feature that moves against the others shows at the scale at which it usually
// does so.
//
// Values are not capped. Far from all support vectors the SVM's decision value
// saturates; Score does not (see [Verdict]).
type Scaling struct {
	Center    []float64   `json:"center"`    // one for each feature, in log1p of a count
	Scale     []float64   `json:"scale"`     // one for each feature, > 0
	Direction [][]float64 `json:"direction"` // orthogonal, of length 1
	Shrink    []float64   `json:"shrink"`    // one for each direction, in (0, 1)
}

// FitScaling returns the scaling of rows, at least one, all of the same length,
// whose values are counts.
func FitScaling(rows [][]float64) Scaling {
	dim := len(rows[0])
	s := Scaling{Center: make([]float64, dim), Scale: make([]float64, dim)}
	n := float64(len(rows))
	for j := range dim {
		var count, sum float64
		for _, r := range rows {
			count += r[j] / n
			sum += math.Log1p(r[j])
		}
		s.Center[j] = sum / n
		s.Scale[j] = scaleFloor(count)
	}
	s.fitDirections(s.applyAll(rows))
	return s
}

// scaleFloor is the scale of a feature with the given mean count.
func scaleFloor(mean float64) float64 {
	return max(1/math.Sqrt(1+mean), minScale)
}

// fitDirections finds the directions of u, centred rows, whose variance exceeds 1.
func (s *Scaling) fitDirections(u [][]float64) {
	dim := len(s.Center)
	upper := make([]float64, dim*dim) // the covariance, of which one half is enough
	for _, r := range u {
		for i, x := range r {
			if x == 0 { // columns of what never fires are all zero
				continue
			}
			x /= float64(len(u))
			line := upper[i*dim : (i+1)*dim]
			for j := i; j < dim; j++ {
				line[j] += x * r[j]
			}
		}
	}
	covariance := mat.NewSymDense(dim, upper)
	var eigen mat.EigenSym
	if !eigen.Factorize(covariance, true) {
		return
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	values := eigen.Values(nil) // ascending
	for k := dim - 1; k >= 0 && values[k] > 1; k-- {
		direction := mat.Col(nil, k, &vectors)
		s.Direction = append(s.Direction, direction)
		s.Shrink = append(s.Shrink, 1/math.Sqrt(values[k]*predictive(u, direction)))
	}
}

// predictive is the factor by which the variance that rows will show along a
// direction exceeds what these rows, in order of time, did show: that of
// Student's distribution for as many independent looks as the rows are worth.
// A load that moves over minutes is not known from three minutes.
func predictive(u [][]float64, direction []float64) float64 {
	n := float64(len(u))
	var square, product, last float64
	for _, r := range u {
		along := 0.0
		for j, x := range r {
			along += x * direction[j]
		}
		square += along * along
		product += along * last
		last = along
	}
	// The autocorrelation of the next row, corrected for its bias in short series.
	rho := product / square
	rho = min(max(rho+(1+3*rho)/n, 0), 1)
	looks := max(n*(1-rho)/(1+rho), minLooks)
	return (1 + 1/looks) * (looks - 1) / (looks - 3)
}

// minLooks limits predictive, whose variance is infinite at 3, to about 13.
const minLooks = 3.25

// Apply writes the scaled values into dst, which has their length and is not
// values itself.
func (s Scaling) Apply(dst, values []float64) {
	dst = dst[:len(values)]
	center, scale := s.Center[:len(values)], s.Scale[:len(values)]
	for j, v := range values {
		dst[j] = (math.Log1p(v) - center[j]) / scale[j]
	}
	// The directions are orthogonal, so that one after another is as good as all at once.
	for k, d := range s.Direction {
		d = d[:len(dst)]
		along := 0.0
		for j, x := range dst {
			along += x * d[j]
		}
		along *= 1 - s.Shrink[k]
		for j := range dst {
			dst[j] -= along * d[j]
		}
	}
}

// applyAll returns the scaled copies of rows.
func (s Scaling) applyAll(rows [][]float64) [][]float64 {
	dim := len(s.Center)
	flat := make([]float64, len(rows)*dim)
	scaled := make([][]float64, len(rows))
	for i, r := range rows {
		scaled[i] = flat[i*dim : (i+1)*dim : (i+1)*dim]
		s.Apply(scaled[i], r)
	}
	return scaled
}

// defaultGamma is the kernel's width for scaled rows when none is asked for:
// 1/V with V the rows' total variance (the sum over features), at least 1. Two
// typical rows are then at a kernel value of exp(-2), whatever the number of
// features, and features that never move do not dilute those that do.
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

// spread is the standard deviation of log1p over the counts of feature j, at least
// its Scale.
func (s Scaling) spread(j int, counts []float64) float64 {
	square := 0.0
	for _, c := range counts {
		d := math.Log1p(c) - s.Center[j]
		square += d * d
	}
	return max(math.Sqrt(square/float64(len(counts))), s.Scale[j])
}

const (
	maxLog    = 710  // above log1p of the largest finite number
	minShrink = 1e-8 // below the inverse of any deviation of scaled counts
)

// check verifies a scaling that came from outside.
func (s Scaling) check(dim int) error {
	if len(s.Center) != dim || len(s.Scale) != dim {
		return fmt.Errorf("%d centres and %d scales for %d features", len(s.Center), len(s.Scale), dim)
	}
	for j, c := range s.Center {
		if !(c >= 0 && c <= maxLog && s.Scale[j] >= minScale && s.Scale[j] <= 1) {
			return fmt.Errorf("feature %d has centre %v and scale %v", j, c, s.Scale[j])
		}
	}
	if len(s.Direction) > dim || len(s.Direction) != len(s.Shrink) {
		return fmt.Errorf("%d directions with %d factors for %d features", len(s.Direction), len(s.Shrink), dim)
	}
	for k, d := range s.Direction {
		if len(d) != dim {
			return fmt.Errorf("direction %d has %d values for %d features", k, len(d), dim)
		}
		square := 0.0
		for _, v := range d {
			square += v * v
		}
		if !(math.Abs(square-1) <= 1e-6 && s.Shrink[k] >= minShrink && s.Shrink[k] < 1) {
			return fmt.Errorf("direction %d has squared length %v and factor %v", k, square, s.Shrink[k])
		}
	}
	return nil
}
