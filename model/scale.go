package model

import "math"

// minScale is the least scale of any feature: a change of a count by about 5 %
// is never more than one scale unit, however steady the feature was.
const minScale = 0.05

// Scaling brings counts of different magnitude to comparable units. A count c
// becomes (log1p(c) - Center) / Scale, so that ratios matter, not differences.
//
// Scale is the standard deviation of log1p(c) over the training units, but never
// less than the noise that a Poisson process of the same mean count m would
// show, at most 1/sqrt(1+m), nor less than 0.05. So a feature that never
// fired has Scale 1 and one stray hit moves it by 0.69 units only, and a feature
// that happened to be constant over a short training is not a trip wire.
//
// Values are not capped. Far from all support vectors the SVM's decision value
// saturates; Score does not (see [Verdict]).
type Scaling struct {
	Center []float64 `json:"center"` // one for each feature, in log1p of a count
	Scale  []float64 `json:"scale"`  // one for each feature, > 0
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
		mean := sum / n
		var square float64
		for _, r := range rows {
			d := math.Log1p(r[j]) - mean
			square += d * d
		}
		s.Center[j] = mean
		s.Scale[j] = max(math.Sqrt(square/n), scaleFloor(count))
	}
	return s
}

// scaleFloor is the least scale of a feature with the given mean count.
func scaleFloor(mean float64) float64 {
	return max(1/math.Sqrt(1+mean), minScale)
}

// Apply writes the scaled values into dst, which has their length.
func (s Scaling) Apply(dst, values []float64) {
	dst = dst[:len(values)]
	center, scale := s.Center[:len(values)], s.Scale[:len(values)]
	for j, v := range values {
		dst[j] = (math.Log1p(v) - center[j]) / scale[j]
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
