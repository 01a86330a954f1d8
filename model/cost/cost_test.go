package cost

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

func fitted(t *testing.T, o Observations) *Calibration {
	t.Helper()
	c, err := Fit(testScheme(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNNLSOptimal holds the Karush-Kuhn-Tucker conditions, which are sufficient: the problem is convex.
func TestNNLSOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 20).Draw(t, "rows"), rapid.IntRange(1, 8).Draw(t, "cols")
		a, b := mat.NewDense(rows, cols, nil), make([]float64, rows)
		for i := range rows {
			for j := range cols {
				a.Set(i, j, float64(rapid.IntRange(-5, 20).Draw(t, "a")))
			}
			b[i] = float64(rapid.IntRange(-20, 50).Draw(t, "b"))
		}
		x, err := nnls(a, b)
		if err != nil {
			t.Fatal(err)
		}
		var residual, gradient mat.VecDense
		residual.MulVec(a, mat.NewVecDense(cols, x))
		residual.SubVec(mat.NewVecDense(rows, b), &residual)
		gradient.MulVec(a.T(), &residual)
		for j, v := range x {
			g, tolerance := gradient.AtVec(j), 1e-6*(1+mat.Norm(a, 2)*(1+mat.Norm(&residual, 2)))
			if v < 0 || g > tolerance || v > 1e-9 && math.Abs(g) > tolerance {
				t.Fatalf("x[%d] = %g with gradient %g", j, v, g)
			}
		}
	})
}

func TestNNLSKnown(t *testing.T) {
	a := mat.NewDense(4, 2, []float64{1, 1, 2, 1, 3, 1, 4, 1})
	for _, tc := range []struct {
		name    string
		b, want []float64
	}{
		{"exact", []float64{3, 5, 7, 9}, []float64{2, 1}},
		{"a negative intercept becomes none", []float64{0, 2, 4, 6}, []float64{4.0 / 3, 0}},
		{"nothing fits", []float64{-1, -2, -3, -4}, []float64{0, 0}},
	} {
		got, err := nnls(a, tc.b)
		if err != nil {
			t.Fatal(err)
		}
		for j := range got {
			if math.Abs(got[j]-tc.want[j]) > 1e-9 {
				t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
			}
		}
	}
}

func TestFitRecovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := world(rapid.Uint64().Draw(t, "seed"), 6, 0.002)
		// One in ten is far off, and is to count for little.
		for i := range o.List {
			if i%10 == 5 {
				o.List[i].Overhead += 0.5
			}
		}
		list, _ := o.Split()
		c := &Calibration{scheme: testScheme(), names: testScheme().Coefficients()}
		got, err := c.problem(list).solve(reweighed)
		if err != nil {
			t.Fatal(err)
		}
		for j, name := range c.names {
			want, near := truth[name], 0.01
			if want < 1e-4 {
				near = 0.2e-6
			}
			if math.Abs(got[j]-want) > near {
				t.Errorf("%s = %g, want %g", name, got[j], want)
			}
		}
	})
}

func TestPredictProperties(t *testing.T) {
	c := fitted(t, world(3, 6, 0.003))
	rapid.Check(t, func(t *rapid.T) {
		rates, a, b := someRates(t), someSources(t, "a"), someSources(t, "b")
		one := predict(t, c, rates, a)
		if !(one.Low >= 0 && one.Low <= one.Slowdown && one.Slowdown <= one.High && one.High < 1) {
			t.Fatalf("%+v", one)
		}
		both := predict(t, c, rates, slices.Concat(a, b))
		other := predict(t, c, rates, b)
		if both.Slowdown < max(one.Slowdown, other.Slowdown)-1e-12 || both.Slowdown > one.Slowdown+other.Slowdown+1e-12 {
			t.Errorf("together %g, apart %g and %g", both.Slowdown, one.Slowdown, other.Slowdown)
		}
		if again := predict(t, c, rates, slices.Concat(a, a)); !cmp.Equal(one, again) {
			t.Errorf("named twice: %s", cmp.Diff(one, again))
		}
		// First one and then the other leaves as much of the guest's speed as both at once.
		added := predict(t, c, rates, b, a...)
		if left, want := (1-one.Slowdown)*(1-added.Slowdown), 1-both.Slowdown; math.Abs(left-want) > 1e-9 {
			t.Errorf("one after the other leaves %g, both at once %g", left, want)
		}
		sum := 0.0
		for _, p := range both.Parts {
			sum += p.Overhead
		}
		if math.Abs(Slowdown(sum)-both.Slowdown) > 1e-9 {
			t.Errorf("parts are %g together, all is %g", Slowdown(sum), both.Slowdown)
		}
	})
}

