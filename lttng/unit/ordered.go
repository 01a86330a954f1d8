package unit

import (
	"fmt"
	"path/filepath"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// cursor is at an event of one data stream.
type cursor struct {
	r     *ctf.Reader
	state *streamState
	plan  *plan
	time  int64
	order int   // among the trace's streams, for events of one time
	at    place // of the event; no counts where it comes too late for its unit
	near  nearby
}

// place is a unit that is counted into.
type place struct {
	counts   []uint64
	slot     int64
	from, to int64 // none where they are equal
}

// advance moves on to the stream's next event whose turn must be awaited, or whose plan says more than in which columns it counts. It accounts for the packets
// that are entered and counts the events in between: what they do does not depend on other streams.
func (c *Cutter) advance(t opened, cur *cursor) (bool, error) {
	for {
		n, at := cur.r.Tally(t.tally, cur.at.to, cur.at.counts)
		if n > 0 {
			cur.near.seq += uint64(n)
			c.lastEnd = max(c.lastEnd, cur.r.Time())
		}
		if !at && !cur.r.Next() {
			if !cur.r.NextPacket() {
				return false, cur.r.Err()
			}
			if err := c.account(cur.state, &cur.r.Packet); err != nil {
				return false, fmt.Errorf("%s: packet at byte %d: %w", cur.r.Path(), cur.r.Packet.Offset, err)
			}
			continue
		}
		cur.near.seq++
		if err := c.place(cur); err != nil {
			return false, err
		}
		class := cur.r.Class
		cur.plan = t.plans[class.Index]
		if cur.plan == nil && t.columns[class.Index] == columnUnknown {
			cur.plan = c.set.plan(class)
			t.plans[class.Index], t.columns[class.Index] = cur.plan, columnIgnored
			cur.plan.tally(t.tally, class)
		}
		if cur.plan != nil && !cur.plan.local {
			return true, nil
		}
		if cur.plan != nil {
			if err := c.set.hit(nil, cur); err != nil {
				return false, err
			}
		}
	}
}

// place finds the unit that the cursor's event is in. What comes too late for its unit still tells of devices.
func (c *Cutter) place(cur *cursor) error {
	now := cur.r.Time()
	cur.time = now
	c.lastEnd = max(c.lastEnd, now)
	if now >= cur.at.from && now < cur.at.to {
		return nil
	}
	n := slot(now)
	if n < c.next || now < c.begin {
		c.late++
		c.owed++
		cur.at = place{}
		return nil
	}
	counts, err := c.unit(n)
	if err != nil {
		return fmt.Errorf("%s: packet at byte %d: event at %d ns: %w", cur.r.Path(), cur.r.Packet.Offset, now, err)
	}
	cur.at = place{counts, n, max(n*width, c.begin), n*width + width}
	return nil
}

// cursors is a heap: the earliest event first.
type cursors []*cursor

func (h cursors) less(i, j int) bool {
	return h[i].time < h[j].time || h[i].time == h[j].time && h[i].order < h[j].order
}

// settle restores the order when element i is perhaps later than those below it.
func (h cursors) settle(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h.less(child, first) {
				first = child
			}
		}
		if first == i {
			return
		}
		h[i], h[first] = h[first], h[i]
		i = first
	}
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
	defer func() { clear(c.set.fields) }() // texts in it are parts of a reader's buffer
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
		ok, err := c.advance(t, cur)
		if err != nil {
			return err
		}
		if ok {
			h = append(h, cur)
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.settle(i)
	}
	for len(h) > 0 {
		cur, limit := h[0], h.limit()
		for more := true; more; {
			if err := c.set.hit(p, cur); err != nil {
				return err
			}
			ok, err := c.advance(t, cur)
			if err != nil {
				return err
			}
			if !ok {
				h[0] = h[len(h)-1]
				h = h[:len(h)-1]
				break
			}
			more = cur.time < limit
		}
		h.settle(0)
	}
	return nil
}
