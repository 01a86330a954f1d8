package monitor

import (
	"cmp"
	"sync"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	// heldGap is the time between two moments in which a guest stood still from which on they have nothing to do with each other.
	heldGap = 3 * unit.Width
	// heldLong is how long it goes on until the domain's state says so: a guest that is stopped once is not held up.
	heldLong = 2 * unit.Width
	// heldStops are the fewest stops in that time.
	heldStops = 3
	// heldAfter is how long a guest catches up after a closer look has stopped it again and again.
	heldAfter = unit.Width
)

// standstills are what a watcher was told of moments in which its guest stood still, and has not looked at yet. Times are those of CLOCK_MONOTONIC, nanoseconds.
type standstills struct {
	from, to int64 // from the first stop to the last event; 0: there was none
	told     bool  // by an event
	stops    int
	stopped  bool // by the last one
	looks    int  // that stop the guest again and again, more or fewer than before
}

// note adds an event.
func (m *standstills) note(at int64, stopped bool) {
	if stopped {
		m.stops++
		m.from = cmp.Or(m.from, at)
	}
	m.to, m.told, m.stopped = max(m.to, at), true, stopped
}

// look adds the begin or the end of a closer look that stops the guest.
func (m *standstills) look(at int64, more int) {
	m.from = cmp.Or(m.from, at)
	m.looks += more
	if m.to = max(m.to, at); more < 0 {
		m.to = at + int64(heldAfter)
	}
}

// held is the time in which a guest stood still for moments, but was not paused, or may have: what it does between them is not what it does by itself.
type held struct {
	from, to int64 // CLOCK_MONOTONIC, nanoseconds; 0: never
	stops    int   // since from
	stopped  bool  // as far as is known, it stands still now
	looks    int   // closer looks that stop it again and again run
}

// take takes in what is new.
func (h *held) take(m standstills) {
	if m.from != 0 && (h.from == 0 || !h.goesOn() && m.from-h.to > int64(heldGap)) {
		h.from, h.stops = m.from, 0
	}
	if h.from == 0 {
		return // it has only gone on
	}
	h.to = max(h.to, m.to)
	h.looks += m.looks
	h.stops += m.stops
	if m.told {
		h.stopped = m.stopped
	}
	if m.looks < 0 && h.looks == 0 {
		h.stops = 0 // these are explained, and over
	}
}

func (h *held) goesOn() bool { return h.stopped || h.looks > 0 }

// runs notes that the guest was found to run then, whatever events have been missed.
func (h *held) runs(at int64) {
	if h.stopped && at >= h.to {
		h.stopped, h.to = false, at
	}
}

// covers says whether some of the time from start to end is disturbed.
func (h *held) covers(start, end int64) bool {
	return h.from != 0 && end > h.from && (h.goesOn() || start < h.to)
}

// reason says why nothing that the guest does now is judged; nil: it is.
func (h *held) reason(now int64) *control.Reason {
	const text = " stops the guest for moments, again and again: what it does meanwhile is neither judged nor learnt"
	switch {
	case h.looks > 0 || now < h.to: // it catches up
		return because(reasonHeld, "a closer look"+text)
	case now-h.to > int64(heldGap) || h.to-h.from < int64(heldLong) || h.stops < heldStops:
		return nil
	}
	return because(reasonHeld, "something outside, such as a debugger or virtsentry-keeper,"+text)
}

// disturb tells a domain's watcher that a closer look stops its guest again and again from now on, until it is released.
func (m *Monitor) disturb(w *watcher) (release func()) {
	tell := func(more int) {
		at := now()
		w.news.tell(func(t *notice) { t.moments.look(at, more) })
	}
	tell(1)
	return sync.OnceFunc(func() { tell(-1) })
}
