package model

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// cloud returns n rows of dim normal values, some rows equal to others.
func cloud(seed uint64, n, dim int) [][]float64 {
	random := rand.New(rand.NewPCG(seed, 2))
	x := make([][]float64, n)
	for i := range x {
		if i > 0 && random.IntN(5) == 0 {
			x[i] = x[random.IntN(i)]
			continue
		}
		x[i] = make([]float64, dim)
		for j := range x[i] {
			x[i][j] = random.NormFloat64()
		}
	}
	return x
}

func TestCertify(t *testing.T) {
	x := cloud(1, 40, 3)
	const nu, gamma = 0.3, 0.2
	good, err := smo{}.OneClass(x, nu, gamma)
	if err != nil {
		t.Fatal(err)
	}
	free := slices.IndexFunc(good.Alpha, func(a float64) bool { return a > 0.1 && a < 0.9 })
	if free < 0 {
		t.Fatal("no free support vector to play with")
	}
	for _, tc := range []struct {
		name string
		edit func(s *Solution)
		ok   bool
	}{
		{"as solved", func(*Solution) {}, true},
		{"within rounding", func(s *Solution) { s.Alpha[free] += 1e-8 }, true},
		{"nothing", func(s *Solution) { *s = Solution{} }, false},
		{"no offset", func(s *Solution) { s.Rho = math.NaN() }, false},
		{"infinite offset", func(s *Solution) { s.Rho = math.Inf(1) }, false},
		{"other offset", func(s *Solution) { s.Rho += 0.01 }, false},
		{"coefficient is NaN", func(s *Solution) { s.Alpha[0] = math.NaN() }, false},
		{"coefficient over its bound", func(s *Solution) { s.Alpha[free] = 1.01 }, false},
		{"negative coefficient", func(s *Solution) { s.Alpha[free] = -0.1 }, false},
		{"sum too small", func(s *Solution) { s.Alpha[free] -= 0.01 }, false},
		{"one missing", func(s *Solution) { s.Alpha = s.Alpha[1:] }, false},
		{"row out of range", func(s *Solution) { s.Index[len(s.Index)-1] = 40 }, false},
		{"negative row", func(s *Solution) { s.Index[0] = -1 }, false},
		{"row twice", func(s *Solution) { s.Index[1] = s.Index[0] }, false},
		{"coefficients exchanged", func(s *Solution) { slices.Reverse(s.Alpha) }, false},
	} {
		s := Solution{Index: slices.Clone(good.Index), Alpha: slices.Clone(good.Alpha), Rho: good.Rho}
		tc.edit(&s)
		_, err := Certify(x, nu, gamma, s)
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrUncertified) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// A solution holds; one from which an amount is carried from one row to another
// that is not its duplicate does not.
func TestCertifyRejectsPerturbed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(4, 60).Draw(t, "rows")
		x := cloud(rapid.Uint64().Draw(t, "seed"), n, 3)
		nu := rapid.Float64Range(0.05, 0.9).Draw(t, "nu")
		s, err := smo{}.OneClass(x, nu, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := Certify(x, nu, 0.5, s)
		if err != nil {
			t.Fatal(err)
		}
		if cert.Rows != n || math.Abs(cert.Sum-nu*float64(n)) > 1e-6 {
			t.Fatalf("certificate %+v", cert)
		}
		if len(s.Alpha) < 2 {
			return
		}
		a := rapid.IntRange(0, len(s.Alpha)-2).Draw(t, "from")
		step := min(0.2, s.Alpha[a]/2, 1-s.Alpha[a+1])
		distance := squaredDistance(x[s.Index[a]], x[s.Index[a+1]])
		if step*(1-math.Exp(-0.5*distance)) < 10*maxResidual {
			return
		}
		// Moving along this line away from the optimum changes the difference of the
		// two gradients by 2·step·(1-K), unless both are at bounds and it only
		// tightens them.
		s.Alpha[a] -= step
		s.Alpha[a+1] += step
		if _, err := Certify(x, nu, 0.5, s); !errors.Is(err, ErrUncertified) {
			t.Errorf("%v carried over: %v", step, err)
		}
	})
}
