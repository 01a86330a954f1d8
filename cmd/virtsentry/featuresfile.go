package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// setFile is a set file as package catalogue reads it.
type setFile struct {
	Name     string       `toml:"name"`
	Version  int          `toml:"version"`
	About    string       `toml:"about"`
	Identity []string     `toml:"identity,omitempty"`
	Features []setFeature `toml:"feature"`
	Pairs    *setPairs    `toml:"pairs,omitempty"`
}

type setFeature struct {
	Event     string      `toml:"event"`
	Name      string      `toml:"name,omitempty"`
	Subsystem string      `toml:"subsystem"`
	Words     string      `toml:"words"`
	Queues    []string    `toml:"queues,omitempty"`
	Where     *setWhere   `toml:"where,omitempty"`
	Buckets   *setBuckets `toml:"buckets,omitempty"`
	Gap       *setBuckets `toml:"gap,omitempty"`
	Values    *setValues  `toml:"values,omitempty"`
}

type setWhere struct {
	Field string   `toml:"field"`
	Is    []string `toml:"is,omitempty"`
	Not   []string `toml:"not,omitempty"`
}

type setBuckets struct {
	Field     string `toml:"field,omitempty"`
	Unit      string `toml:"unit,omitempty"`
	PerOctave uint64 `toml:"per_octave"`
	Min       uint64 `toml:"min"`
	Max       uint64 `toml:"max"`
}

type setValues struct {
	Field  string     `toml:"field"`
	Others string     `toml:"others"`
	List   []setValue `toml:"list"`
}

type setValue struct {
	Prefix string `toml:"prefix"`
	Words  string `toml:"words"`
}

type setPairs struct {
	Subsystem string   `toml:"subsystem"`
	Events    []string `toml:"events"`
}

// setFile returns a set file with what was chosen. Its columns have the names and the meaning that they have in the set chosen from.
func (c *candidates) setFile(chosen []int, name, about string) ([]byte, error) {
	f := setFile{Name: name, Version: 1, About: about}
	columns := c.set.Columns()
	entries := c.set.Entries()
	var wanted []int
	var want []catalogue.Column
	queues := false
	for _, i := range chosen {
		for _, j := range c.features[i].Columns {
			wanted = append(wanted, c.entriesOf(c.features[i], c.columns[j])...)
		}
	}
	slices.Sort(wanted)
	for _, i := range slices.Compact(wanted) {
		e := &entries[i]
		queues = queues || e.Roles != nil
		f.Features = append(f.Features, entryFeatures(columns, e)...)
		want = append(want, columns[e.Base:e.Column(max(len(e.Roles), 1), 0, 0)]...)
	}
	for _, i := range chosen {
		if event := c.features[i].Name; slices.Contains(c.extra, event) {
			subsystem, words := c.set.Describe(event)
			f.Features = append(f.Features, setFeature{Event: event, Subsystem: subsystem, Words: words})
			want = append(want, catalogue.Column{Name: event, Group: event, Subsystem: subsystem, Words: words})
		}
	}
	if p := c.set.Pairs(); p != nil && slices.ContainsFunc(chosen, func(i int) bool { return c.hasPairs(i) }) {
		f.Pairs = &setPairs{columns[p.Base].Subsystem, p.Events}
		want = append(want, columns[p.Base:]...)
	}
	if queues {
		f.Identity = c.tellers(chosen)
	}
	text, err := f.encode()
	if err != nil {
		return nil, err
	}
	// What was written is read again: an operator's set must mean what the report says.
	written, err := catalogue.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("write feature set: %w", err)
	}
	if got := written.Columns(); !slices.Equal(got, want) {
		return nil, fmt.Errorf("write feature set: it would have other columns than %s (%d instead of %d): choose from another set", c.set.Version(), len(got), len(want))
	}
	return text, nil
}

// hasPairs tells whether a feature is pairs, or one of them.
func (c *candidates) hasPairs(feature int) bool {
	at, ok := c.index[c.columns[c.features[feature].Columns[0]]]
	return ok && c.entryAt(at) < 0
}

func (f *setFile) encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Written by virtsentry features select. lttng/catalogue/sets/README.md says what it means.\n")
	encoder := toml.NewEncoder(&b)
	encoder.Indent = ""
	if err := encoder.Encode(f); err != nil {
		return nil, fmt.Errorf("write feature set: %w", err)
	}
	return b.Bytes(), nil
}

// entryFeatures returns an entry's features, one for each role: the words of a compiled set have the role's put in.
func entryFeatures(columns []catalogue.Column, e *catalogue.Entry) []setFeature {
	var list []setFeature
	for role := range max(len(e.Roles), 1) {
		first := columns[e.Column(role, 0, 0)]
		f := setFeature{Event: e.Event, Subsystem: first.Subsystem}
		if name, _, _ := strings.Cut(first.Group, ":"); name != e.Event {
			f.Name = name
		}
		if e.Roles != nil {
			f.Queues = []string{e.Roles[role].String()}
		}
		if e.WhereField != "" {
			f.Where = &setWhere{Field: e.WhereField, Is: e.Where}
			if e.WhereNot {
				f.Where.Is, f.Where.Not = nil, e.Where
			}
		}
		if b := e.Buckets; b != nil {
			spec := &setBuckets{Field: e.BucketField, Unit: b.Unit, PerOctave: b.PerOctave, Min: b.Min, Max: b.Max}
			if e.Gap {
				spec.Field = ""
				f.Gap = spec
			} else {
				f.Buckets = spec
			}
		}
		f.setWords(columns, e, role)
		list = append(list, f)
	}
	return list
}

// setWords finds the words from which those of the columns come.
func (f *setFeature) setWords(columns []catalogue.Column, e *catalogue.Entry, role int) {
	if e.ValueField == "" {
		before, after := ranged(columns, e, role, 0)
		f.Words = before + after
		if e.Buckets != nil {
			f.Words = before + "{range}" + after
		}
		return
	}
	f.Values = &setValues{Field: e.ValueField}
	n := len(e.Values) + 1
	befores, afters := make([]string, n), make([]string, n)
	for v := range n {
		befores[v], afters[v] = ranged(columns, e, role, v)
	}
	words := befores
	switch {
	case e.Buckets == nil:
		f.Words = "{value}"
	case len(slices.Compact(slices.Clone(afters))) == 1 && befores[0] != "":
		f.Words = "{value}{range}" + afters[0]
	default:
		f.Words, words = befores[0]+"{range}{value}", afters
	}
	for v, prefix := range e.Values {
		f.Values.List = append(f.Values.List, setValue{prefix, words[v]})
	}
	f.Values.Others = words[n-1]
}

// ranged returns the words of an entry's columns before and after the range. Without buckets all is before.
func ranged(columns []catalogue.Column, e *catalogue.Entry, role, value int) (before, after string) {
	first := columns[e.Column(role, value, 0)].Words
	if e.Buckets == nil {
		return first, ""
	}
	return around(first, columns[e.Column(role, value, e.Buckets.Count()-1)].Words)
}

// around returns what the words of the first bucket ("less than ...") and of the last one ("... and more") have in common: what is before and after the
// range, since these neither begin nor end with the same letter.
func around(first, last string) (before, after string) {
	head := 0
	for head < min(len(first), len(last)) && first[head] == last[head] {
		head++
	}
	tail := 0
	for tail < min(len(first), len(last))-head && first[len(first)-1-tail] == last[len(last)-1-tail] {
		tail++
	}
	return first[:head], first[len(first)-tail:]
}
