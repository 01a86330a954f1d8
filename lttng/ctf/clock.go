package ctf

import (
	"errors"
	"math"
	"math/bits"
)

const nsPerSecond = 1_000_000_000

var errOffset = errors.New("offset beyond the range of 64-bit nanoseconds")

// settle computes the offset in nanoseconds.
func (c *Clock) settle() error {
	if c.OffsetSeconds > math.MaxInt64/nsPerSecond || c.OffsetSeconds < math.MinInt64/nsPerSecond {
		return errOffset
	}
	cycles := c.OffsetCycles
	if c.OffsetNeg {
		cycles = -cycles
	}
	ns, ok := c.scale(cycles)
	if !ok {
		return errOffset
	}
	if c.OffsetNeg {
		ns = -ns
	}
	c.offsetNS = c.OffsetSeconds*nsPerSecond + ns
	if (ns > 0) != (c.offsetNS > c.OffsetSeconds*nsPerSecond) && ns != 0 {
		return errOffset
	}
	return nil
}

// scale turns cycles into nanoseconds, rounded down.
func (c *Clock) scale(cycles uint64) (int64, bool) {
	if c.Frequency != nsPerSecond {
		hi, lo := bits.Mul64(cycles, nsPerSecond)
		if hi >= c.Frequency {
			return math.MaxInt64, false
		}
		cycles, _ = bits.Div64(hi, lo, c.Frequency)
	}
	if cycles > math.MaxInt64 {
		return math.MaxInt64, false
	}
	return int64(cycles), true
}

// NS returns the nanoseconds from the origin (the Unix epoch, where the offset says
// so) at which the clock shows cycles. What 64 bits cannot hold becomes the largest
// value: such a time stamp is a defect, and far from any plausible one.
func (c *Clock) NS(cycles uint64) int64 {
	ns, _ := c.scale(cycles)
	if c.offsetNS > 0 && ns > math.MaxInt64-c.offsetNS {
		return math.MaxInt64
	}
	return ns + c.offsetNS
}
