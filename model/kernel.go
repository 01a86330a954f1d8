package model

import "math"

// Exponentials are most of what scoring costs, so that their sums are worked out here and not by calls of math.Exp: e^-x is
// 2^-(k/steps) e^r, with the first factor from a table and the second from its series, which r in (-ln 2 / steps, 0] makes short.
const (
	steps = 1024
	// leastPower is the exponent of 2 from which on a term is taken for 0; all above are normal numbers.
	leastPower = -1000
)

// power has 2^-(i/steps), as [math.Float64bits].
var power = func() (t [steps]uint64) {
	for i := range t {
		t[i] = math.Float64bits(math.Exp2(-float64(i) / steps))
	}
	return t
}()

// kernelSum is Σ weightᵢ e^(-gamma (distanceᵢ - nearest)), for as many weights as distances, none of which is less than nearest. Terms are right to
// 13 digits.
func kernelSum(weight, distance []float64, gamma, nearest float64) float64 {
	sum, scale := 0.0, gamma*(steps/math.Ln2)
	distance = distance[:len(weight)]
	for i, w := range weight {
		x := (distance[i] - nearest) * scale
		if !(x < -leastPower*steps) {
			continue
		}
		k := int64(x)
		r := (float64(k) - x) * (math.Ln2 / steps)
		sum += w * (1 + r*(1+r*(1./2+r*(1./6)))) * math.Float64frombits(power[k&(steps-1)]-uint64(k)/steps<<52)
	}
	return sum
}
