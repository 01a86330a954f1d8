package model

import "strings"

// kernelParts are the sources of what the host's kernel sees of a guest: their features' names begin with them.
var kernelParts = []string{"tap", "functions", "syscalls", "kvm"}

// otherPart is that of all other features: QEMU's own trace points.
const otherPart = "ust"

// partOf is the source that a feature comes from.
func partOf(feature string) string {
	prefix, _, _ := strings.Cut(feature, ":")
	for _, part := range kernelParts {
		if prefix == part {
			return part
		}
	}
	return otherPart
}

// parts are the sources that features come from, in the order in which they appear; nil where it is one alone. Each is looked at by
// itself, too: what moves with everything that a guest does, such as its interrupts, would hide what little a slow attack does to its packets.
func parts(features []string) []string {
	var list []string
	seen := map[string]bool{}
	for _, f := range features {
		if part := partOf(f); !seen[part] {
			seen[part] = true
			list = append(list, part)
		}
	}
	if len(list) < 2 {
		return nil
	}
	return list
}

// within says of each feature, or of each group of features, whether it is of a part. Buckets of one feature are of one source.
func within(features []string, groups [][]int, part string) []bool {
	if groups == nil {
		in := make([]bool, len(features))
		for j, f := range features {
			in[j] = partOf(f) == part
		}
		return in
	}
	in := make([]bool, len(groups))
	for g, members := range groups {
		in[g] = partOf(features[members[0]]) == part
	}
	return in
}

// loses says whether one of the lossy columns is of a part.
func (p *Profile) loses(part string, lossy []Columns) bool {
	for _, c := range lossy {
		for _, f := range p.Features[c.From:c.To] {
			if partOf(f) == part {
				return true
			}
		}
	}
	return false
}
