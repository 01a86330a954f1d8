package cost

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// Run is one combination of sources that a guest is to be observed by while it is busy with a workload.
type Run struct {
	Workload string
	Sources  []string
	HeldOut  bool
}

// maxFactors bounds the sources of a design, of which there are twice as many combinations for each more.
const maxFactors = 16

// Factors are what a design is made of.
type Factors struct {
	Sources   []string
	Workloads []string // some combinations with each are fitted to, others are held out
	Apart     []string // workloads with which all is held out
	Fit, Held int      // how many combinations each workload has at most, beside the sources alone
	// Exclude says that two sources are never in use together; nil: none is.
	Exclude func(a, b string) bool
}

// Design chooses combinations of sources for each workload: each source alone, more combinations to fit to, and others to hold out. Those to fit to are of one
// half of the two-level factorial design, that of odd numbers of sources, and those that are held out of the other half (a half-fraction: Box, Hunter, Hunter,
// Statistics for Experimenters, 2005, chapter 6), so that none of these is ever fitted to, with any workload. Of both, each workload has others as far as there are
// enough. A workload that is set apart has as many combinations held out, and as many sources alone.
func Design(f Factors) ([]Run, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("design: %w", err)
	}
	var alone, odd, even []uint
	for set := uint(1); set < 1<<len(f.Sources); set++ {
		switch n := bits.OnesCount(set); {
		case !f.fit(set):
		case n == 1:
			alone = append(alone, set)
		case n%2 == 1:
			odd = append(odd, set)
		default:
			even = append(even, set)
		}
	}
	if len(even) == 0 {
		return nil, fmt.Errorf("design: of %v no two can be in use together: there is nothing to hold out", f.Sources)
	}
	spreadOut(odd)
	spreadOut(even)
	var runs []Run
	add := func(workload string, held bool, sets []uint) {
		for _, set := range sets {
			runs = append(runs, Run{Workload: workload, Sources: members(f.Sources, set), HeldOut: held})
		}
	}
	for i, w := range f.Workloads {
		add(w, false, alone)
		add(w, false, window(odd, i*f.Fit, f.Fit))
		add(w, true, window(even, i*f.Held, f.Held))
	}
	for i, w := range f.Apart {
		add(w, true, window(alone, i*f.Held, f.Held))
		add(w, true, window(even, (len(f.Workloads)+i)*f.Held, f.Held))
	}
	return runs, nil
}

func (f *Factors) check() error {
	if err := checkNames("source", f.Sources); err != nil {
		return err
	}
	if err := checkNames("workload", slices.Concat(f.Workloads, f.Apart)); err != nil {
		return err
	}
	switch {
	case len(f.Sources) < 2 || len(f.Sources) > maxFactors:
		return fmt.Errorf("%d sources, want 2 to %d", len(f.Sources), maxFactors)
	case len(f.Workloads) == 0:
		return errors.New("no workload to fit to")
	case f.Fit < 0 || f.Held < 1:
		return fmt.Errorf("%d combinations to fit to and %d to hold out, want 0 and 1 at least", f.Fit, f.Held)
	}
	return nil
}

// fit says whether all sources of a combination can be in use together.
func (f *Factors) fit(set uint) bool {
	list := members(f.Sources, set)
	for i, a := range list {
		for _, b := range list[:i] {
			if f.Exclude != nil && f.Exclude(a, b) {
				return false
			}
		}
	}
	return true
}

// spreadOut orders combinations so that those next to each other have little in common: by their bits read from the other end.
func spreadOut(sets []uint) {
	slices.SortFunc(sets, func(a, b uint) int {
		x, y := bits.Reverse(a), bits.Reverse(b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// window is n of a list from an index on, round and round, each once.
func window(list []uint, from, n int) []uint {
	var part []uint
	for i := range min(n, len(list)) {
		part = append(part, list[(from+i)%len(list)])
	}
	return part
}

func members(sources []string, set uint) []string {
	var list []string
	for i, s := range sources {
		if set&(1<<i) != 0 {
			list = append(list, s)
		}
	}
	return list
}
