package model

import (
	"fmt"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence of the intervals and bounds of [CrossValidate].
const Confidence = 0.95

// CrossValidation says how often a method is wrong about normal units, each judged by what was
// learnt from others.
type CrossValidation struct {
	Folds             int     `json:"folds"`
	Units             int     `json:"units"` // judged
	FalsePositives    int     `json:"false_positives"`
	FalsePositiveRate float64 `json:"false_positive_rate"`
	// Low and High bound the rate with 95 % confidence ([BinomialInterval]).
	Low         float64 `json:"low"`
	High        float64 `json:"high"`
	FalseAlarms int     `json:"false_alarms"` // how often the state became anomalous
	Hours       float64 `json:"hours"`        // that the judged units lasted
	// AlarmsPerDayBound is what the false alarms a day stay under with 95 % confidence, if they
	// come independently of each other: two hours without any bound only 36 a day.
	AlarmsPerDayBound float64 `json:"alarms_per_day_bound"`
}

// CrossValidate pools normal recordings, splits their units into as many blocks as folds says,
// in the order of time, and judges each block by what is learnt from the others. Units are not
// shuffled, and Options.Guard units on each side of a block are not learnt from, for neighbours in time
// are alike. The state machine begins anew with each block. MethodPaper
// searches its parameters once, on all units. Errors are those of [Evaluate].
func CrossValidate(engine Engine, method Method, normal []Recording, folds int, o EvalOptions) (*CrossValidation, error) {
	features := allFeatures(normal)
	learnt, err := newPupil(engine, method, features, normal, o)
	if err != nil {
		return nil, err
	}
	samples, err := lay(features, normal)
	if err != nil {
		return nil, err
	}
	if folds < 2 || folds > len(samples) {
		return nil, fmt.Errorf("cross-validate: %d blocks of %d units, want 2 or more blocks of at least one unit", folds, len(samples))
	}
	v := &CrossValidation{Folds: folds, Units: len(samples)}
	for f := range folds {
		from, to := f*len(samples)/folds, (f+1)*len(samples)/folds
		judge, err := learnt.learn(without(features, samples, from, to, learnt.filled))
		if err != nil {
			return nil, fmt.Errorf("cross-validate: block %d of %d held out: %w", f+1, folds, err)
		}
		judged, err := judgeSamples(judge, o.Decider, samples[from:to])
		if err != nil {
			return nil, fmt.Errorf("cross-validate: %w", err)
		}
		v.FalsePositives += judged.flagged
		v.FalseAlarms += judged.alarms
	}
	v.FalsePositiveRate = float64(v.FalsePositives) / float64(v.Units)
	v.Low, v.High = BinomialInterval(v.FalsePositives, v.Units, Confidence)
	v.Hours = (time.Duration(v.Units) * Width).Hours()
	v.AlarmsPerDayBound = PoissonBound(v.FalseAlarms, Confidence) * 24 / v.Hours
	return v, nil
}

// without returns what may be learnt from but for the block from (included) to to (not
// included) and its neighbours.
func without(features []string, samples []sample, from, to int, o Options) Dataset {
	guard := int64(o.Guard) * int64(Width)
	begin, end := samples[from].row.Start-guard, samples[to-1].row.Start+guard
	var kept []sample
	for _, s := range samples {
		if s.row.Start < begin || s.row.Start > end {
			kept = append(kept, s)
		}
	}
	return learnable(features, kept)
}

// BinomialInterval bounds the probability of what was seen k times in n independent trials,
// 0 ≤ k ≤ n: Clopper and Pearson's exact two-sided interval ("The use of confidence or fiducial limits
// illustrated in the case of the binomial", Biometrika 26, 1934). Of units of a guest, which depend on
// their neighbours, it is somewhat too narrow. Without any trial it is 0 to 1.
func BinomialInterval(k, n int, confidence float64) (low, high float64) {
	tail := (1 - confidence) / 2
	low, high = 0, 1
	if k > 0 {
		low = distuv.Beta{Alpha: float64(k), Beta: float64(n - k + 1)}.Quantile(tail)
	}
	if k < n {
		high = distuv.Beta{Alpha: float64(k + 1), Beta: float64(n - k)}.Quantile(1 - tail)
	}
	return low, high
}

// PoissonBound is the mean that a Poisson process stays under with the given confidence, of which k events were
// seen: the exact one-sided bound (Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28, 1936).
func PoissonBound(k int, confidence float64) float64 {
	return distuv.Gamma{Alpha: float64(k + 1), Beta: 1}.Quantile(confidence)
}