func predict(t *rapid.T, c *Calibration, rates Rates, with []string, running ...string) Prediction {
	p, err := c.Predict(rates, with, running...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSharedOnce has a combination whose second source brings nothing that the first has not.
func TestSharedOnce(t *testing.T) {
	c := fitted(t, world(5, 6, 0.002))
	rates := Rates{"probe:disk": 1e4, "probe:net": 1e4, "probe:rest": 1e5, "function": 1e4, "syscall": 1e4}
	all, err := c.Predict(rates, []string{"all"})
	if err != nil {
		t.Fatal(err)
	}
	both, err := c.Predict(rates, []string{"all", "ust", "disk"})
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(all, both) {
		t.Error(cmp.Diff(all, both))
	}
	if more, err := c.Predict(rates, []string{"ust"}, "all"); err != nil || !cmp.Equal(more, Prediction{}) {
		t.Error(more, err)
	}
}

// TestCoverage sees how often what comes lies inside the interval, over many worlds.
func TestCoverage(t *testing.T) {
	inside, of := 0, 0
	for seed := range uint64(3) {
		for _, deviation := range []float64{0.002, 0.01} {
			o := world(100+seed, 4, deviation)
			_, held := o.Split()
			table, err := Evaluate(fitted(t, o), held)
			if err != nil {
				t.Fatal(err)
			}
			inside += int(math.Round(table.Inside * float64(len(held))))
			of += len(held)
		}
	}
	if share := float64(inside) / float64(of); share < 0.85 || of < 150 {
		t.Errorf("%.3f of %d inside the interval of 0.9", share, of)
	}
}

func TestEvaluateHolds(t *testing.T) {
	o := world(11, 5, 0.003)
	c := fitted(t, o)
	_, held := o.Split()
	table, err := Evaluate(c, held)
	if err != nil {
		t.Fatal(err)
	}
	if bars, all := table.Holds(); !all {
		t.Error(bars)
	}
	for i := range held { // another world: the calibration does not hold there
		held[i].Overhead = 2*held[i].Overhead + 0.1
	}
	if table, err = Evaluate(c, held); err != nil {
		t.Fatal(err)
	}
	bars, all := table.Holds()
	if all || !bars[0].Holds || bars[1].Holds || bars[3].Holds {
		t.Error(bars)
	}
	stops := []Observation{{Workload: "web", Sources: []string{"guest-syscalls"}, Rates: Rates{"guest": 5}, Overhead: 0.1}}
	if table, err = Evaluate(c, stops); err != nil || table.Unpredicted != 1 {
		t.Error(table, err)
	}
	if bars, all := table.Holds(); all || bars[0].Holds || bars[1].Holds {
		t.Error(bars)
	}
	if _, err := Evaluate(c, nil); err == nil {
		t.Error("nothing held out: no error")
	}
}

func TestUnknownRates(t *testing.T) {
	c := fitted(t, world(3, 6, 0.002))
	known := Rates{"probe:disk": 1e4, "probe:net": 1e4, "probe:rest": 1e5, "function": 2e4, "syscall": 2e4}
	sure, err := c.Predict(known, []string{"syscalls"})
	if err != nil {
		t.Fatal(err)
	}
	guess, err := c.Predict(Rates{"probe:disk": 1e4, "probe:net": 1e4}, []string{"syscalls"}, "ust")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(guess.Estimated, []string{"syscall"}) || guess.High-guess.Low < sure.High-sure.Low {
		t.Errorf("estimated %v: %+v; known: %+v", guess.Estimated, guess, sure)
	}
	if far, err := c.Predict(Rates{"syscall": 1e7}, []string{"syscalls"}); err != nil || !slices.Equal(far.Beyond, []string{"syscall"}) {
		t.Error(far, err)
	}
	for _, tc := range []struct {
		name  string
		rates Rates
		with  []string
		want  error
	}{
		{"no rate to go by", Rates{}, []string{"syscalls"}, ErrUnknownRate},
		{"no such source", known, []string{"oracle"}, ErrUnknownSource},
		{"never measured", Rates{"guest": 10}, []string{"guest-syscalls"}, ErrUncalibrated},
	} {
		if _, err := c.Predict(tc.rates, tc.with); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	for _, bad := range []float64{-1, math.NaN(), math.Inf(1), 2 * maxRate} {
		if _, err := c.Predict(Rates{"syscall": bad}, []string{"syscalls"}); err == nil {
			t.Errorf("rate %v: no error", bad)
		}
	}
}

// TestTooFewEvents has guests that hardly make system calls: noise is not their price.
func TestTooFewEvents(t *testing.T) {
	o := world(3, 6, 0.01)
	for i := range o.List {
		o.List[i].Rates = maps.Clone(o.List[i].Rates)
		o.List[i].Rates["syscall"] = 0.3
	}
	c := fitted(t, o)
	for _, k := range c.Coefficients() {
		if k.Known == slices.Contains([]string{"call", "stop"}, k.Name) {
			t.Errorf("%+v", k)
		}
	}
	if _, err := c.Predict(Rates{"syscall": 1e4}, []string{"syscalls"}); !errors.Is(err, ErrUncalibrated) {
		t.Error(err)
	}
}

// TestLearn has a guest that turns out dearer.
func TestLearn(t *testing.T) {
	o := world(3, 3, 0.002)
	c := fitted(t, o)
	rates := Rates{"probe:disk": 1e4, "probe:net": 1e4, "probe:rest": 1e5, "function": 2e4, "syscall": 8e4}
	before, err := c.Predict(rates, []string{"syscalls"})
	if err != nil {
		t.Fatal(err)
	}
	var dear []Observation
	for range maxLearnt + 50 {
		dear = append(dear, Observation{Workload: "web", Sources: []string{"syscalls"}, Rates: rates, Overhead: 0.4, Error: 0.01})
	}
	more, err := c.Learn(dear...)
	if err != nil {
		t.Fatal(err)
	}
	after, err := more.Predict(rates, []string{"syscalls"})
	if err != nil || after.Slowdown < before.Slowdown+0.05 {
		t.Error(before.Slowdown, after.Slowdown, err)
	}
	if got, want := len(more.Observations().List), len(o.List)+maxLearnt; got != want {
		t.Errorf("%d observations are kept, want %d", got, want)
	}
	if _, err := c.Learn(Observation{Workload: "web", Sources: []string{"oracle"}}); !errors.Is(err, ErrUnknownSource) {
		t.Error(err)
	}
	if len(c.Observations().List) != len(o.List) {
		t.Error("the calibration itself has changed")
	}
}

func TestFitRefuses(t *testing.T) {
	good := world(3, 3, 0.002)
	with := func(f func(*Observation)) Observations {
		o := good
		o.List = slices.Clone(good.List)
		f(&o.List[0])
		return o
	}
	for _, tc := range []struct {
		name string
		s    Scheme
		o    Observations
		text string
	}{
		{"no terms", nil, good, "0 terms"},
		{"a term of nobody", Scheme{{Coefficient: "x"}}, good, "no source has it"},
		{"too few", testScheme(), Observations{List: good.List[:2]}, "want 3 at least"},
		{"one workload and combination", testScheme(), Observations{List: []Observation{good.List[0], good.List[0], good.List[0]}}, "calibrate with more"},
		{"no such source", testScheme(), with(func(o *Observation) { o.Sources = []string{"oracle"} }), "no such source"},
		{"no number", testScheme(), with(func(o *Observation) { o.Overhead = math.NaN() }), "overhead NaN"},
		{"no rate", testScheme(), with(func(o *Observation) { o.Rates = Rates{"x": -1} }), "rate of x"},
		{"no error", testScheme(), with(func(o *Observation) { o.Error = -1 }), "error -1"},
		{"a source twice", testScheme(), with(func(o *Observation) { o.Sources = []string{"ust", "ust"} }), "named twice"},
		{"no workload", testScheme(), with(func(o *Observation) { o.Workload = "" }), "workload"},
		{"a workload that steers a terminal", testScheme(), with(func(o *Observation) { o.Workload = "a\x1b[2J" }), "cannot be printed"},
	} {
		if _, err := Fit(tc.s, tc.o); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.text)
		}
	}
}

func TestDesign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sources := []string{"a", "b", "c", "d", "e", "f"}[:rapid.IntRange(2, 6).Draw(t, "sources")]
		works := []string{"x", "y", "z"}[:rapid.IntRange(1, 3).Draw(t, "workloads")]
		apart := []string{"u", "v"}[:rapid.IntRange(0, 2).Draw(t, "apart")]
		var exclude func(a, b string) bool
		if len(sources) > 2 && rapid.Bool().Draw(t, "exclude") {
			exclude = func(a, b string) bool { return a == "a" && b == "b" || a == "b" && b == "a" }
		}
		runs, err := Design(Factors{
			Sources: sources, Workloads: works, Apart: apart, Exclude: exclude,
			Fit: rapid.IntRange(0, 9).Draw(t, "fit"), Held: rapid.IntRange(1, 9).Draw(t, "held"),
		})
		if err != nil {
			t.Fatal(err)
		}
		type key struct{ work, sources string }
		seen, fit, held := map[key]bool{}, map[string]bool{}, map[string]bool{}
		for _, r := range runs {
			name := strings.Join(r.Sources, "+")
			if seen[key{r.Workload, name}] {
				t.Errorf("%s with %s twice", name, r.Workload)
			}
			seen[key{r.Workload, name}] = true
			if exclude != nil && slices.Contains(r.Sources, "a") && slices.Contains(r.Sources, "b") {
				t.Errorf("%s: two that exclude each other", name)
			}
			switch {
			case slices.Contains(apart, r.Workload):
				if !r.HeldOut {
					t.Errorf("%s with %s, which is set apart, is not held out", name, r.Workload)
				}
				if len(r.Sources) > 1 {
					held[name] = true
				}
			case r.HeldOut:
				held[name] = true
			default:
				fit[name] = true
			}
		}
		for name := range held {
			if fit[name] {
				t.Errorf("%s is held out and fitted to", name)
			}
		}
		for _, w := range works {
			for _, s := range sources {
				if !seen[key{w, s}] {
					t.Errorf("%s alone is missing with %s", s, w)
				}
			}
		}
		if len(held) == 0 {
			t.Error("nothing is held out")
		}
	})
	for name, bad := range map[string]Factors{
		"one source":       {Sources: []string{"a"}, Workloads: []string{"x"}, Fit: 1, Held: 1},
		"a source twice":   {Sources: []string{"a", "a"}, Workloads: []string{"x"}, Fit: 1, Held: 1},
		"no workload":      {Sources: []string{"a", "b"}, Apart: []string{"x"}, Fit: 1, Held: 1},
		"one twice":        {Sources: []string{"a", "b"}, Workloads: []string{"x"}, Apart: []string{"x"}, Fit: 1, Held: 1},
		"nothing held out": {Sources: []string{"a", "b"}, Workloads: []string{"x"}, Fit: 1},
		"none together": {
			Sources: []string{"a", "b"}, Workloads: []string{"x"}, Fit: 1, Held: 1, Exclude: func(string, string) bool { return true },
		},
	} {
		if _, err := Design(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
