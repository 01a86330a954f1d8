package model

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Calibration says which scores are ordinary for a guest, from scores of normal
// units that the scoring machine was not trained on.
//
// Two estimates of how rare a score is are drawn from it. PValue is the
// conformal p-value (1 + #{held-out scores ≤ s}) / (n + 1): with exchangeable
// units it is valid whatever the distribution, but it cannot fall under 1/(n+1),
// and its end is one single unit. Tail continues it below the lowest
// k = √n held-out scores (at least 5 where there are as many) with an
// exponential tail: its scale is the median excess of those scores over ln 2, so
// that one odd unit (a nightly job in the training span) neither sets the
// threshold nor hides an attack behind it. A short calibration pays for its
// shortness: the tail is that of a scale known from k/2 observations,
//
//	Tail(s) = (k+1)/(n+1) · (1 + x/(k'β))^(-k'),  x = distance below the k-th score, k' = k/2.
//
// The scale is at least half the score that a single hit of what never was in
// training costs, so that a guest whose every unit was the same does not
// alarm at the first stray hit.
//
// Load of a guest is correlated over minutes, so a few minutes' calibration
// does not know the hours to come: neither estimate can promise a rate of false
// alarms that the calibration has not seen. A [Decider] on top asks for several
// units.
//
// Of the scores of a long training not all are kept, but the lowest, on which the tail rests, and of the others so many that a p-value is at most
// 1/64 of itself too high.
type Calibration struct {
	Units  int       `json:"units"`  // that were held out
	Scores []float64 `json:"scores"` // those that are kept, ascending: of the ranks that keptRanks gives

	ranks []int32 // of Scores, from 1

	knee, scale, weight, shape float64
}

// leastTail is the least value of Tail.
const leastTail = 1e-300

// newCalibration prepares the estimates from scores, which it sorts in place;
// stray is what a single hit of what never was costs in score.
func newCalibration(scores []float64, stray float64) Calibration {
	slices.Sort(scores)
	c := Calibration{Units: len(scores), ranks: keptRanks(len(scores))}
	for _, rank := range c.ranks {
		c.Scores = append(c.Scores, scores[rank-1])
	}
	c.prepare(stray)
	return c
}

// finest is the share of its rank, at most, by which one score that is kept is above the one below it.
const finest = 64

// keptRanks are those of n scores in ascending order that are kept: each of the lowest, 1 to 2 finest, and the highest one.
func keptRanks(n int) []int32 {
	var ranks []int32
	for rank := 1; rank < n; rank += max(1, rank/finest) {
		ranks = append(ranks, int32(rank))
	}
	return append(ranks, int32(n))
}

// prepare works out what follows from Units and Scores.
func (c *Calibration) prepare(stray float64) {
	n := c.Units
	k := min(max(5, int(math.Sqrt(float64(n)))), n)
	c.knee = c.ranked(k)
	c.scale = max((c.knee-c.ranked((k-1)/2+1))/math.Ln2, stray/2)
	c.weight = float64(k+1) / float64(n+1)
	c.shape = float64(k) / 2
}

// ranked is the score of a rank, or of the next one that is kept.
func (c *Calibration) ranked(rank int) float64 {
	at, _ := slices.BinarySearch(c.ranks, int32(rank))
	return c.Scores[at]
}

// check verifies a calibration that came from outside, and prepares it.
func (c *Calibration) check(stray float64) error {
	if c.Units < 1 || c.Units > maxCalibrated {
		return fmt.Errorf("calibrated on %d units", c.Units)
	}
	c.ranks = keptRanks(c.Units)
	if len(c.Scores) != len(c.ranks) || notFinite(c.Scores) >= 0 || !slices.IsSorted(c.Scores) {
		return fmt.Errorf("%d calibration scores of %d units, not finite, ascending, and as many as are kept", len(c.Scores), c.Units)
	}
	c.prepare(stray)
	return nil
}

// maxCalibrated is more than the units of 20 years.
const maxCalibrated = 1 << 28

// PValue is the conformal p-value of a score, in [1/(n+1), 1].
func (c *Calibration) PValue(score float64) float64 {
	// The first place of a greater score: n places from at on are open, and which half of them it is takes no branch, as none could be foreseen. Of those scores
	// that are not kept right below it, all may be as low as score.
	at, n := 0, len(c.Scores)
	for n > 0 {
		half := (n + 1) / 2
		n -= half
		if c.Scores[at+half-1] <= score {
			at += half
		}
	}
	lower := c.Units
	if at < len(c.ranks) {
		lower = int(c.ranks[at]) - 1
	}
	return float64(1+lower) / float64(c.Units+1)
}

