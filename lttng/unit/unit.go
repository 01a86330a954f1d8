package unit

import (
	"math"
	"strings"
	"time"
)

// Width is the length of a whole unit.
const Width = 2 * time.Second

const width = int64(Width)

// lastSlot is beyond any grid number of a unit: later times do not fit 64 bits.
const lastSlot = math.MaxInt64/width - 1

// Unit is what happened in one interval.
type Unit struct {
	Start    int64    // nanoseconds from the clock's origin
	Duration int64    // nanoseconds; Width unless the observation began or ended within
	Lost     uint64   // upper bound of the events missing; 0 only if nothing is missing
	Counts   []uint64 // hits, by index into the Cutter's Features
	// LostIn are the columns that Lost is about, in ascending order; none: it may be any.
	LostIn []Columns
}

// Columns are some of a unit's columns, those from From up to To, which is not one of them.
type Columns struct{ From, To int }

// Full tells whether the unit was observed from its begin to its end.
func (u Unit) Full() bool { return u.Duration == width }

// FeatureName returns the name that a unit's column has for an event: without the
// provider for QEMU's own trace points, otherwise as it is.
func FeatureName(event string) string {
	return strings.TrimPrefix(event, "qemu:")
}

// slot returns the number of the grid interval that holds time t.
func slot(t int64) int64 {
	n := t / width
	if t%width < 0 {
		n--
	}
	return n
}
