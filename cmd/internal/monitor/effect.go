package monitor

import (
	"fmt"
	"math"
	"slices"

	"github.com/virtsentry/virtsentry/cmd/internal/attacks"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// What two profiles are compared on is bounded: judging a unit takes a fifth of a millisecond or more.
const (
	sampleBlock  = 120  // units in a row, so that most have those before them that a profile looks at with them
	attackUnits  = 240  // that an attack is added to
	verdictUnits = 1200 // that are judged as they are
)

// comparison judges the same units by two profiles.
type comparison struct {
	before, after *model.Profile
	alarms        float64 // a day that are accepted
}

// effect says what a new profile does better and worse: on units that the old one was learnt from, as they are and with attacks added; on those
// that were marked; and on the others that are remembered.
func (c comparison) effect(learnt, marked, remembered []model.Row) (control.Effect, error) {
	var e control.Effect
	var err error
	if e.Reference, err = c.verdicts(sample(learnt, verdictUnits)); err != nil {
		return e, err
	}
	if e.Marked, err = c.verdicts(marked); err != nil {
		return e, err
	}
	if e.Remembered, err = c.verdicts(remembered); err != nil {
		return e, err
	}
	e.Attacks, err = c.attacks(sample(learnt, attackUnits), sample(marked, attackUnits))
	return e, err
}

// attacks says which shares of attacks are found beside what the guest does otherwise.
func (c comparison) attacks(learnt, marked []model.Row) ([]control.AttackEffect, error) {
	list, err := attacks.All()
	if err != nil {
		return nil, err
	}
	usual := make([]float64, len(c.before.Features))
	for _, r := range learnt {
		for j, n := range r.Values {
			usual[j] += n
		}
	}
	effects := make([]control.AttackEffect, len(list))
	for i, a := range list {
		e := &effects[i]
		e.Name = a.Name
		var added [][]float64
		if added, e.Simulated = a.Added(c.before.Features, usual); !e.Simulated {
			continue
		}
		attacked := overlay(learnt, added)
		v, err := c.verdicts(attacked)
		if err != nil {
			return nil, err
		}
		e.Before, e.After = share(v.Before, v.Units), share(v.After, v.Units)
		found, err := anomalous(c.after, overlay(marked, added), c.alarms)
		if err != nil {
			return nil, err
		}
		e.Marked = share(found, len(marked))
	}
	return effects, nil
}

// verdicts judges units by both profiles.
func (c comparison) verdicts(rows []model.Row) (v control.Verdicts, err error) {
	v.Units = len(rows)
	if v.Before, err = anomalous(c.before, rows, c.alarms); err == nil {
		v.After, err = anomalous(c.after, rows, c.alarms)
	}
	return v, err
}

// anomalous counts the units, in the order of time, that a profile finds so.
func anomalous(p *model.Profile, rows []model.Row, alarms float64) (n int, err error) {
	s := p.Sequence(alarms)
	for _, r := range rows {
		v, err := s.Judge(r.Start, r.Values, nil)
		if err != nil {
			return 0, fmt.Errorf("compare profiles: %w", err)
		}
		if v.Anomalous {
			n++
		}
	}
	return n, nil
}

// compareFirst compares the units that a profile was learnt from with the first profile of its chain.
func compareFirst(first *model.Profile, learnt []model.Row, alarms float64) (control.First, error) {
	rows := sample(learnt, verdictUnits)
	f := control.First{Created: first.Created, Units: len(rows)}
	s := first.Sequence(alarms)
	unusual, found := 0, 0
	for _, r := range rows {
		v, err := s.Judge(r.Start, r.Values, nil)
		if err != nil {
			return f, fmt.Errorf("compare with the first profile: %w", err)
		}
		if v.PValue <= model.UnusualLevel {
			unusual++
		}
		if v.Anomalous {
			found++
		}
	}
	f.Unusual, f.Anomalous = share(unusual, len(rows)), share(found, len(rows))
	return f, nil
}

// overlay returns rows with counts added, one after the other and then anew.
func overlay(rows []model.Row, added [][]float64) []model.Row {
	out := make([]model.Row, len(rows))
	for i, r := range rows {
		out[i] = model.Row{Start: r.Start, Values: slices.Clone(r.Values)}
		for j, n := range added[i%len(added)] {
			out[i].Values[j] += n
		}
	}
	return out
}

// sample returns at most so many rows: blocks in a row, evenly spread.
func sample(rows []model.Row, limit int) []model.Row {
	if len(rows) <= limit {
		return rows
	}
	blocks := limit / sampleBlock
	var out []model.Row
	for i := range blocks {
		from := i * (len(rows) - sampleBlock) / max(1, blocks-1)
		out = append(out, rows[from:from+sampleBlock]...)
	}
	return out
}

// lostAttacks names those of which the share that is found falls by more than is accepted.
func lostAttacks(e control.Effect, accepted float64) (names []string) {
	for _, a := range e.Attacks {
		if a.Before-a.After > accepted {
			names = append(names, a.Name)
		}
	}
	return names
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return math.Round(float64(part)/float64(whole)*1e6) / 1e6
}

// rowsOf are units as the model takes them.
func rowsOf(units []unit.Unit) []model.Row {
	rows := make([]model.Row, len(units))
	for i, u := range units {
		rows[i] = model.Row{Start: u.Start, Values: rowOf(u)}
	}
	return rows
}
