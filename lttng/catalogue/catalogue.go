// Package catalogue says what virtsentry makes of the trace points of QEMU: which are enabled, which numbers a unit has, to which
// subsystem each belongs and what it means in plain words.
//
// A feature [Set] is declared in a file (sets/*.toml), see README.md there. Four are part of the programme: "counts", the hits of some
// twenty trace points, for which the functions of this package stand; "paper", the five trace points of Table 1 of Paundu et al. (ICICS
// 2015); "default", few trace points with their arguments; and "wide", which adds families to choose from.
package catalogue

// Version names the set "counts"; a profile that was learnt with another one is not comparable.
const Version = "counts/1"

// Provider is the name of QEMU's own trace point provider.
const Provider = "qemu"

// Feature is one counted trace point.
type Feature struct {
	Event     string // name without its provider, as in QEMU's trace-events files
	Subsystem string // network, disk, virtio, memory
	Words     string // what one hit is, in the plural
}

// counts is the embedded set of that name.
var counts = mustLoad(CountsSet)

// mustLoad returns an embedded set; the tests load them all.
func mustLoad(name string) *Set {
	s, err := Load(name)
	if err != nil {
		panic(err)
	}
	return s
}

// Features returns the set "counts" in its fixed order. The caller owns the slice.
func Features() []Feature {
	features := make([]Feature, len(counts.entries))
	for i, c := range counts.columns {
		features[i] = Feature{counts.entries[i].Event, c.Subsystem, c.Words}
	}
	return features
}

// Events returns the names of the catalogue's events without their provider, in the same order: one column of a unit each.
func Events() []string { return counts.Names() }

// TracePoints returns the events' full names, as LTTng wants them.
func TracePoints() []string {
	names := Events()
	for i, n := range names {
		names[i] = Provider + ":" + n
	}
	return names
}

// Describe returns an event's subsystem and plain words; for an event that the catalogue does not have, "other" and the event's name.
func Describe(event string) (subsystem, words string) { return counts.Describe(event) }
