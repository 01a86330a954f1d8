package model

import "fmt"

// CurvePoint is the share of false positives after learning from so many units.
type CurvePoint struct {
	Units int `json:"units"` // learnt from
	// FalsePositiveRate is after learning from the first ones. It and the other rates are nil where there are
	// not so many units.
	FalsePositiveRate *float64 `json:"false_positive_rate"`
	// Blocks of as many units in a row were learnt from, one after the other, the
	// first of them included; what follows is over these.
	Blocks int      `json:"blocks"`
	Mean   *float64 `json:"mean"`
	Least  *float64 `json:"least"`
	Most   *float64 `json:"most"`
}

// curveBlocks is the most blocks of one size that are learnt from.
const curveBlocks = 5

// LearningCurve learns from as many units of train as each of sizes says, at least 10, and gives the share of
// false positives among all units of normal (the paper's Fig. 3). Beside the first units it learns from
// up to five blocks of that size that do not overlap, evenly spread, for the
// spread between them tells what chance does. MethodPaper searches its parameters once, on all
// of train, as the paper did. Errors are those of [Evaluate].
func LearningCurve(engine Engine, method Method, train, normal []Recording, sizes []int, o EvalOptions) ([]CurvePoint, error) {
	for _, size := range sizes {
		if size < minUnits {
			return nil, fmt.Errorf("learning curve: %d units are too few, at least %d", size, minUnits)
		}
	}
	o.Train.MinUnits = minUnits
	features := allFeatures(train, normal)
	learnt, err := newPupil(engine, method, features, train, o)
	if err != nil {
		return nil, err
	}
	samples, err := lay(features, normal)
	if err != nil {
		return nil, fmt.Errorf("normal units: %w", err)
	}
	points := make([]CurvePoint, len(sizes))
	for i, size := range sizes {
		if points[i], err = learnt.point(size, samples, o.Decider); err != nil {
			return nil, fmt.Errorf("learning curve at %d units: %w", size, err)
		}
	}
	return points, nil
}

// point learns from the blocks of one size.
func (p *pupil) point(size int, normal []sample, c DeciderConfig) (CurvePoint, error) {
	rows := p.data.Rows
	point := CurvePoint{Units: size, Blocks: min(curveBlocks, len(rows)/size)}
	mean, least, most := 0.0, 1.0, 0.0
	for i := range point.Blocks {
		from := 0
		if i > 0 {
			from = i * (len(rows) - size) / (point.Blocks - 1)
		}
		judge, err := p.learn(Dataset{Features: p.data.Features, Rows: rows[from : from+size]})
		if err != nil {
			return point, err
		}
		judged, err := judgeSamples(judge, c, normal)
		if err != nil {
			return point, err
		}
		rate := ratio(float64(judged.flagged), float64(len(judged.scores)))
		if i == 0 {
			point.FalsePositiveRate = &rate
		}
		mean, least, most = mean+rate/float64(point.Blocks), min(least, rate), max(most, rate)
	}
	if point.Blocks > 0 {
		point.Mean, point.Least, point.Most = &mean, &least, &most
	}
	return point, nil
}
