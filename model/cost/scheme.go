package cost

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is read and fitted.
const (
	maxName         = 128  // bytes of a name
	maxText         = 1000 // bytes of a description
	maxTerms        = 512
	maxNames        = 64 // sources of a term or an observation, kinds of an observation, coefficients
	maxRate         = 1e9
	maxOverhead     = 1000
	minOverhead     = -0.9
	maxObservations = 20000
)

// Rates are events a second, by kind.
type Rates map[string]float64

// Term is one part of the overhead.
type Term struct {
	// Coefficient is what is fitted: seconds for each event of Kind, or, for a fixed term, seconds a second. Terms may share one, such as a trace point's hit
	// for hits of several kinds.
	Coefficient string `json:"coefficient"`
	// Kind is the kind of events each of which costs that much; empty: the term is fixed.
	Kind string `json:"kind,omitempty"`
	// By are the sources that have this part. It counts once, however many of them are in use.
	By []string `json:"by"`
}

// Scheme are all terms that there are.
type Scheme []Term

// Errors that a caller can tell apart.
var (
	// ErrUnknownSource says that no term speaks of a source.
	ErrUnknownSource = errors.New("no such source")
	// ErrUncalibrated says that nothing was measured that would tell what a source costs.
	ErrUncalibrated = errors.New("not calibrated")
	// ErrUnknownRate says that the rate of a kind of events is neither known nor to be estimated.
	ErrUnknownRate = errors.New("rate not known")
	// ErrFormat says that a file is not what it should be.
	ErrFormat = errors.New("wrong file")
)

// checkName says whether a name can stand in a file and on a terminal.
func checkName(what, name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return fmt.Errorf("%s %.80q: want 1 to %d bytes of UTF-8", what, name, maxName)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%s %.80q has a character that cannot be printed", what, name)
		}
	}
	return nil
}

// checkText is checkName for a longer text.
func checkText(what, text string) error {
	if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%s %.80q: want at most %d bytes that can be printed", what, text, maxText)
	}
	return nil
}

// checkNames checks a list of names, each of which may be there once.
func checkNames(what string, names []string) error {
	if len(names) > maxNames {
		return fmt.Errorf("%d times a %s, want at most %d", len(names), what, maxNames)
	}
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		if err := checkName(what, n); err != nil {
			return err
		}
		if seen[n] {
			return fmt.Errorf("%s %q is named twice", what, n)
		}
		seen[n] = true
	}
	return nil
}

// check refuses rates that are no rates.
func (r Rates) check() error {
	if len(r) > maxNames {
		return fmt.Errorf("%d kinds of events, want at most %d", len(r), maxNames)
	}
	for _, kind := range slices.Sorted(maps.Keys(r)) {
		if err := checkName("kind", kind); err != nil {
			return err
		}
		if v := r[kind]; !(v >= 0 && v <= maxRate) {
			return fmt.Errorf("rate of %s: %v, want 0 to %g events a second", kind, v, maxRate)
		}
	}
	return nil
}

// check refuses terms that cannot be used.
func (s Scheme) check() error {
	if len(s) == 0 || len(s) > maxTerms {
		return fmt.Errorf("%d terms, want 1 to %d", len(s), maxTerms)
	}
	for _, t := range s {
		if err := checkName("coefficient", t.Coefficient); err != nil {
			return err
		}
		if t.Kind != "" {
			if err := checkName("kind", t.Kind); err != nil {
				return err
			}
		}
		if len(t.By) == 0 {
			return fmt.Errorf("coefficient %s: no source has it", t.Coefficient)
		}
		if err := checkNames("source", t.By); err != nil {
			return err
		}
	}
	if n := len(s.Coefficients()); n > maxNames {
		return fmt.Errorf("%d coefficients, want at most %d", n, maxNames)
	}
	return nil
}

// Coefficients returns the names of what is fitted, each once, in their order.
func (s Scheme) Coefficients() []string {
	return s.distinct(func(t Term) []string { return []string{t.Coefficient} })
}

// Sources returns the names of all sources, in their order.
func (s Scheme) Sources() []string { return s.distinct(func(t Term) []string { return t.By }) }

// Kinds returns the kinds of events that cost something where all of these sources are in use, in their order.
func (s Scheme) Kinds(with ...string) []string {
	return s.distinct(func(t Term) []string {
		if t.Kind == "" || !t.in(with) {
			return nil
		}
		return []string{t.Kind}
	})
}

func (s Scheme) distinct(of func(Term) []string) []string {
	var names []string
	for _, t := range s {
		names = append(names, of(t)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// in says whether one of the sources has the term.
func (t Term) in(sources []string) bool {
	return slices.ContainsFunc(sources, func(s string) bool { return slices.Contains(t.By, s) })
}

// known refuses sources of which no term speaks.
func (s Scheme) known(sources []string) error {
	all := s.Sources()
	for _, name := range sources {
		if !slices.Contains(all, name) {
			return fmt.Errorf("%w: %.80q (there are %v)", ErrUnknownSource, name, all)
		}
	}
	return nil
}

// row is what each coefficient counts for, in the order of coefficients, where the sources are in use: a term of several of them is there once. A kind of which
// there is no rate counts as 0.
func (s Scheme) row(coefficients []string, rates Rates, sources []string) []float64 {
	row := make([]float64, len(coefficients))
	for _, t := range s {
		if !t.in(sources) {
			continue
		}
		at, ok := slices.BinarySearch(coefficients, t.Coefficient)
		switch {
		case !ok:
		case t.Kind == "":
			row[at]++
		default:
			row[at] += rates[t.Kind]
		}
	}
	return row
}

// Slowdown is the part of its speed that a guest loses by an overhead: 0.5 where it takes twice as long.
func Slowdown(overhead float64) float64 { return overhead / (1 + overhead) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
