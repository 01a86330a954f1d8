package model

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

func TestLearningCurve(t *testing.T) {
	train, normal, _ := evaluated()
	points, err := LearningCurve(smo{}, MethodDefault, train, normal, []int{10, 50, 120, 121}, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var blocks []int
	for _, p := range points {
		blocks = append(blocks, p.Blocks)
		if p.Blocks == 0 {
			continue
		}
		if *p.Least < 0 || *p.Least > *p.Mean || *p.Mean > *p.Most || *p.Most > 1 || *p.FalsePositiveRate < *p.Least || *p.FalsePositiveRate > *p.Most {
			t.Errorf("%d units: %v, %v to %v, mean %v", p.Units, *p.FalsePositiveRate, *p.Least, *p.Most, *p.Mean)
		}
	}
	if diff := cmp.Diff([]int{5, 2, 1, 0}, blocks); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(CurvePoint{Units: 121}, points[3]); diff != "" {
		t.Error(diff)
	}
	e, err := Evaluate(smo{}, MethodDefault, train, normal, nil, EvalOptions{})
	if err != nil || *points[2].FalsePositiveRate != e.FalsePositiveRate {
		t.Errorf("all units: %v, want %v, %v", *points[2].FalsePositiveRate, e.FalsePositiveRate, err)
	}
	if _, err := LearningCurve(smo{}, MethodDefault, train, normal, []int{9}, EvalOptions{}); err == nil || !strings.Contains(err.Error(), "9 units") {
		t.Errorf("9 units: %v", err)
	}
	if _, err := LearningCurve(smo{}, MethodDefault, train, nil, []int{50}, EvalOptions{}); err == nil {
		t.Error("nothing to judge")
	}
}

func TestCrossValidate(t *testing.T) {
	train, normal, _ := evaluated()
	v, err := CrossValidate(smo{}, MethodDefault, append(train, normal...), 6, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Folds != 6 || v.Units != 180 || v.Hours != 0.1 || v.FalseAlarms != 0 || v.FalsePositives > 5 ||
		v.FalsePositiveRate != float64(v.FalsePositives)/180 || v.Low > v.FalsePositiveRate || v.High < v.FalsePositiveRate ||
		math.Abs(v.AlarmsPerDayBound-718.98) > 0.1 {
		t.Errorf("%+v", v)
	}
	for _, folds := range []int{-1, 0, 1, 181} {
		if _, err := CrossValidate(smo{}, MethodDefault, append(train, normal...), folds, EvalOptions{}); err == nil {
			t.Errorf("%d blocks", folds)
		}
	}
	// With two blocks too little is left to learn from.
	if _, err := CrossValidate(smo{}, MethodDefault, []Recording{newGuest(1, 0).recording("short", 40, 1)}, 2, EvalOptions{}); err == nil || !strings.Contains(err.Error(), "short: ") {
		t.Errorf("short: %v", err)
	}
	paper, err := CrossValidate(smo{}, MethodPaper, train, 3, EvalOptions{Paper: &PaperParameters{Nu: 0.01, Gamma: 0.01}})
	if err != nil || paper.FalsePositiveRate < 0.9 || paper.FalseAlarms != 3 {
		t.Errorf("%+v, %v", paper, err)
	}
}

// No unit is learnt from that is in the block, beside it, or lossy.
func TestWithout(t *testing.T) {
	samples, err := lay([]string{"x"}, []Recording{counts("a", "x", 0, 0, 1, 2, 3, 4, 5, 6, 7), counts("b", "x", 0, 8, 9)})
	if err != nil {
		t.Fatal(err)
	}
	samples[0].lossy = true
	for _, tc := range []struct {
		from, to, guard int
		want            []float64
	}{
		{3, 5, 1, []float64{1, 6, 7, 8, 9}},
		{3, 5, 0, []float64{1, 2, 5, 6, 7, 8, 9}},
		{6, 8, 2, []float64{1, 2, 3, 8, 9}}, // another recording is no neighbour
		{0, 10, 1, nil},
	} {
		var got []float64
		for _, r := range without([]string{"x"}, samples, tc.from, tc.to, Options{Guard: tc.guard}).Rows {
			got = append(got, r.Values[0])
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%+v: %s", tc, diff)
		}
	}
}

// The bounds are those at which what was seen would be as rare as the confidence says.
func TestBinomialInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5000).Draw(t, "n")
		k := rapid.IntRange(0, n).Draw(t, "k")
		low, high := BinomialInterval(k, n, 0.95)
		if low > float64(k)/float64(n) || high < float64(k)/float64(n) {
			t.Fatalf("%d of %d: %v to %v", k, n, low, high)
		}
		if k > 0 {
			if above := 1 - (distuv.Binomial{N: float64(n), P: low}).CDF(float64(k-1)); math.Abs(above-0.025) > 1e-6 {
				t.Errorf("%d of %d: from %v, where so many or more have probability %v", k, n, low, above)
			}
		}
		if k < n {
			if below := (distuv.Binomial{N: float64(n), P: high}).CDF(float64(k)); math.Abs(below-0.025) > 1e-6 {
				t.Errorf("%d of %d: to %v, where so many or fewer have probability %v", k, n, high, below)
			}
		}
	})
	if low, high := BinomialInterval(0, 0, 0.95); low != 0 || high != 1 {
		t.Errorf("no trial: %v to %v", low, high)
	}
	// A value from the tables: 3 of 20.
	if low, high := BinomialInterval(3, 20, 0.95); math.Abs(low-0.0321) > 5e-5 || math.Abs(high-0.3789) > 5e-5 {
		t.Errorf("3 of 20: %v to %v", low, high)
	}
}

func TestPoissonBound(t *testing.T) {
	// -ln 0.05 without any event; of the tables, 4.744 with one and 16.962 with ten.
	for k, want := range map[int]float64{0: 2.9957, 1: 4.7439, 10: 16.9622} {
		if got := PoissonBound(k, 0.95); math.Abs(got-want) > 1e-4 {
			t.Errorf("%d events: %v, want %v", k, got, want)
		}
	}
}
