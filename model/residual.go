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
func residual(x, mean float64) float64 { return expect(mean).residual(x) }

// expected is a mean with what residuals against it need of it.
type expected struct {
	mean, log, logMore float64 // of the mean, and of it and dispersion
	more               float64 // logMore - log, of which nothing is cancelled
}

func expect(mean float64) expected {
	return expected{mean: mean, log: math.Log(mean), logMore: math.Log(mean + dispersion), more: math.Log1p(dispersion / mean)}
}

// manyHits is the count from which on logarithms are not looked up.
const manyHits = 1 << 14

// wholeLogs has the logarithms of whole numbers (0 for that of 0), as most counts are such and small.
var wholeLogs = func() (t [manyHits + dispersion]float64) {
	for i := range t[1:] {
		t[i+1] = math.Log(float64(i + 1))
	}
	return t
}()

// residual is that of a count.
func (e expected) residual(x float64) float64 {
	d := 0.0
	switch n := int(x); {
	case math.Abs(x-e.mean) <= e.mean/1024 || x < 0:
		// Differences of logarithms of nearly equal numbers would be but rounding.
		d = -(x + dispersion) * math.Log1p((x-e.mean)/(e.mean+dispersion))
		if x > 0 {
			d += x * math.Log1p((x-e.mean)/e.mean)
		}
	case x < manyHits && float64(n) == x:
		d = x*(wholeLogs[n]-e.log) - (x+dispersion)*(wholeLogs[n+dispersion]-e.logMore)
	case x < manyHits:
		d = x*(math.Log(x)-e.log) - (x+dispersion)*(math.Log(x+dispersion)-e.logMore)
	default:
		// The same with ln(x + dispersion) = ln x + more, so that no great numbers are taken from each other: 2 artanh(t) is what more is, and t is small.
		x = min(x, maxCount)
		t := dispersion / (2*x + dispersion)
		more := 2 * t * (1 + t*t*(1./3+t*t*(1./5+t*t*(1./7))))
		d = x*(e.more-more) - dispersion*(math.Log(x)+more-e.logMore)
	}
	r := math.Sqrt(max(0, 2*d))
	if x < e.mean {
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
