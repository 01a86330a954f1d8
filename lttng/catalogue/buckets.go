package catalogue

import (
	"fmt"
	"math/bits"
	"strconv"
	"time"
)

// Buckets divides unsigned integers by their logarithm: each octave from Min to Max into PerOctave parts of equal width, with one bucket
// below and one above. With 8 parts the buckets at 64 are 64 to 71, 72 to 79, 80 to 87: 60 and 80 bytes are apart.
type Buckets struct {
	Unit      string // bytes, sectors, ns, or "" for a bare number
	PerOctave uint64 // a power of two
	Min, Max  uint64 // powers of two, PerOctave <= Min < Max
}

// Count returns how many buckets there are.
func (b Buckets) Count() int {
	return 2 + int(b.PerOctave)*(bits.Len64(b.Max)-bits.Len64(b.Min))
}

// Index returns v's bucket: 0 below Min, Count()-1 from Max on.
func (b Buckets) Index(v uint64) int {
	switch {
	case v < b.Min:
		return 0
	case v >= b.Max:
		return b.Count() - 1
	}
	octave := bits.Len64(v) - 1
	part := v>>(octave-b.shift()) - b.PerOctave
	return 1 + (octave+1-bits.Len64(b.Min))*int(b.PerOctave) + int(part)
}

// shift returns the logarithm of PerOctave.
func (b Buckets) shift() int { return bits.Len64(b.PerOctave) - 1 }

// Range returns the least and the greatest value in bucket i.
func (b Buckets) Range(i int) (lo, hi uint64) {
	switch {
	case i <= 0:
		return 0, b.Min - 1
	case i >= b.Count()-1:
		return b.Max, ^uint64(0)
	}
	octave := bits.Len64(b.Min) - 1 + (i-1)/int(b.PerOctave)
	part := b.PerOctave + uint64((i-1)%int(b.PerOctave))
	lo = part << (octave - b.shift())
	return lo, lo + 1<<(octave-b.shift()) - 1
}

// Label returns bucket i's part of a column's name: "=64-71", "<32", ">=65536".
func (b Buckets) Label(i int) string {
	lo, hi := b.Range(i)
	switch {
	case i == 0:
		return fmt.Sprintf("<%d", b.Min)
	case hi == ^uint64(0):
		return fmt.Sprintf(">=%d", lo)
	case lo == hi:
		return fmt.Sprintf("=%d", lo)
	}
	return fmt.Sprintf("=%d-%d", lo, hi)
}

// Words returns bucket i's range in plain words: "64 to 71 bytes".
func (b Buckets) Words(i int) string {
	lo, hi := b.Range(i)
	if b.Unit == unitNS {
		hi++ // from one duration to the next, since a nanosecond does not show
	}
	switch {
	case i == 0:
		return "less than " + b.amount(b.Min, true)
	case i == b.Count()-1:
		return b.amount(lo, true) + " and more"
	case lo == hi:
		return b.amount(lo, true)
	}
	return b.amount(lo, false) + " to " + b.amount(hi, true)
}

// amount returns a number with its unit; a duration has it always.
func (b Buckets) amount(v uint64, unit bool) string {
	switch {
	case b.Unit == unitNS:
		return duration(v)
	case b.Unit == "" || !unit:
		return grouped(v)
	}
	return grouped(v) + " " + b.Unit
}

// duration returns nanoseconds with three significant digits.
func duration(ns uint64) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if ns >= uint64(u.size) {
			return strconv.FormatFloat(float64(ns)/float64(u.size), 'g', 3, 64) + " " + u.name
		}
	}
	return strconv.FormatUint(ns, 10) + " ns"
}

// grouped returns v with commas between thousands.
func grouped(v uint64) string {
	s := strconv.FormatUint(v, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
