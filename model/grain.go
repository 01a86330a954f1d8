package model

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// octaves groups features for a coarser look: buckets of one octave become one column, what is no bucket stays
// one by itself. It is nil where that would change nothing. A bucket is known by its name, as a feature set's columns are
// called: "virtqueue_fill:net.rx:len=88-95" begins at 88, in the octave from 64; "len<32" and "len>=65536"
// are octaves of their own. A packet's size in eighths of an octave tells a scan from everything else, but divides
// what belongs together (the acknowledgements of one transfer) among a dozen columns, each of which says little.
func octaves(features []string) [][]int {
	var groups [][]int
	place := map[string]int{}
	for j, name := range features {
		key, ok := octaveOf(name)
		if !ok {
			groups = append(groups, []int{j})
			continue
		}
		at, seen := place[key]
		if !seen {
			at = len(groups)
			place[key] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], j)
	}
	if len(groups) == len(features) {
		return nil
	}
	return groups
}

// grouped are the features of a profile with their octaves.
type grouped struct {
	features []string
	groups   [][]int
	group    []int32 // of each feature
}

// lastGrouped are those of the newest profile: a host's profiles mostly have the same, and hold them only once so.
var lastGrouped atomic.Pointer[grouped]

// share works out the groups of the profile's features, or takes over those of another profile with the same features, and these themselves.
func (p *Profile) share() {
	last := lastGrouped.Load()
	if last == nil || !slices.Equal(last.features, p.Features) {
		last = &grouped{features: p.Features, groups: octaves(p.Features), group: make([]int32, len(p.Features))}
		for g, members := range last.groups {
			for _, j := range members {
				last.group[j] = int32(g)
			}
		}
		lastGrouped.Store(last)
	}
	p.Features, p.groups, p.group = last.features, last.groups, last.group
}

// octaveOf is what all buckets of a feature in one octave have in common.
func octaveOf(name string) (key string, ok bool) {
	at := strings.LastIndexAny(name, "<=")
	if at < 0 {
		return "", false
	}
	if strings.HasSuffix(name[:at], ">") || name[at] == '<' {
		return name, true
	}
	first, _, _ := strings.Cut(name[at+1:], "-")
	low, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return "", false
	}
	return name[:at] + " " + strconv.Itoa(bits.Len64(low)), true
}

// gather writes the sums of groups of values into dst and returns it; of nil groups, values themselves.
func gather(dst []float64, groups [][]int, values []float64) []float64 {
	if groups == nil {
		return values
	}
	dst = dst[:0]
	for _, g := range groups {
		sum := 0.0
		for _, j := range g {
			sum += values[j]
		}
		dst = append(dst, sum)
	}
	return dst
}
