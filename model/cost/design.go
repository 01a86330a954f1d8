package cost

import (
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

// Design chooses combinations of sources for each workload: each source alone, more combinations to fit to, and others to hold out. Those to fit to are of one
// half of the two-level factorial design, that of odd numbers of sources, and those that are held out of the other half (a half-fraction: Box, Hunter, Hunter,
// Statistics for Experimenters, 2005, chapter 6), so that none of these is ever fitted to, with any workload. Of both, each workload has others as far as there are
// enough. fit and held are how many each workload has at most, beside the sources alone.
func Design(sources, workloads []string, fit, held int) ([]Run, error) {
	if err := checkNames("source", sources); err != nil {
		return nil, fmt.Errorf("design: %w", err)
	}
	if err := checkNames("workload", workloads); err != nil {
		return nil, fmt.Errorf("design: %w", err)
	}
	switch {
	case len(sources) < 2 || len(sources) > maxFactors:
		return nil, fmt.Errorf("design: %d sources, want 2 to %d", len(sources), maxFactors)
	case len(workloads) == 0:
		return nil, fmt.Errorf("design: no workload")
	case fit < 0 || held < 1:
		return nil, fmt.Errorf("design: %d combinations to fit to and %d to hold out, want 0 and 1 at least", fit, held)
	}
	var odd, even []uint
	for set := uint(1); set < 1<<len(sources); set++ {
		switch n := bits.OnesCount(set); {
		case n == 1:
		case n%2 == 1:
			odd = append(odd, set)
		default:
			even = append(even, set)
		}
	}
	spreadOut(odd)
	spreadOut(even)
	var runs []Run
	for i, w := range workloads {
		for s := range sources {
			runs = append(runs, Run{Workload: w, Sources: []string{sources[s]}})
		}
		for _, set := range window(odd, i*fit, fit) {
			runs = append(runs, Run{Workload: w, Sources: members(sources, set)})
		}
		for _, set := range window(even, i*held, held) {
			runs = append(runs, Run{Workload: w, Sources: members(sources, set), HeldOut: true})
		}
	}
	return runs, nil
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
