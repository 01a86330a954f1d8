package actions

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// others stands for all features beyond the first mostTallies, and those whose names are not plain: who is observed has a say in what there is.
const others = "others"

// mostName bounds the name of a feature, in bytes.
const mostName = 256

// plain says whether a feature's name may be shown, and stand in a unit file, as it is.
func plain(feature string) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '"' }
	return feature != "" && len(feature) <= mostName && !strings.ContainsFunc(feature, odd)
}

// mostLine bounds the units of an action.
const mostLine = int(Longest/unit.Width) + 16

// mostEvents bounds the events that an action keeps one by one; older ones go.
const mostEvents = 4096

// tallies are what an action has counted. The zero value is ready.
type tallies struct {
	line       []control.ActionUnit // in the order of time
	total      map[string]uint64
	words      map[string]string
	verdicts   map[int64]verdict // by place on the grid
	hits, lost uint64
	events     int // in all of line
}

// verdict is what was thought of the domain in a unit.
type verdict struct {
	state         string
	judged        bool
	score, pvalue float64
}

// add takes in a unit. Units of several sources at one place become one.
func (t *tallies) add(u Unit, describe func(string) string) {
	if t.total == nil {
		t.total, t.words = map[string]uint64{}, map[string]string{}
	}
	at, found := slices.BinarySearchFunc(t.line, place(u.Start), func(a control.ActionUnit, p int64) int { return cmp.Compare(place(a.Start.UnixNano()), p) })
	if !found {
		if len(t.line) >= mostLine {
			return
		}
		t.line = slices.Insert(t.line, at, control.ActionUnit{Start: time.Unix(0, u.Start).UTC(), Counts: map[string]uint64{}})
	}
	l := &t.line[at]
	if start := time.Unix(0, u.Start).UTC(); start.Before(l.Start) {
		l.Start = start
	}
	l.Duration = max(l.Duration, time.Duration(u.Duration).Seconds())
	l.Lost += u.Lost
	t.lost += u.Lost
	l.Events = append(l.Events, u.Events...)
	t.events += len(u.Events)
	for i := 0; t.events > mostEvents; i++ {
		old := min(len(t.line[i].Events), t.events-mostEvents)
		t.line[i].Events = slices.Clone(t.line[i].Events[old:])
		t.events -= old
	}
	for _, feature := range slices.Sorted(maps.Keys(u.Counts)) {
		n := u.Counts[feature]
		if n == 0 {
			continue
		}
		if _, known := t.total[feature]; !known {
			if len(t.total) >= mostTallies || !plain(feature) {
				feature = others
				t.words[feature] = "all that there was no room for"
			}
		}
		if feature != others {
			t.words[feature] = describe(feature)
		}
		t.total[feature] += n
		l.Counts[feature] += n
		l.Hits += n
		t.hits += n
	}
}

// judge notes a verdict of the domain.
func (t *tallies) judge(u control.UnitReport) {
	if t.verdicts == nil {
		t.verdicts = map[int64]verdict{}
	}
	if len(t.verdicts) < mostLine {
		t.verdicts[place(u.Start.UnixNano())] = verdict{u.State, u.Judged, u.Score, u.PValue}
	}
}

func (t *tallies) tally(feature string, n uint64) control.Tally {
	return control.Tally{Feature: feature, Words: t.words[feature], Hits: n}
}

// totals are all features, most hits first.
func (t *tallies) totals() []control.Tally { return t.sorted(t.total) }

func (t *tallies) sorted(counts map[string]uint64) []control.Tally {
	list := make([]control.Tally, 0, len(counts))
	for feature, n := range counts {
		list = append(list, t.tally(feature, n))
	}
	slices.SortFunc(list, func(a, b control.Tally) int {
		return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Feature, b.Feature))
	})
	return list
}

// at is a unit with what was thought of the domain then.
func (t *tallies) at(l control.ActionUnit) control.ActionUnit {
	if v, ok := t.verdicts[place(l.Start.UnixNano())]; ok {
		l.State, l.Judged, l.Score, l.PValue = v.state, v.judged, v.score, v.pvalue
	}
	return l
}

// brief are the units with what was hit most.
func (t *tallies) brief() []control.ActionUnit {
	list := make([]control.ActionUnit, 0, len(t.line))
	for _, l := range t.line {
		l = t.at(l)
		top := t.sorted(l.Counts)
		for i := range top {
			top[i].Words = "" // the totals have them
		}
		l.Top, l.Counts, l.Events = top[:min(len(top), topTallies)], nil, nil
		list = append(list, l)
	}
	return list
}

// full are the units with all counts.
func (t *tallies) full() []control.ActionUnit {
	list := make([]control.ActionUnit, 0, len(t.line))
	for _, l := range t.line {
		l = t.at(l)
		l.Counts, l.Events = maps.Clone(l.Counts), slices.Clone(l.Events)
		list = append(list, l)
	}
	return list
}
