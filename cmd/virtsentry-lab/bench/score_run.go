package bench

import (
	"context"
	"fmt"
	"runtime"

	"github.com/virtsentry/virtsentry/model"
)

// ScoreRun is one measurement of what judging a unit costs.
type ScoreRun struct {
	Engine model.Engine
	Units  string // directory of recorded units: testdata/units
	Day    int    // units of the simulated day; 0: a day
	Judged int    // units in each round
	Rounds int
	// Report hears of what is being measured.
	Report func(what string)
}

// Measure learns a simulated day and recordings, and judges usual units, units of an attack, and units far from all that was learnt by each profile, in
// turns.
func (r ScoreRun) Measure(ctx context.Context) (s Scoring, err error) {
	setDay(&r.Day)
	engine := &watched{Engine: r.Engine, ctx: ctx}
	list, err := readRecorded(r.Units)
	if err != nil {
		return s, err
	}
	type scored struct {
		profile *model.Profile
		kinds   [][]model.Row
	}
	learnt := []recordedData{{name: "a simulated day", data: day(r.Day, 1)}}
	var all []scored
	for _, d := range append(learnt, list.profiles...) {
		r.Report("learning " + d.name)
		p, err := model.TrainTrimmed(engine, d.data, model.Options{})
		if err != nil {
			return s, fmt.Errorf("%s: %w", d.name, err)
		}
		size, err := profileSize(d.name, p)
		if err != nil {
			return s, err
		}
		usual := d.data.Rows[:min(r.Judged, len(d.data.Rows))]
		if len(all) == 0 {
			usual = day(min(r.Judged, r.Day), 2).Rows // another day of the same guest
		}
		all = append(all, scored{p, [][]model.Row{usual, changed(usual, attacked), changed(usual, distant)}})
		s.Profiles = append(s.Profiles, ScoredProfile{Profile: size, Kinds: []ScoredKind{{Kind: "usual"}, {Kind: "as in an attack"}, {Kind: "a hundred times as much"}}})
	}
	for round := range r.Rounds {
		r.Report(fmt.Sprintf("judging, round %d of %d", round+1, r.Rounds))
		for i, p := range all {
			for j, rows := range p.kinds {
				if err := s.Profiles[i].Kinds[j].judge(ctx, p.profile, rows, r.Judged); err != nil {
					return s, err
				}
			}
		}
	}
	return s, nil
}

// judge judges rows again and again, until they are so many, and takes the time.
func (k *ScoredKind) judge(ctx context.Context, p *model.Profile, rows []model.Row, units int) error {
	sequence, start := p.Sequence(0), int64(0)
	unusual := 0
	judge := func(n int) error {
		for i := range n {
			if i%1000 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			start += int64(model.Width)
			v, err := sequence.Judge(start, rows[i%len(rows)].Values, nil)
			if err != nil {
				return err
			}
			if v.Anomalous {
				unusual++
			}
		}
		return nil
	}
	if err := judge(100); err != nil { // what is kept from unit to unit has its size then
		return err
	}
	unusual = 0
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	seconds, err := ownCPU(func() error { return judge(units) })
	if err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	k.Units, k.Unusual = units, float64(unusual)/float64(units)
	k.Seconds = append(k.Seconds, seconds/float64(units))
	k.Allocations = max(k.Allocations, float64(after.Mallocs-before.Mallocs)/float64(units))
	return nil
}

// changed are copies of rows in which counts are changed.
func changed(rows []model.Row, change func(column int, count float64) float64) []model.Row {
	list := make([]model.Row, len(rows))
	for i, r := range rows {
		list[i] = model.Row{Start: r.Start, Values: make([]float64, len(r.Values))}
		for j, count := range r.Values {
			list[i].Values[j] = change(j, count)
		}
	}
	return list
}

// attacked adds packets of one size, as a flood does.
func attacked(column int, count float64) float64 {
	if column == 0 {
		return count + 3000
	}
	return count
}

// distant is a hundred times as much of everything.
func distant(_ int, count float64) float64 { return 100 * count }
