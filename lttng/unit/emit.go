package unit

import (
	"errors"
	"math"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

var (
	errNoTimes   = errors.New("packet without time stamps")
	errBackwards = errors.New("packet ends before it begins")
	errOrder     = errors.New("packet was read before: its sequence number goes back")
)

// account compares a packet's counters with those of the stream's last packet.
func (c *Cutter) account(s *streamState, p *ctf.Packet) error {
	switch {
	case !p.HasBegin || !p.HasEnd:
		return errNoTimes
	case p.EndNS < p.BeginNS:
		return errBackwards
	case slot(p.EndNS)-c.next >= c.maxOpen || slot(p.EndNS) >= lastSlot:
		return ErrRange
	}
	if p.HasSeq {
		if p.Seq < s.seq+1 {
			return errOrder
		}
		if p.Seq > s.seq+1 {
			c.lose(s.end, p.BeginNS, 0)
		}
		s.seq = p.Seq
	}
	if p.HasDiscarded {
		mask := uint64(math.MaxUint64) >> (64 - p.DiscardedBits)
		switch n := (p.Discarded - s.discarded) & mask; {
		case n > mask/2:
			// The tracer reads the counter while other threads count, so under heavy loss a packet may carry an older reading than
			// the one before it. All up to the newer reading is noted already; that there was loss here is not.
			c.lose(s.end, p.EndNS, 0)
		case n > 0:
			c.lose(s.end, p.EndNS, n)
			s.discarded = p.Discarded
		}
	}
	s.end = p.EndNS
	c.lastEnd = max(c.lastEnd, p.EndNS)
	return nil
}

// Missed declares that an unknown number of events before t may never be read: all units up to then that were not returned yet are lossy. Before Begin it does
// nothing.
func (c *Cutter) Missed(t int64) {
	if c.begun && t > c.next*width {
		c.lose(c.next*width, min(t, lastSlot*width), 0)
	}
}

// lose notes that n events, or an unknown number where n is 0, may be missing from
// every unit that the time from..to touches.
func (c *Cutter) lose(from, to int64, n uint64) {
	first, last := max(slot(from), c.next), slot(max(from, to))
	if last < c.next {
		c.owed += max(n, 1)
		return
	}
	c.change(first, loss{n, 1})
	c.change(last+1, loss{-n, -1})
}

func (c *Cutter) change(slot int64, by loss) {
	l := c.losses[slot]
	l.events += by.events
	l.reasons += by.reasons
	c.losses[slot] = l
}

// Advance declares that every event before t has been read, and returns the units that
// end at or before t, in order, those without events included. Each unit's Counts has
// an element for each of the Features known now.
func (c *Cutter) Advance(t int64) []Unit {
	t = min(t, lastSlot*width)
	if c.failed {
		c.failed = false
		c.lose(c.next*width, max(t, min(c.newest, lastSlot)*width), 0)
	}
	var out []Unit
	for (c.next+1)*width <= t {
		out = append(out, c.take(c.next*width+width))
	}
	return out
}

// End ends the observation at t and returns all units that are left; the last one is
// partial where t is not on the grid. Events at or after t, which there are if t is the
// last event's own time, are counted in the last unit; if none is left, in one of no
// duration.
func (c *Cutter) End(t int64) []Unit {
	t = max(min(t, lastSlot*width), c.begin)
	out := c.Advance(t)
	if t > max(c.next*width, c.begin) {
		out = append(out, c.take(t))
	}
	var rest []uint64
	for n, counts := range c.open {
		c.resolve(n)
		rest = add(rest, counts)
		delete(c.open, n)
	}
	if len(out) == 0 && (len(rest) > 0 || c.owed > 0) {
		out = append(out, Unit{Start: t, Counts: make([]uint64, len(c.features))})
	}
	if n := len(out) - 1; n >= 0 {
		out[n].Counts = add(out[n].Counts, rest)
		out[n].Lost += c.owed
		c.owed = 0
	}
	return out
}

// take closes the next unit, which ends at end.
func (c *Cutter) take(end int64) Unit {
	n := c.next
	c.next++
	if l, ok := c.losses[n]; ok {
		c.now.events += l.events
		c.now.reasons += l.reasons
		delete(c.losses, n)
	}
	start := max(n*width, c.begin)
	u := Unit{Start: start, Duration: end - start, Lost: c.now.events}
	if c.now.reasons > 0 {
		u.Lost = max(u.Lost, 1)
	}
	u.Lost += c.owed
	c.owed = 0
	c.resolve(n)
	u.Counts = add(make([]uint64, len(c.features)), c.open[n])
	delete(c.open, n)
	return u
}

// resolve counts what waited in open unit n.
func (c *Cutter) resolve(n int64) {
	if counts, ok := c.open[n]; ok && c.set != nil {
		c.set.resolve(n, counts)
	}
}

// add adds b's counts to a, which grows where it is shorter.
func add(a, b []uint64) []uint64 {
	for len(a) < len(b) {
		a = append(a, 0)
	}
	for i, v := range b {
		a[i] += v
	}
	return a
}
