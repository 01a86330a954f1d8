package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/model/selection"
)

// pairsFeature is the name of all pairs together: which hits follow one another depends on all events that are counted.
const pairsFeature = "pairs"

// candidates are what can be chosen.
type candidates struct {
	set      *catalogue.Set
	columns  []string // of the units; those of the set come first
	features []selection.Feature
	unknown  []string // columns of the units that cannot be chosen
	extra    []string // events that the set does not have
	counts   *catalogue.Set
	index    map[string]int // of the set's columns
}

// newCandidates returns what can be chosen from data: each column, or each event with all its columns.
func newCandidates(data *labelled, byColumn, anyEvent bool) *candidates {
	c := &candidates{set: data.set, unknown: []string{}}
	c.counts, _ = catalogue.Load(catalogue.CountsSet) // it is part of the programme
	known := c.set.Names()
	c.index = make(map[string]int, len(known))
	for i, name := range known {
		c.index[name] = i
	}
	present := map[string]bool{}
	var others []string
	for s := range data.sources() {
		for _, name := range s.Features {
			if _, ok := c.index[name]; !ok && !present[name] {
				others = append(others, name)
			}
			present[name] = true
		}
	}
	for _, name := range known {
		if present[name] {
			c.columns = append(c.columns, name)
		}
	}
	slices.Sort(others)
	for _, name := range others {
		if anyEvent && c.isEvent(name) {
			c.extra = append(c.extra, name)
			c.columns = append(c.columns, name)
		} else {
			c.unknown = append(c.unknown, name)
		}
	}
	c.addFeatures(byColumn)
	return c
}

// isEvent tells whether a column that the set does not have can be the count of an event of that name.
func (c *candidates) isEvent(name string) bool {
	_, err := catalogue.Parse([]byte("name = \"x\"\nversion = 1\n[[feature]]\nevent = " + strconv.Quote(name) + "\nsubsystem = \"other\"\nwords = \"hits\"\n"))
	return err == nil && !slices.Contains(c.set.Events(), name)
}

// tellsQueues tells whether an event can be enabled only to tell whose a queue is.
func tellsQueues(event string) bool {
	_, err := catalogue.Parse([]byte("name = \"x\"\nversion = 1\nbase = \"paper\"\nidentity = [" + strconv.Quote(event) + "]\n"))
	return err == nil
}

func (c *candidates) addFeatures(byColumn bool) {
	var tell []string
	for _, e := range c.set.Events() {
		if tellsQueues(e) {
			tell = append(tell, e)
		}
	}
	place := map[string]int{}
	for j, name := range c.columns {
		f := c.feature(name, byColumn)
		for _, e := range c.entriesOf(f, name) {
			if c.set.Entries()[e].Roles != nil {
				f.Needs = without(tell, f.Events)
			}
		}
		at, ok := place[f.Name]
		if !ok {
			at = len(c.features)
			place[f.Name] = at
			c.features = append(c.features, f)
		}
		c.features[at].Columns = append(c.features[at].Columns, j)
		if c.features[at].Needs == nil {
			c.features[at].Needs = f.Needs
		}
	}
}

// feature returns the feature that a column belongs to, without columns.
func (c *candidates) feature(column string, byColumn bool) selection.Feature {
	f := selection.Feature{Name: column, Events: []string{column}}
	switch at, ok := c.index[column]; {
	case !ok: // the count of an event that the set does not have
	case c.entryAt(at) < 0:
		f.Events = c.set.Pairs().Events
		if !byColumn {
			f.Name = pairsFeature
		}
	default:
		f.Events = []string{c.set.Entries()[c.entryAt(at)].Event}
		if !byColumn {
			f.Name = f.Events[0]
		}
	}
	return f
}

// entryAt returns the index of the entry with a column of the set, -1 for a pair.
func (c *candidates) entryAt(column int) int { return entryAt(c.set, column) }

func entryAt(set *catalogue.Set, column int) int {
	if p := set.Pairs(); p != nil && column >= p.Base {
		return -1
	}
	at := -1
	for i := range set.Entries() {
		if set.Entries()[i].Base <= column {
			at = i
		}
	}
	return at
}

// entriesOf returns the indices of the entries that a feature with this column must have in a set file: the column's own, or all of its event.
// What the role "rest" is depends on the event's other entries, so that they come with it.
func (c *candidates) entriesOf(f selection.Feature, column string) []int {
	at, ok := c.index[column]
	if !ok || c.entryAt(at) < 0 {
		return nil
	}
	own := c.entryAt(at)
	entries := c.set.Entries()
	whole := f.Name != column || slices.Contains(entries[own].Roles, catalogue.Rest)
	var list []int
	for i, e := range entries {
		if i == own || whole && e.Event == entries[own].Event && (f.Name != column || e.Roles != nil) {
			list = append(list, i)
		}
	}
	return list
}

// tellers returns the events that are enabled for chosen features and of which nothing is counted.
func (c *candidates) tellers(chosen []int) []string {
	var counted, needed []string
	for _, i := range chosen {
		counted = append(counted, c.features[i].Events...)
		needed = append(needed, c.features[i].Needs...)
	}
	slices.Sort(needed)
	return without(slices.Compact(needed), counted)
}

// without returns those of list that are not in others; never nil.
func without(list, others []string) []string {
	return slices.DeleteFunc(append([]string{}, list...), func(s string) bool { return slices.Contains(others, s) })
}

// events returns all that may be enabled.
func (c *candidates) events() []string { return append(c.set.Events(), c.extra...) }

// describe adds what a feature means.
func (c *candidates) describe(v selection.Value) selectedReport {
	at := slices.IndexFunc(c.features, func(f selection.Feature) bool { return f.Name == v.Name })
	f := c.features[at]
	r := selectedReport{Value: v, Events: f.Events}
	first := c.columns[f.Columns[0]]
	r.Subsystem, r.Meaning = c.set.Describe(first)
	switch {
	case v.Name == first && len(f.Columns) == 1:
	case v.Name == pairsFeature:
		r.Meaning = fmt.Sprintf("pairs of %d events that follow one another", len(f.Events))
	case slices.Contains(c.counts.Names(), v.Name):
		r.Subsystem, r.Meaning = c.counts.Describe(v.Name)
	default:
		r.Meaning += ", and others"
	}
	if v.Columns > 1 {
		r.Meaning = fmt.Sprintf("%s; %d columns", r.Meaning, v.Columns)
	}
	return r
}
