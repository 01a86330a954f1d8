package model

import (
	"cmp"
	"math"
	"slices"
)

// Confusion counts verdicts on units whose truth is known.
type Confusion struct {
	TruePositive, FalseNegative int // anomalous units: found, missed
	FalsePositive, TrueNegative int // normal units: alarmed at, passed
}

// Sensitivity is the share of anomalous units that were found, 0 without any.
func (c Confusion) Sensitivity() float64 {
	return ratio(float64(c.TruePositive), float64(c.TruePositive+c.FalseNegative))
}

// FalsePositiveRate is the share of normal units that were alarmed at, 0 without
// any.
func (c Confusion) FalsePositiveRate() float64 {
	return ratio(float64(c.FalsePositive), float64(c.FalsePositive+c.TrueNegative))
}

// Precision is the share of alarms that are right, as if normal and anomalous
// units were equally many, which is how the paper paired them (its 4.3):
// sensitivity / (sensitivity + false positive rate), 0 where both are 0.
func (c Confusion) Precision() float64 {
	return ratio(c.Sensitivity(), c.Sensitivity()+c.FalsePositiveRate())
}

// FMeasure is the harmonic mean of sensitivity and precision, 0 where both are 0.
func (c Confusion) FMeasure() float64 {
	s, p := c.Sensitivity(), c.Precision()
	return ratio(2*s*p, s+p)
}

// ratio is a/b, 0 for 0/0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// AUC is the area under the ROC curve of scores of which lower means more
// anomalous: the probability that an anomalous unit scores lower than a normal one,
// ties counting half (Mann and Whitney's statistic). It is NaN if either is
// empty.
func AUC(normal, anomalous []float64) float64 {
	type sample struct {
		score     float64
		anomalous bool
	}
	all := make([]sample, 0, len(normal)+len(anomalous))
	for _, s := range normal {
		all = append(all, sample{s, false})
	}
	for _, s := range anomalous {
		all = append(all, sample{s, true})
	}
	slices.SortFunc(all, func(a, b sample) int { return cmp.Compare(a.score, b.score) })
	var pairs, below float64 // below: anomalous units that score lower than what comes
	for i := 0; i < len(all); {
		var ties, tiedAnomalous float64
		at := i
		for ; i < len(all) && all[i].score == all[at].score; i++ {
			ties++
			if all[i].anomalous {
				tiedAnomalous++
			}
		}
		pairs += (ties - tiedAnomalous) * (below + tiedAnomalous/2)
		below += tiedAnomalous
		i = max(i, at+1) // a NaN equals nothing, not even itself
	}
	if len(normal) == 0 || len(anomalous) == 0 {
		return math.NaN()
	}
	return pairs / (float64(len(normal)) * float64(len(anomalous)))
}
