package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/selection"
)

// comparedSet says what another feature set tells and costs, on the same units.
type comparedSet struct {
	Set     string          `json:"set"`
	Version string          `json:"version"`
	Events  int             `json:"events"` // that it enables
	Silent  []string        `json:"silent"` // those of them that are never hit, or not counted in the unit files
	Columns int             `json:"columns"`
	Missing []string        `json:"missing"` // columns that the unit files do not have, and so tell nothing
	Score   selection.Score `json:"score"`
	Cost    selection.Cost  `json:"cost"`
}

// compare looks at other sets: traces are cut by them, and in unit files their columns are looked for. The count of an event is known from the
// columns that it is divided into, too.
func (l *labelled) compare(ctx context.Context, sets []string, reference string, scale selection.Scale) ([]comparedSet, error) {
	var list []comparedSet
	for _, name := range sets {
		set, err := catalogue.Load(name)
		if err != nil {
			return nil, fmt.Errorf("--compare: %w", err)
		}
		r := comparedSet{Set: name, Version: set.Version(), Events: len(set.Events()), Columns: len(set.Names()), Silent: []string{}, Missing: []string{}}
		var classes []selection.Class
		for _, c := range l.classes {
			class := selection.Class{Name: c.name}
			for _, s := range c.sources {
				if ctx.Err() != nil {
					return nil, errInterrupted
				}
				f, missing, err := s.recut(l.set, set, name)
				if err != nil {
					return nil, err
				}
				class.Units = append(class.Units, pick(f, set.Names())...)
				r.Missing = append(r.Missing, missing...)
			}
			classes = append(classes, class)
		}
		slices.Sort(r.Missing)
		r.Missing = slices.Compact(r.Missing)
		problem, err := selection.New(set.Names(), classes, reference, scale)
		if err != nil {
			return nil, fmt.Errorf("--compare %s: %w", name, err)
		}
		all := make([]int, len(set.Names()))
		for i := range all {
			all[i] = i
		}
		r.Score = problem.Score(all)
		rates := l.rates(set.Events())
		r.Cost = rates.Cost(set.Events())
		for _, e := range set.Events() {
			if rates.Cost([]string{e}).HitsPerSecond == 0 {
				r.Silent = append(r.Silent, e)
			}
		}
		list = append(list, r)
	}
	return list, nil
}

// recut returns the units as another set cuts them, and which of its columns are not known.
func (s *labelledSource) recut(cut, set *catalogue.Set, name string) (f unit.File, missing []string, err error) {
	if s.trace {
		if name == unit.Counts {
			return s.hits, nil, nil
		}
		f, err = unit.Cut(s.path, name)
		return f, nil, err
	}
	f = unit.File{Features: set.Names(), Units: slices.Clone(s.Units)}
	for i := range f.Units {
		f.Units[i].Counts = make([]uint64, len(f.Features))
	}
	plain := map[string]bool{} // columns that are the count of an event of the same name
	for _, e := range set.Entries() {
		if e.WhereField == "" && e.Roles == nil && e.ValueField == "" && e.Buckets == nil {
			plain[f.Features[e.Base]] = f.Features[e.Base] == e.Event
		}
	}
	for j, column := range f.Features {
		at := slices.Index(s.Features, column)
		known := at >= 0
		var hits []float64
		if !known && plain[column] {
			hits, known = countedHits(cut, s.File, column), countsAll(cut, s.Features, column)
		}
		if !known {
			missing = append(missing, column)
		}
		for i, u := range s.Units {
			switch {
			case at >= 0:
				f.Units[i].Counts[j] = u.Counts[at]
			case hits != nil:
				f.Units[i].Counts[j] = uint64(hits[i])
			}
		}
	}
	return f, missing, nil
}
