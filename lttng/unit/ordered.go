package unit

import (
	"container/heap"
	"fmt"
	"path/filepath"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// cursor is at an event of one data stream.
type cursor struct {
	r     *ctf.Reader
	state *streamState
	time  int64
	order int // among the trace's streams, for events of one time
	near  nearby
}

// advance moves on to the stream's next event, accounting for the packets that are entered.
func (c *Cutter) advance(cur *cursor) (bool, error) {
	for !cur.r.Next() {
		if !cur.r.NextPacket() {
			return false, cur.r.Err()
		}
		if err := c.account(cur.state, &cur.r.Packet); err != nil {
			return false, fmt.Errorf("%s: packet at byte %d: %w", cur.r.Path(), cur.r.Packet.Offset, err)
		}
	}
	cur.time = cur.r.Time()
	return true, nil
}

// cursors is a heap: the earliest event first.
type cursors []*cursor

func (h cursors) Len() int { return len(h) }
func (h cursors) Less(i, j int) bool {
	return h[i].time < h[j].time || h[i].time == h[j].time && h[i].order < h[j].order
}
func (h cursors) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)   { *h = append(*h, x.(*cursor)) }
func (h *cursors) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// limit returns the time of the second earliest event: before it the first cursor may go on alone.
func (h cursors) limit() int64 {
	switch len(h) {
	case 1:
		return lastSlot * width
	case 2:
		return h[1].time
	}
	return min(h[1].time, h[2].time)
}

// countSet counts a trace's events for a feature set: in the order of time over all its streams where the set depends on it, else stream by
// stream.
func (c *Cutter) countSet(t opened) error {
	if !c.begun {
		return errNotBegun
	}
	p := c.set.process(filepath.Base(t.Dir), t.Metadata)
	if c.set.Ordered() {
		return c.countOrdered(t, p, t.Streams)
	}
	for i := range t.Streams {
		if err := c.countOrdered(t, p, t.Streams[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cutter) countOrdered(t opened, p *process, streams []*ctf.Stream) error {
	var h cursors
	for i, s := range streams {
		state, err := c.stream(t, s)
		if err != nil {
			return err
		}
		cur := &cursor{r: s.Reader(), state: state, order: i}
		defer cur.r.Close()
		ok, err := c.advance(cur)
		if err != nil {
			return err
		}
		if ok {
			h = append(h, cur)
		}
	}
	heap.Init(&h)
	var at place
	for len(h) > 0 {
		cur, limit := h[0], h.limit()
		for more := true; more; {
			if err := c.hit(t, p, cur, &at); err != nil {
				return err
			}
			ok, err := c.advance(cur)
			if err != nil {
				return err
			}
			if !ok {
				heap.Pop(&h)
				break
			}
			more = cur.time < limit
		}
		if len(h) > 0 {
			heap.Fix(&h, 0)
		}
	}
	return nil
}

// place is the unit that the last event was in.
type place struct {
	counts   []uint64
	slot     int64
	from, to int64 // none yet where they are equal
}

// hit counts the event that the cursor is at. What comes too late for its unit still tells of devices.
func (c *Cutter) hit(t opened, p *process, cur *cursor, at *place) error {
	class := cur.r.Class
	pl := t.plans[class.Index]
	if pl == nil {
		if t.columns[class.Index] == columnUnknown {
			pl = c.set.plan(class)
			t.plans[class.Index], t.columns[class.Index] = pl, columnIgnored
		}
	}
	now := cur.time
	c.lastEnd = max(c.lastEnd, now)
	counts := at.counts
	if now < at.from || now >= at.to {
		n := slot(now)
		if n < c.next || now < c.begin {
			c.late++
			c.owed++
			counts = nil
		} else {
			var err error
			if counts, err = c.unit(n); err != nil {
				return fmt.Errorf("%s: packet at byte %d: event at %d ns: %w", cur.r.Path(), cur.r.Packet.Offset, now, err)
			}
			*at = place{counts, n, max(n*width, c.begin), n*width + width}
		}
	}
	if pl == nil {
		cur.near.seq++
		return nil
	}
	return c.set.hit(p, pl, cur.r, &cur.near, now, at.slot, counts)
}
