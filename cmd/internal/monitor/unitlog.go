package monitor

import (
	"encoding/binary"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// logChunk is how many units lie in one piece of memory, which is let go as a whole.
const logChunk = 60

// unitLog remembers full units without losses, in little memory: of the hundreds of counts of a unit most are zero, and the others small. The zero value
// is empty. It is not safe for concurrent use.
type unitLog struct {
	keep   int // how many are remembered, the newest; 0: all
	chunks []chunk
	length int
	past   int   // units of the first chunk that are forgotten
	last   int64 // start of the newest
}

// chunk holds units one after another, each as the time since the one before, the number of counts that are not zero, and for each its distance from the one before
// and itself; varints all.
type chunk struct {
	data  []byte
	units int
	width int   // of each unit's counts
	last  int64 // start of the newest
}

// add appends a unit.
func (l *unitLog) add(u unit.Unit) {
	n := len(l.chunks)
	if n == 0 || l.chunks[n-1].units == logChunk || l.chunks[n-1].width != len(u.Counts) {
		if n > 0 {
			l.chunks[n-1].data = slices.Clip(slices.Clone(l.chunks[n-1].data))
		}
		l.chunks = append(l.chunks, chunk{width: len(u.Counts)})
		n++
	}
	l.chunks[n-1].add(u)
	l.length, l.last = l.length+1, u.Start
	if l.keep > 0 && l.length > l.keep {
		l.length--
		if l.past++; l.past == l.chunks[0].units {
			l.chunks, l.past = slices.Delete(l.chunks, 0, 1), 0
		}
	}
}

// lone is a chunk of one unit.
func lone(u unit.Unit) chunk {
	c := chunk{width: len(u.Counts)}
	c.add(u)
	c.data = slices.Clip(slices.Clone(c.data))
	return c
}

func (c *chunk) add(u unit.Unit) {
	c.data = binary.AppendVarint(c.data, u.Start-c.last)
	c.last = u.Start
	c.units++
	some := 0
	for _, n := range u.Counts {
		if n > 0 {
			some++
		}
	}
	c.data = binary.AppendUvarint(c.data, uint64(some))
	at := 0
	for i, n := range u.Counts {
		if n > 0 {
			c.data = binary.AppendUvarint(c.data, uint64(i-at))
			c.data = binary.AppendUvarint(c.data, n)
			at = i
		}
	}
}

// all calls f with the units that are remembered, the oldest first. Counts are f's to keep.
func (l *unitLog) all(f func(u unit.Unit)) {
	skip := l.past
	for i := range l.chunks {
		l.chunks[i].all(func(u unit.Unit) {
			if skip--; skip < 0 {
				f(u)
			}
		})
	}
}

func (c *chunk) all(f func(u unit.Unit)) {
	data, start := c.data, int64(0)
	next := func() uint64 {
		v, n := binary.Uvarint(data)
		data = data[n:]
		return v
	}
	for range c.units {
		step, n := binary.Varint(data)
		data = data[n:]
		start += step
		u := unit.Unit{Start: start, Duration: int64(unit.Width), Counts: make([]uint64, c.width)}
		at := 0
		for range next() {
			at += int(next()) //nolint:gosec // add has written a column's number
			u.Counts[at] = next()
		}
		f(u)
	}
}

// clear forgets all units.
func (l *unitLog) clear() { *l = unitLog{keep: l.keep} }
