package model

import (
	"fmt"
	"math"
)

// plainJudge judges single units, feature by feature, by a machine over counts or their logarithms, with a threshold from
// held-out blocks as a profile has it.
type plainJudge struct {
	scale       Scale
	machine     Machine
	calibration Calibration
	level       float64
}

// fitPlain learns from d as [Train] does, but for the scaling.
func fitPlain(engine Engine, d Dataset, scale Scale, o Options) (*plainJudge, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if len(d.Rows) < o.MinUnits {
		return nil, &TooFewError{Have: len(d.Rows), Need: o.MinUnits}
	}
	rows := make([]Row, len(d.Rows))
	for i, r := range d.Rows {
		rows[i] = Row{Start: r.Start, Values: scale.apply(r.Values)}
	}
	scores := make([]float64, 0, len(rows))
	guard := int64(o.Guard) * int64(Width)
	for f := range o.Folds {
		block := rows[f*len(rows)/o.Folds : (f+1)*len(rows)/o.Folds]
		from, to := block[0].Start-guard, block[len(block)-1].Start+guard
		var train [][]float64
		for _, r := range rows {
			if r.Start < from || r.Start > to {
				train = append(train, r.Values)
			}
		}
		m, err := plainMachine(engine, train, o)
		if err != nil {
			return nil, fmt.Errorf("hold out block %d of %d: %w", f+1, o.Folds, err)
		}
		for _, r := range block {
			scores = append(scores, m.score(r.Values))
		}
	}
	values := make([][]float64, len(rows))
	for i, r := range rows {
		values[i] = r.Values
	}
	machine, err := plainMachine(engine, values, o)
	if err != nil {
		return nil, err
	}
	stray := scale.apply([]float64{1})[0]
	return &plainJudge{
		scale: scale, machine: machine, level: o.Level,
		calibration: newCalibration(scores, machine.Gamma*stray*stray),
	}, nil
}

func plainMachine(engine Engine, rows [][]float64, o Options) (Machine, error) {
	rows = thin(rows, o.MaxRows)
	gamma := o.Gamma
	if gamma == 0 {
		gamma = defaultGamma(rows)
	}
	return newMachine(engine, rows, o.Nu, gamma)
}

// apply returns the coordinates of counts.
func (s Scale) apply(counts []float64) []float64 {
	z := make([]float64, len(counts))
	for j, x := range counts {
		z[j] = min(x, maxCount)
		if s == ScaleLog {
			z[j] = math.Log1p(z[j])
		}
	}
	return z
}

func (*plainJudge) forget() {} // it judges every unit by itself

func (j *plainJudge) judge(row Row, _ bool) (Verdict, error) {
	score := j.machine.score(j.scale.apply(row.Values))
	tail := j.calibration.Tail(score)
	return Verdict{
		Decision: j.machine.Rho * math.Expm1(score), Score: score, PValue: j.calibration.PValue(score),
		Tail: tail, Anomalous: tail <= j.level, Units: 1, evidence: score,
	}, nil
}
