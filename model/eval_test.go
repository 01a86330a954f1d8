package model

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestConfusion(t *testing.T) {
	for _, tc := range []struct {
		c                                         Confusion
		sensitivity, falseRate, precision, fScore float64
	}{
		{Confusion{}, 0, 0, 0, 0},
		{Confusion{TruePositive: 80, TrueNegative: 500}, 1, 0, 1, 1},
		{Confusion{TruePositive: 40, FalseNegative: 40, TrueNegative: 500}, 0.5, 0, 1, 2.0 / 3},
		// Ten times as many normal units: precision is as if they were as many.
		{Confusion{TruePositive: 60, FalseNegative: 20, FalsePositive: 200, TrueNegative: 600}, 0.75, 0.25, 0.75, 0.75},
		{Confusion{FalseNegative: 80, FalsePositive: 80}, 0, 1, 0, 0},
	} {
		got := []float64{tc.c.Sensitivity(), tc.c.FalsePositiveRate(), tc.c.Precision(), tc.c.FMeasure()}
		for i, want := range []float64{tc.sensitivity, tc.falseRate, tc.precision, tc.fScore} {
			if math.Abs(got[i]-want) > 1e-12 {
				t.Errorf("%+v: %v", tc.c, got)
			}
		}
	}
}

// AUC agrees with the count over all pairs.
func TestAUC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.SampledFrom([]float64{-3, -2, -1, 0, 1, 2.5})
		normal := rapid.SliceOfN(few, 1, 30).Draw(t, "normal")
		anomalous := rapid.SliceOfN(few, 1, 30).Draw(t, "anomalous")
		want := 0.0
		for _, n := range normal {
			for _, a := range anomalous {
				want += count(a < n) + count(a == n)/2
			}
		}
		want /= float64(len(normal) * len(anomalous))
		if got := AUC(normal, anomalous); math.Abs(got-want) > 1e-12 {
			t.Errorf("%v, want %v", got, want)
		}
	})
	if !math.IsNaN(AUC(nil, []float64{1})) || !math.IsNaN(AUC([]float64{1}, nil)) {
		t.Error("AUC of nothing")
	}
	if a := AUC([]float64{math.NaN()}, []float64{1}); math.IsNaN(a) {
		t.Error("AUC of NaN")
	}
}
