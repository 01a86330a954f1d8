package model

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// PaperParameters are what the paper's grid search chose.
type PaperParameters struct {
	Nu    float64
	Gamma float64
	// FalsePositiveRate is the mean share of held-out normal units outside of the machine.
	FalsePositiveRate float64
}

// The paper's search (its 4.1): both parameters from 0.01 to 0.1 in steps of 0.01, over
// five random subsets of its normal units, of which it had 500.
const (
	paperSteps   = 10
	paperSubsets = 5
	paperUnits   = 500
	paperSeed    = 2015
)

// SearchPaper chooses ν and γ as the paper did (its 4.1), for its one-class machine over
// raw counts: of the grid 0.01, 0.02 ... 0.10 for both, the pair with the least
// share of false positives among normal units. The paper does not say what
// was judged by what. Here the units are split at random, always in the same way,
// into five subsets; each is judged by a machine learnt from the other four, and the rates
// are averaged. Of equal pairs that with the least ν counts, then that with the least
// γ, so that (0.01, 0.01), the paper's own result, is what remains if all are equal. Of more
// than 500 units, the paper's number, an even choice is searched on. A pair that the
// engine cannot solve is passed over.
//
// Units outside of the machine, with a decision value below 0, are anomalous: the
// paper used no other threshold.
//
// It fails with a *[TooFewError], with [ErrDataset], or with the engine's error where it solved
// no pair at all. Options.MinUnits counts, the others do not.
func SearchPaper(engine Engine, d Dataset, o Options) (PaperParameters, error) {
	rows, err := paperRows(d, o)
	if err != nil {
		return PaperParameters{}, err
	}
	rows = thin(rows, paperUnits)
	order := rand.New(rand.NewPCG(paperSeed, 0)).Perm(len(rows))
	var best PaperParameters
	var failed error
	for i := range paperSteps {
		for j := range paperSteps {
			nu, gamma := float64(i+1)/100, float64(j+1)/100
			rate, err := paperRate(engine, rows, order, nu, gamma)
			if err != nil {
				if failed == nil {
					failed = err
				}
				continue
			}
			if best.Nu == 0 || rate < best.FalsePositiveRate {
				best = PaperParameters{Nu: nu, Gamma: gamma, FalsePositiveRate: rate}
			}
		}
	}
	if best.Nu == 0 {
		return best, fmt.Errorf("search nu and gamma: %w", failed)
	}
	return best, nil
}

// paperRows returns the counts to learn from.
func paperRows(d Dataset, o Options) ([][]float64, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if need := max(o.MinUnits, minUnits); len(d.Rows) < need {
		return nil, &TooFewError{Have: len(d.Rows), Need: need}
	}
	rows := make([][]float64, len(d.Rows))
	for i, r := range d.Rows {
		rows[i] = r.Values
	}
	return rows, nil
}

// paperRate is the mean share of false positives over the subsets.
func paperRate(engine Engine, rows [][]float64, order []int, nu, gamma float64) (float64, error) {
	mean := 0.0
	for f := range paperSubsets {
		from, to := f*len(order)/paperSubsets, (f+1)*len(order)/paperSubsets
		train := make([][]float64, 0, len(order)-(to-from))
		for at, i := range order {
			if at < from || at >= to {
				train = append(train, rows[i])
			}
		}
		machine, err := newMachine(engine, train, nu, gamma)
		if err != nil {
			return 0, err
		}
		outside := 0
		for _, i := range order[from:to] {
			if machine.score(rows[i]) < 0 {
				outside++
			}
		}
		mean += float64(outside) / float64(to-from) / paperSubsets
	}
	return mean, nil
}

// fitPaper learns a machine over raw counts, of at most o.MaxRows units.
func fitPaper(engine Engine, d Dataset, chosen PaperParameters, o Options) (unitJudge, error) {
	rows, err := paperRows(d, o)
	if err != nil {
		return nil, err
	}
	machine, err := newMachine(engine, thin(rows, o.MaxRows), chosen.Nu, chosen.Gamma)
	if err != nil {
		return nil, err
	}
	return &paperJudge{machine}, nil
}

// paperJudge is the machine with its own threshold.
type paperJudge struct{ machine Machine }

func (*paperJudge) forget() {} // it judges every unit by itself

func (j *paperJudge) judge(row Row, _ bool) (Verdict, error) {
	score := j.machine.score(row.Values) // its sign is the decision value's
	return Verdict{Decision: j.machine.Rho * math.Expm1(score), Score: score, Anomalous: score < 0, evidence: score}, nil
}
