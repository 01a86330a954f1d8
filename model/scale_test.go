package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Of ordinary counts the residual is about the distance in standard deviations of counting noise; it is
// monotone, has the sign of the difference, and can be undone.
func TestResidual(t *testing.T) {
	for _, tc := range []struct{ mean, count, want float64 }{
		{100, 100, 0},
		{100, 111.2, 1},   // variance 100 + 100²/400
		{10000, 10510, 1}, // about 5 %
		{0.001, 1, 3.44},  // once in a thousand units
		{4, 0, -2.82},
	} {
		if got := residual(tc.count, tc.mean); math.Abs(got-tc.want) > 0.05 {
			t.Errorf("%v where %v is expected: %v, want about %v", tc.count, tc.mean, got, tc.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		mean := math.Exp(rapid.Float64Range(-12, 18).Draw(t, "logarithm of mean"))
		count := math.Floor(math.Exp(rapid.Float64Range(0, 18).Draw(t, "logarithm of count"))) - 1
		r := residual(count, mean)
		if math.IsNaN(r) || math.IsInf(r, 0) || (r < 0) != (count < mean) {
			t.Fatalf("residual of %v where %v is expected: %v", count, mean, r)
		}
		if more := residual(2*count+1, mean); more <= r {
			t.Fatalf("%v of %v, %v of twice as many", r, count, more)
		}
		if back := countOf(r, mean); math.Abs(back-count) > 1e-3*(1+count) {
			t.Fatalf("%v where %v is expected became %v", count, mean, back)
		}
	})
	if r := residual(math.MaxFloat64, 1e-9); math.IsNaN(r) || math.IsInf(r, 0) {
		t.Errorf("the largest count: %v", r)
	}
}

// However a residual is worked out, nothing is cancelled: it is that of differences from the mean, as far as these can tell.
func TestResidualOfManyHits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := math.Exp(rapid.Float64Range(0, 27).Draw(t, "log"))
		if rapid.Bool().Draw(t, "whole") {
			count = math.Round(count)
		}
		mean := count * math.Exp(rapid.Float64Range(-2, 2).Draw(t, "ratio"))
		want := 2 * (count*math.Log1p((count-mean)/mean) - (count+dispersion)*math.Log1p((count-mean)/(mean+dispersion)))
		got := residual(count, mean)
		if got*got < 1e-3 {
			return
		}
		if math.Abs(got*got-want) > 1e-9*want+1e-13*count {
			t.Errorf("%v of %v: %v, want %v", count, mean, got*got, want)
		}
	})
}

// What never was is far, the more so the longer it never was; steady counts are no trip wire.
func TestScalingOfSteadyCounts(t *testing.T) {
	still := func(n int) Scaling {
		rows := make([][]float64, n)
		for i := range rows {
			rows[i] = []float64{200, 0}
		}
		return fitScaling(rows, 1)
	}
	z := make([]float64, 2)
	s := still(300)
	for _, tc := range []struct {
		counts  []float64
		at      int
		low, up float64
	}{
		{[]float64{200, 0}, 0, -1e-6, 1e-6},
		{[]float64{202, 0}, 0, 0, 1},
		{[]float64{300, 0}, 0, 5, 30},
		{[]float64{200, 1}, 1, 3, 3.5},
		{[]float64{200, 50}, 1, 20, 40},
	} {
		if s.apply(z, tc.counts); !(z[tc.at] >= tc.low && z[tc.at] <= tc.up) {
			t.Errorf("%v: coordinate %d is %v, want %v to %v", tc.counts, tc.at, z[tc.at], tc.low, tc.up)
		}
	}
	short, long := still(30), still(3000)
	if a, b := short.stray(), long.stray(); a >= b {
		t.Errorf("a stray hit is %v far after 30 units, %v after 3,000", a, b)
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

// Scaled training units are centred.
func TestScalingCentres(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := countRows(t)
		s := fitScaling(rows, 1)
		if err := s.check(len(rows[0])); err != nil {
			t.Fatal(err)
		}
		for j, m := range meanOf(s.applyAll(rows))[:len(s.Columns)] {
			if math.Abs(m) > 1e-6*maxFactor*math.Sqrt(maxCount) {
				t.Errorf("column %d has mean %v", j, m)
			}
		}
	})
}

// A load that moves everything is one unusual thing; a column that leaves the others is another, the more so
// the closer it followed them.
func TestScalingWhitens(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	unit := func(load float64) []float64 {
		requests := math.Round(40 * load)
		r := []float64{requests, 4 * requests}
		for range 20 {
			r = append(r, math.Round(100*load+10*math.Sqrt(load)*random.NormFloat64()))
		}
		return r
	}
	var rows [][]float64
	for range 300 {
		rows = append(rows, unit(math.Exp(0.4*random.NormFloat64())))
	}
	s := fitScaling(rows, 1)
	length := func(values []float64) float64 {
		z := make([]float64, s.size())
		s.apply(z, values)
		sum := 0.0
		for _, v := range z {
			sum += v * v
		}
		return math.Sqrt(sum)
	}
	usual := length(unit(1))
	if l := length(unit(2)); l > 2*usual {
		t.Errorf("twice the load is %v from the centre, a usual unit %v", l, usual)
	}
	broken := unit(1)
	broken[1] += 40 // by counting noise, two standard deviations
	if l := length(broken); l < 1.5*usual {
		t.Errorf("what always goes together and does not is %v from the centre, a usual unit %v", l, usual)
	}
}

// Directions that were fitted to noise vary by as much as others.
func TestDirectionsOfNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	var rows [][]float64
	for range 40 {
		r := make([]float64, 30)
		for j := range r {
			r[j] = max(0, math.Round(100+11.18*random.NormFloat64()))
		}
		rows = append(rows, r)
	}
	s := fitScaling(rows, 1)
	for k, f := range s.Factor {
		if f > 1.8 || f < 0.5 {
			t.Errorf("direction %d of pure noise has the factor %v", k, f)
		}
	}
}

// The order of the columns changes nothing.
func TestScalingOfPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := countRows(t)
		if len(rows) < 30 {
			t.Skip("of few rows, directions are not known")
		}
		mirrored := make([][]float64, len(rows))
		for i, r := range rows {
			mirrored[i] = slices.Clone(r)
			slices.Reverse(mirrored[i])
		}
		a, b := fitScaling(rows, 1), fitScaling(mirrored, 1)
		length := func(s Scaling, r []float64) float64 {
			z := make([]float64, s.size())
			s.apply(z, r)
			return math.Sqrt(squaredDistance(z, make([]float64, len(z))))
		}
		if want, got := length(a, rows[0]), length(b, mirrored[0]); math.Abs(want-got) > 0.05*(1+want) { // directions that vary alike may be mixed
			t.Fatalf("lengths %v and %v", want, got)
		}
	})
}

// counts undoes apply.
func TestCountsUndoApply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := countRows(t)
		s := fitScaling(rows, 1)
		z := make([]float64, s.size())
		for _, r := range rows {
			s.apply(z, r)
			for j, v := range s.counts(z, len(r)) {
				if math.Abs(v-r[j]) > 1e-5*r[j] {
					t.Fatalf("column %d: %v became %v", j, r[j], v)
				}
			}
		}
	})
}

func TestDefaultGamma(t *testing.T) {
	if g := defaultGamma([][]float64{{0, 0}, {0, 0}}); g != 1 {
		t.Errorf("still guest: %v", g)
	}
	if g := defaultGamma([][]float64{{2, 1}, {-2, -1}}); g != 0.2 {
		t.Errorf("variance 5: %v", g)
	}
}
