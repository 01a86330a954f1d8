package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/selection"
)

// labelled is what was read: units with labels, and the set that knows their columns.
type labelled struct {
	set     *catalogue.Set
	classes []*labelledClass
}

type labelledClass struct {
	name    string
	sources []*labelledSource
}

// labelledSource is a unit file, or a trace.
type labelledSource struct {
	path  string
	trace bool
	unit.File
	hits unit.File // of a trace: the hits of every event in the same units
}

// readLabelled reads NAME=FILE arguments. Traces are cut by the named set; where none is named, by the one that knows the columns of the unit files, and by the
// default one where there are none.
func readLabelled(ctx context.Context, args []string, set string) (*labelled, error) {
	data := &labelled{}
	for _, arg := range args {
		if err := data.add(arg); err != nil {
			return nil, err
		}
	}
	if len(data.classes) == 0 {
		return nil, errors.New("no class is given: give the reference and one more with --class NAME=FILE")
	}
	var columns []string
	for s := range data.sources() {
		if !s.trace {
			columns = append(columns, s.Features...)
		}
	}
	if set == "" {
		set = knowing(columns)
	}
	var err error
	if data.set, err = catalogue.Load(set); err != nil {
		return nil, fmt.Errorf("--features: %w", err)
	}
	for s := range data.sources() {
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		if !s.trace {
			continue
		}
		if s.hits, err = unit.Cut(s.path, unit.Counts); err != nil {
			return nil, err
		}
		s.File = s.hits
		if set != unit.Counts {
			if s.File, err = unit.Cut(s.path, set); err != nil {
				return nil, err
			}
		}
	}
	return data, nil
}

// add reads one argument; a trace is only looked for.
func (l *labelled) add(arg string) error {
	name, path, ok := strings.Cut(arg, "=")
	if !ok || name == "" || path == "" {
		return fmt.Errorf("--class %q: want NAME=FILE", arg)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	s := &labelledSource{path: path, trace: info.IsDir()}
	if !s.trace {
		if s.File, err = unit.ReadFile(path); err != nil {
			return err
		}
	}
	at := slices.IndexFunc(l.classes, func(c *labelledClass) bool { return c.name == name })
	if at < 0 {
		at = len(l.classes)
		l.classes = append(l.classes, &labelledClass{name: name})
	}
	l.classes[at].sources = append(l.classes[at].sources, s)
	return nil
}

// sources visits all files and traces.
func (l *labelled) sources() func(func(*labelledSource) bool) {
	return func(yield func(*labelledSource) bool) {
		for _, c := range l.classes {
			for _, s := range c.sources {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// knowing returns the shipped set that knows most of the columns, the first of several.
func knowing(columns []string) string {
	best, most := shippedSets[0], 0
	for _, name := range shippedSets {
		set, err := catalogue.Load(name)
		if err != nil {
			continue // not possible: they are part of the programme
		}
		names, known := set.Names(), 0
		for _, c := range columns {
			if slices.Contains(names, c) {
				known++
			}
		}
		if known > most {
			best, most = name, known
		}
	}
	return best
}

// usable tells whether a unit is compared: it is whole, and its counts are not lower bounds.
func usable(u unit.Unit) bool { return u.Full() && u.Lost == 0 }

func (c *labelledClass) report() classReport {
	r := classReport{Name: c.name}
	for _, s := range c.sources {
		r.Files = append(r.Files, s.path)
		for _, u := range s.Units {
			if usable(u) {
				r.Units++
			} else {
				r.LeftOut++
			}
		}
	}
	return r
}

// rows returns the units' counts in the given columns. A column that a file lacks is 0.
func (l *labelled) rows(columns []string) []selection.Class {
	var list []selection.Class
	for _, c := range l.classes {
		class := selection.Class{Name: c.name}
		for _, s := range c.sources {
			class.Units = append(class.Units, pick(s.File, columns)...)
		}
		list = append(list, class)
	}
	return list
}

// pick returns the usable units' counts in the given columns.
func pick(f unit.File, columns []string) [][]float64 {
	place := make(map[string]int, len(f.Features))
	for i, name := range f.Features {
		place[name] = i
	}
	var rows [][]float64
	for _, u := range f.Units {
		if !usable(u) {
			continue
		}
		row := make([]float64, len(columns))
		for j, name := range columns {
			if i, ok := place[name]; ok {
				row[j] = float64(u.Counts[i])
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// rates returns the hits a second of events: as a trace has them, or as the columns of a unit file tell.
func (l *labelled) rates(events []string) selection.Rates {
	rates := selection.Rates{}
	for _, c := range l.classes {
		hits, seconds := map[string]float64{}, 0.0
		for _, s := range c.sources {
			counts := s.eventHits(l.set, events)
			for i, u := range s.Units {
				if !usable(u) {
					continue
				}
				seconds += float64(u.Duration) / 1e9
				for e, n := range counts {
					hits[e] += n[i]
				}
			}
		}
		for e := range hits {
			hits[e] /= max(seconds, 1)
		}
		rates[c.name] = hits
	}
	return rates
}

// eventHits returns the hits of events in each unit, as far as they are known.
func (s *labelledSource) eventHits(cut *catalogue.Set, events []string) map[string][]float64 {
	all := map[string][]float64{}
	for _, e := range events {
		switch {
		case s.trace:
			if at := slices.Index(s.hits.Features, e); at >= 0 {
				all[e] = column(s.hits, at)
			}
		default:
			all[e] = countedHits(cut, s.File, e)
		}
	}
	return all
}

func column(f unit.File, at int) []float64 {
	list := make([]float64, len(f.Units))
	for i, u := range f.Units {
		list[i] = float64(u.Counts[at])
	}
	return list
}

// atLeast returns those of events whose hits a unit file does not count, or not all.
func (l *labelled) atLeast(events []string) []string {
	list := []string{}
	for _, e := range events {
		for s := range l.sources() {
			if !s.trace && !countsAll(l.set, s.Features, e) {
				list = append(list, e)
				break
			}
		}
	}
	return list
}
