package model

import "math"

// dispersion is the size of a count whose noise is as much Poisson's as it is relative: a count of a steady feature
// scatters by about 5 % however large it is, as if it were gamma-Poisson (negative binomial) with this shape.
const dispersion = 400

// maxCount is where counts are cut off: no guest gets there, and what follows stays finite.
const maxCount = 1e15

// residual is the signed deviance residual of a count x where mean > 0 is expected, of the gamma-Poisson
// distribution (McCullagh and Nelder, Generalized Linear Models, 2nd ed., 2.4): the signed square root of twice
// the logarithm of how much likelier x would be had x been expected. For ordinary counts it is close to the
// distance in standard deviations; far out it follows how unlikely a count is, which neither a difference nor a ratio
// does: ten hits of what is expected once in a thousand units are much, ten more of a hundred are not.
func residual(x, mean float64) float64 {
	x = min(x, maxCount)
	e := x - mean
	d := -(x + dispersion) * math.Log1p(e/(mean+dispersion))
	if x > 0 {
		d += x * math.Log1p(e/mean)
	}
	r := math.Sqrt(max(0, 2*d))
	if x < mean {
		return -r
	}
	return r
}

// countOf undoes residual: the count, at least 0, that has the residual r; 0 if none has so low a one.
func countOf(r, mean float64) float64 {
	if r <= residual(0, mean) {
		return 0
	}
	low, high := 0.0, max(2*mean, 1)
	for residual(high, mean) < r {
		if low, high = high, 2*high; high >= maxCount {
			return maxCount
		}
	}
	for range 200 {
		middle := (low + high) / 2
		if middle <= low || middle >= high {
			break
		}
		if residual(middle, mean) < r {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
