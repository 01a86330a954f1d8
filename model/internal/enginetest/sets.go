// Package enginetest is what tests of every engine have in common: sets of rows,
// requirements, and the comparison with LIBSVM's own command-line tools.
package enginetest

import (
	"math"
	"math/rand/v2"
)

// Cloud returns n rows of dim standard normal values.
func Cloud(seed uint64, n, dim int) [][]float64 {
	random := rand.New(rand.NewPCG(seed, 2))
	x := make([][]float64, n)
	for i := range x {
		x[i] = make([]float64, dim)
		for j := range x[i] {
			x[i][j] = random.NormFloat64()
		}
	}
	return x
}

// Repeated returns n rows, of which only few are distinct.
func Repeated(n, dim, distinct int) [][]float64 {
	x := Cloud(3, n, dim)
	for i := distinct; i < n; i++ {
		x[i] = x[i%distinct]
	}
	return x
}

// Shrunken returns rows of which half lie in a cluster a thousandth of the size.
func Shrunken(n, dim int) [][]float64 {
	x := Cloud(4, n, dim)
	for i := 0; i < n; i += 2 {
		for j := range x[i] {
			x[i][j] /= 1000
		}
	}
	return x
}

// NastyKinds is the number of kinds of NastyCounts.
const NastyKinds = 6

// NastyCounts returns 30 to 79 units of counts such as trouble a solver, the same ones
// for the same seed: of a guest that does nothing, or now and then a lot; in
// clusters of very different size; with huge counts; mostly constant; few
// distinct ones; one unit far from all others, in front.
func NastyCounts(seed uint64) [][]float64 {
	random := rand.New(rand.NewPCG(seed, 6))
	n, dim := 30+random.IntN(50), 1+random.IntN(8)
	clusters := 1 + random.IntN(4)
	x := make([][]float64, n)
	for i := range x {
		x[i] = make([]float64, dim)
		cluster := random.IntN(clusters)
		for j := range x[i] {
			x[i][j] = math.Floor(nastyCount(random, int(seed%NastyKinds), i, j, cluster))
		}
		if i > 0 && random.IntN(3) == 0 {
			x[i] = x[random.IntN(i)]
		}
	}
	return x
}

// nastyCount is the count of feature j in unit i, not yet whole.
func nastyCount(random *rand.Rand, kind, i, j, cluster int) float64 {
	noise := random.Float64()
	switch kind {
	case 0: // idle but for a stray hit
		return 200 + noise*1.02
	case 1: // bursts
		return noise * 3 * math.Pow(1000, float64(cluster))
	case 2: // clusters, each a thousandth as wide as the last one, relative to its place
		place := 1e9 * float64(1+cluster)
		return place * (1 + noise*math.Pow(1000, -float64(cluster)))
	case 3: // huge, up to the greatest number
		return math.MaxFloat64 * math.Pow(noise, float64(1+20*cluster))
	case 4: // constant, but for one column
		if j > 0 {
			return float64(j) * 1e5
		}
		return noise * 1e6
	}
	if i == 0 {
		return 1e12
	}
	return 5 + noise*2
}

// NastyRows returns rows as they are given to an engine, not counts, with
// parameters: near-duplicates, clusters of very different scale, constant
// columns, rows so far from the origin that distances drown in rounding.
func NastyRows(seed uint64) (x [][]float64, nu, gamma float64) {
	random := rand.New(rand.NewPCG(seed, 7))
	n, dim := 20+random.IntN(60), 1+random.IntN(8)
	clusters := 1 + random.IntN(4)
	x = make([][]float64, n)
	for i := range x {
		x[i] = make([]float64, dim)
		cluster := random.IntN(clusters)
		scale := math.Pow(1000, -float64(cluster))
		for j := range x[i] {
			noise := random.NormFloat64()
			switch seed % 5 {
			case 0:
				x[i][j] = 1 + 1e-6*noise
			case 1:
				x[i][j] = 10*float64(cluster) + scale*noise
			case 2:
				x[i][j] = 100 * scale * noise
			case 3:
				x[i][j] = math.Pow(10, float64(2+seed%8)) + noise
			case 4:
				x[i][j] = float64(j%2) * noise
			}
		}
		if i > 0 && random.IntN(3) == 0 {
			x[i] = x[random.IntN(i)]
		}
	}
	nu = []float64{0.02, 0.05, 0.1, 0.3, 0.5, 0.9}[random.IntN(6)]
	return x, nu, math.Pow(10, 4*random.Float64()-3)
}