// Tail is the estimated probability that a normal unit scores as low as score:
// PValue, continued below the lowest scores. It is never 0, so that its logarithm
// may be taken.
func (c *Calibration) Tail(score float64) float64 {
	if score >= c.knee {
		return c.PValue(score)
	}
	return max(c.weight*math.Pow(1+(c.knee-score)/(c.shape*c.scale), -c.shape), leastTail)
}

// heldOut returns a score for each of rows, sums of so many units, from a machine that was trained on no unit
// within guard of those of the row's block.
//
// Of single units a block is a stretch of time, the longer the better: that a load was never seen is what
// its scores are to tell. Of windows of several units it is the same part of each of the pieces that the training has. A peak load that an
// operator marked as normal besides (the paper's 5.2) would, held out as a whole, be so far from all other windows that
// nothing weak could stand out any more.
func heldOut(engine Engine, rows []Row, units int, o Options) ([]float64, error) {
	scores := make([]float64, 0, len(rows))
	guard := int64(o.Guard+units-1) * int64(Width)
	cut := [][]Row{rows}
	if units > 1 {
		cut = pieces(rows)
	}
	for f := range o.Folds {
		var block []Row
		var train []Row
		for _, piece := range cut {
			part := piece[f*len(piece)/o.Folds : (f+1)*len(piece)/o.Folds]
			block = append(block, part...)
			for _, r := range piece {
				if len(part) == 0 || r.Start < part[0].Start-guard || r.Start > part[len(part)-1].Start+guard {
					train = append(train, r)
				}
			}
		}
		if len(train) < 2 {
			return nil, fmt.Errorf("hold out block %d of %d: %w", f+1, o.Folds, &TooFewError{Have: len(train), Need: 2})
		}
		scaling, machine, err := fit(engine, train, units, o)
		if err != nil {
			return nil, fmt.Errorf("hold out block %d of %d: %w", f+1, o.Folds, err)
		}
		view := View{Scaling: scaling, Machine: machine}
		z := make([]float64, view.room())
		for _, r := range block {
			scores = append(scores, math.Round(view.score(z, r.Values)*scoreDigits)/scoreDigits)
		}
	}
	return scores, nil
}

const (
	// apiece is the time between units of two pieces of a training.
	apiece = 10 * time.Minute
	// leastPiece is the least number of units in a piece.
	leastPiece = 50
)

// pieces divides rows where time passed between them, as between what was learnt first and what was marked as normal later.
// What is too short to be one by itself belongs to the piece before it.
func pieces(rows []Row) [][]Row {
	var cut [][]Row
	first := 0
	for i := 1; i <= len(rows); i++ {
		if i < len(rows) && rows[i].Start-rows[i-1].Start < int64(apiece) {
			continue
		}
		if i-first < leastPiece && len(cut) > 0 {
			cut[len(cut)-1] = rows[first-len(cut[len(cut)-1]) : i]
		} else {
			cut = append(cut, rows[first:i])
		}
		first = i
	}
	return cut
}

// To what part of a scale unit support vectors are told, and scores: more digits say nothing, and would take most of a
// profile's room.
const (
	vectorDigits = 100
	scoreDigits  = 1e4
)

// fit scales rows, sums of so many units, and fits the machine around them, or around a sample ([draw]) where there are more than an engine is to be given.
//
// At least nu of the rows that a machine is solved on become its support vectors. Where these are more than it may keep, it
// is solved again on a smaller sample, until they are not: so what is kept is the certified solution of a problem, and not what was left of one.
func fit(engine Engine, rows []Row, units int, o Options) (scaling Scaling, machine Machine, err error) {
	chosen := valuesAt(rows, draw(rows, units, o.MaxRows, o.seldom))
	scaling = fitScaling(chosen, units)
	if most := int(float64(o.MaxVectors) / o.Nu); len(chosen) > most {
		chosen = valuesAt(rows, draw(rows, units, most, o.seldom))
	}
	for {
		scaled := scaling.applyAll(chosen)
		for _, row := range scaled {
			for j, v := range row {
				row[j] = math.Round(v*vectorDigits) / vectorDigits
			}
		}
		gamma := o.Gamma
		if gamma == 0 {
			gamma = defaultGamma(scaled)
		}
		machine, err = Solve(engine, scaled, o.Nu, gamma)
		if err != nil || len(machine.Alpha) <= o.MaxVectors {
			return scaling, machine, err
		}
		fewer := min(len(chosen)*o.MaxVectors/len(machine.Alpha), len(chosen)-1)
		chosen = valuesAt(rows, draw(rows, units, fewer, o.seldom))
	}
}

// valuesAt are those of the rows at places.
func valuesAt(rows []Row, places []int) [][]float64 {
	values := make([][]float64, len(places))
	for i, at := range places {
		values[i] = rows[at].Values
	}
	return values
}
