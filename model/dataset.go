package model

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// Limits on what is learnt from and stored.
const (
	maxFeatures     = 2048 // the widest shipped set has 602, all sources of the kernel together as many again; learning and the file grow with the square of those that have hits
	maxFeatureBytes = 256
)

// Width is the duration of a unit unless [Options] says otherwise.
const Width = 2 * time.Second

// Row is one unit of observation.
type Row struct {
	Start  int64     // nanoseconds of the trace's clock
	Values []float64 // hits of each feature, in the order of Dataset.Features
}

// Dataset is a set of units over the same features. For training, units are
// full ones without losses, in strictly increasing order of Start; gaps between
// them are allowed.
type Dataset struct {
	Features []string
	Rows     []Row
}

// check says whether d has the shape that training needs.
func (d Dataset) check() error {
	if err := checkFeatures(d.Features); err != nil {
		return fmt.Errorf("%w: %w", ErrDataset, err)
	}
	for i, r := range d.Rows {
		if i > 0 && r.Start <= d.Rows[i-1].Start {
			return fmt.Errorf("%w: unit %d does not start after unit %d", ErrDataset, i, i-1)
		}
		if len(r.Values) != len(d.Features) {
			return fmt.Errorf("%w: unit %d has %d values for %d features", ErrDataset, i, len(r.Values), len(d.Features))
		}
		if j := notCount(r.Values); j >= 0 {
			return fmt.Errorf("%w: unit %d, feature %q: %v is no count", ErrDataset, i, d.Features[j], r.Values[j])
		}
	}
	return nil
}

// checkFeatures says whether names can be a profile's features.
func checkFeatures(names []string) error {
	if len(names) == 0 {
		return errors.New("no features")
	}
	if len(names) > maxFeatures {
		return &TooManyFeaturesError{Have: len(names), Most: maxFeatures}
	}
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		if name == "" || len(name) > maxFeatureBytes || !utf8.ValidString(name) {
			return fmt.Errorf("feature %d has no usable name", i)
		}
		if seen[name] {
			return fmt.Errorf("feature %q occurs twice", name)
		}
		seen[name] = true
	}
	return nil
}

// notCount returns the index of the first value that is no count (negative,
// infinite or NaN), or -1.
func notCount(values []float64) int {
	for i, v := range values {
		if !(v >= 0 && v <= math.MaxFloat64) {
			return i
		}
	}
	return -1
}

// Mapping carries counts from one order of features to another.
type Mapping struct {
	// Extra are the source's features that the target does not have. Their
	// counts are lost in Apply.
	Extra []string
	// Missing are the target's features that the source does not have. Apply
	// gives them 0.
	Missing []string
	index   []int // for each target feature its place in the source, or -1
}

// Align returns the mapping from features in the order of from (a unit's) to
// that of to (a profile's). Of a name that occurs twice in from, the last counts.
func Align(from, to []string) Mapping {
	place := make(map[string]int, len(from))
	for i, name := range from {
		place[name] = i
	}
	m := Mapping{index: make([]int, len(to))}
	wanted := make(map[string]bool, len(to))
	for j, name := range to {
		wanted[name] = true
		i, ok := place[name]
		if !ok {
			i = -1
			m.Missing = append(m.Missing, name)
		}
		m.index[j] = i
	}
	for _, name := range from {
		if !wanted[name] {
			m.Extra = append(m.Extra, name)
		}
	}
	return m
}

// Apply writes counts, in the source's order, into dst in the target's order,
// and returns it; dst grows where it is too short. Counts beyond the end of
// counts are 0: a source that has since discovered more features still fits
// units that it cut before.
func (m Mapping) Apply(dst []float64, counts []uint64) []float64 {
	dst = dst[:0]
	for _, i := range m.index {
		v := 0.0
		if i >= 0 && i < len(counts) {
			v = float64(counts[i])
		}
		dst = append(dst, v)
	}
	return dst
}
