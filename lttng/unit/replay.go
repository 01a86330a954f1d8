package unit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// Counts is the feature set of one column for every event that occurs. Unlike the catalogue's set of that name it leaves none out.
const Counts = "counts"

// ErrFeatureSet says that there is no feature set of that name.
var ErrFeatureSet = errors.New("unknown feature set")

// Replay cuts all traces at or below dir into units and writes them as a unit file.
// The observation begins with the earliest packet and ends with the latest one, over
// all data streams of all traces. The columns of the set "counts" are in alphabetical
// order.
func Replay(dir string, w io.Writer, set string) error {
	f, err := Cut(dir, set)
	if err != nil {
		return err
	}
	return Write(w, f)
}

// Cut is Replay that returns what is to be written.
func Cut(dir string, set string) (File, error) {
	c := NewCutter(nil)
	if set != Counts {
		s, err := catalogue.Load(set)
		if err != nil {
			return File{}, fmt.Errorf("replay %s: %w: %w", dir, ErrFeatureSet, err)
		}
		c = NewSetCutter(s)
	}
	units, err := c.whole(dir)
	if err != nil {
		return File{}, fmt.Errorf("replay %s: %w", dir, err)
	}
	f := File{Features: c.Features(), Units: units}
	if set == Counts {
		f = sorted(f)
	}
	return f, nil
}

// whole reads complete traces, of which nothing was read before.
func (c *Cutter) whole(dir string) ([]Unit, error) {
	traces, err := c.openAll(dir)
	if err != nil {
		return nil, err
	}
	if len(traces) == 0 {
		return nil, errNoTrace
	}
	begin, seen := int64(math.MaxInt64), false
	for _, t := range traces {
		if b, ok := t.Span(); ok {
			begin, seen = min(begin, b), true
		}
	}
	if !seen {
		return nil, nil // no packet in any trace
	}
	c.Begin(begin)
	for _, t := range traces {
		if err := t.Mapped(func() error { return c.count(t) }); err != nil {
			return nil, err
		}
	}
	end, _ := c.LastTime()
	if c.late > 0 {
		return nil, fmt.Errorf("%d events are older than their stream's first packet", c.late)
	}
	return c.End(end), nil
}

var errNoTrace = errors.New("no CTF trace at or below this directory")

// sorted orders the columns by name.
func sorted(f File) File {
	order := make([]int, len(f.Features))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(f.Features[a], f.Features[b]) })
	out := File{Features: make([]string, len(order)), Units: make([]Unit, len(f.Units))}
	for to, from := range order {
		out.Features[to] = f.Features[from]
	}
	for i, u := range f.Units {
		counts := make([]uint64, len(order))
		for to, from := range order {
			counts[to] = u.Counts[from]
		}
		u.Counts = counts
		out.Units[i] = u
	}
	return out
}
