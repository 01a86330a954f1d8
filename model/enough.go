package model

import (
	"errors"
	"fmt"
	"math"
)

// MostNews is the share of units yet unseen that may be unusual where there are enough units to learn from: the most
// false positives, by unit, that a profile is to have.
const MostNews = 0.01

// Convergence says whether units of a guest are enough to learn it from, by its learning curve (the paper's Fig. 3): the later part
// of them is judged by what the earlier part, two thirds, teaches. As long as much of what comes is news, so is what comes
// after.
type Convergence struct {
	Learnt  int `json:"learnt"`  // units of the earlier part
	Judged  int `json:"judged"`  // units of the later part
	Unusual int `json:"unusual"` // of those, by themselves
	// FarOut is why nothing was learnt: too many units stand far out; nil: something was.
	FarOut *FarOutError `json:"-"`
}

// Enough says whether at most MostNews of the later units are unusual; a single one always may be.
func (c Convergence) Enough() bool {
	return c.FarOut == nil && float64(c.Unusual) <= math.Max(1, MostNews*float64(c.Judged))
}

// String says what was found.
func (c Convergence) String() string {
	if c.FarOut != nil {
		return fmt.Sprintf("%d of %d units stand far out from the rest", c.FarOut.Units, c.FarOut.Of)
	}
	return fmt.Sprintf("of the last %d units, %d would have been unusual after learning from the first %d", c.Judged, c.Unusual, c.Learnt)
}

// Converge judges the later third of units by what is learnt from the others, feature by feature, one unit at a time: about a fifth of the
// work of [Train], which takes the same d and options. Units that stand far out are left out first, as options.Trim has it. Errors are those
// of Train, but for a *[FarOutError], which is an outcome.
func Converge(engine Engine, d Dataset, options Options) (Convergence, error) {
	o, err := check(engine, d, options)
	if err != nil {
		return Convergence{}, err
	}
	trimmed, seldom, err := trim(engine, d.Rows, o)
	var far *FarOutError
	switch {
	case errors.As(err, &far):
		return Convergence{FarOut: far}, nil
	case err != nil:
		return Convergence{}, fmt.Errorf("train: %w", err)
	}
	rows := Training{Trimmed: trimmed}.Learnt(d.Rows)
	o.seldom = seldom
	earlier := len(rows) * 2 / 3
	c := Convergence{Learnt: earlier}
	view, err := newView(engine, rows[:earlier], 1, nil, nil, o)
	if err != nil {
		return Convergence{}, fmt.Errorf("train: %w", err)
	}
	z := make([]float64, view.room())
	for _, r := range rows[min(earlier+o.Guard, len(rows)):] {
		c.Judged++
		if view.Calibration.Tail(view.score(z, r.Values)) <= o.Level {
			c.Unusual++
		}
	}
	return c, nil
}
