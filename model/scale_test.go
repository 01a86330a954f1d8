package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

func TestScaleFloor(t *testing.T) {
	for _, tc := range []struct {
		name       string
		column     []float64
		count, far float64 // a count, and its scaled value
	}{
		{"never fired", []float64{0, 0, 0, 0}, 1, math.Ln2},
		{"constant 8", []float64{8, 8, 8, 8}, 17, math.Ln2 * 3},
		{"constant million", []float64{1e6, 1e6, 1e6, 1e6}, 1.1e6, math.Log(1.1) / minScale},
	} {
		rows := make([][]float64, len(tc.column))
		for i, v := range tc.column {
			rows[i] = []float64{v}
		}
		z := make([]float64, 1)
		s := FitScaling(rows)
		if len(s.Direction) != 0 {
			t.Errorf("%s: whitened", tc.name)
		}
		if s.Apply(z, []float64{tc.count}); math.Abs(z[0]-tc.far) > 1e-4 {
			t.Errorf("%s: %v hits are %v, want %v", tc.name, tc.count, z[0], tc.far)
		}
	}
}

// countRows draws rows of counts whose features move together and apart.
func countRows(t *rapid.T) [][]float64 {
	n, dim := rapid.IntRange(2, 60).Draw(t, "rows"), rapid.IntRange(1, 12).Draw(t, "features")
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	rate := make([]float64, dim)
	for j := range rate {
		rate[j] = math.Exp(12*random.Float64()) - 1
	}
	swing := 2 * random.Float64()
	rows := make([][]float64, n)
	for i := range rows {
		load := math.Exp(swing * random.NormFloat64())
		for _, r := range rate {
			rows[i] = append(rows[i], math.Floor(r*load*(1+0.3*random.Float64())))
		}
	}
	return rows
}

// Scaled training units are centred, and vary by no more than one unit in any
// direction, not only along the axes.
func TestScalingWhitens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := countRows(t)
		s := FitScaling(rows)
		if err := s.check(len(rows[0])); err != nil {
			t.Fatal(err)
		}
		dim, n := len(rows[0]), float64(len(rows))
		covariance := mat.NewSymDense(dim, nil)
		mean := make([]float64, dim)
		for _, z := range s.applyAll(rows) {
			covariance.SymRankOne(covariance, 1/n, mat.NewVecDense(dim, z))
			for j, v := range z {
				mean[j] += v / n
			}
		}
		for j, m := range mean {
			if math.Abs(m) > 1e-6 {
				t.Errorf("feature %d has mean %v", j, m)
			}
		}
		var eigen mat.EigenSym
		if !eigen.Factorize(covariance, false) {
			t.Fatal("no eigenvalues")
		}
		if v := slices.Max(eigen.Values(nil)); v > 1+1e-6 {
			t.Errorf("variance %v in one direction", v)
		}
	})
}

// The order of the features changes nothing.
func TestScalingOfPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := countRows(t)
		mirrored := make([][]float64, len(rows))
		for i, r := range rows {
			mirrored[i] = slices.Clone(r)
			slices.Reverse(mirrored[i])
		}
		a, b := FitScaling(rows), FitScaling(mirrored)
		want, got := make([]float64, len(rows[0])), make([]float64, len(rows[0]))
		a.Apply(want, rows[0])
		b.Apply(got, mirrored[0])
		slices.Reverse(got)
		for j := range want {
			if math.Abs(want[j]-got[j]) > 1e-5*(1+math.Abs(want[j])) {
				t.Fatalf("feature %d: %v and %v", j, want[j], got[j])
			}
		}
	})
}

// Slow movement seen for a short time is expected to go further, independent
// noise is not.
func TestPredictive(t *testing.T) {
	series := func(memory float64, n int) [][]float64 {
		random := rand.New(rand.NewPCG(5, 5))
		rows, x := make([][]float64, n), 0.0
		for i := range rows {
			x = memory*x + math.Sqrt(1-memory*memory)*random.NormFloat64()
			rows[i] = []float64{x}
		}
		return rows
	}
	for _, tc := range []struct {
		memory    float64
		n         int
		low, high float64
	}{
		{0, 1000, 1, 1.01},
		{0, 90, 1, 1.1},
		{0.9, 1000, 1, 1.2},
		{0.98, 90, 2, 14},
	} {
		if f := predictive(series(tc.memory, tc.n), []float64{1}); f < tc.low || f > tc.high {
			t.Errorf("memory %v over %d rows: factor %v, want %v to %v", tc.memory, tc.n, f, tc.low, tc.high)
		}
	}
}

func TestDefaultGamma(t *testing.T) {
	if g := defaultGamma([][]float64{{0, 0}, {0, 0}}); g != 1 {
		t.Errorf("still guest: %v", g)
	}
	if g := defaultGamma([][]float64{{2, 1}, {-2, -1}}); g != 0.2 {
		t.Errorf("variance 5: %v", g)
	}
}
