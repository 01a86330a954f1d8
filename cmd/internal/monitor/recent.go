package monitor

import (
	"slices"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// recentUnits is how many units are remembered: those of an hour.
const recentUnits = int(time.Hour / unit.Width)

// recent remembers the last full units without losses, so that an operator may mark some of them as normal. The zero value is ready; it is
// safe for concurrent use.
type recent struct {
	mu    sync.Mutex // guards the fields below
	units []packed
	next  int // where the next one goes, once there are as many as are kept
}

// packed is a unit without its zeros, which are most of its counts.
type packed struct {
	start  int64
	width  int // of Counts
	counts []count
}

type count struct {
	column uint16
	n      uint64
}

func pack(u unit.Unit) packed {
	p := packed{start: u.Start, width: len(u.Counts)}
	for i, n := range u.Counts {
		if n > 0 {
			p.counts = append(p.counts, count{uint16(i), n}) //nolint:gosec // a feature set has 4,096 columns at most
		}
	}
	p.counts = slices.Clip(p.counts)
	return p
}

func (p packed) unpack() unit.Unit {
	u := unit.Unit{Start: p.start, Duration: int64(unit.Width), Counts: make([]uint64, p.width)}
	for _, c := range p.counts {
		u.Counts[c.column] = c.n
	}
	return u
}

// keep remembers a unit, if it may be learnt from.
func (r *recent) keep(u unit.Unit) {
	if !u.Full() || u.Lost > 0 {
		return
	}
	p := pack(u)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.units) < recentUnits {
		r.units = append(r.units, p)
		return
	}
	r.units[r.next] = p
	r.next = (r.next + 1) % recentUnits
}

// between returns the remembered units that lie wholly in a span of the trace's clock, in the order in which they came, and from when to
// when any are remembered (both zero: none are).
func (r *recent) between(from, to time.Time) (units []unit.Unit, oldest, newest time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.units {
		u := r.units[(r.next+i)%len(r.units)]
		start := time.Unix(0, u.start)
		if i == 0 {
			oldest = start
		}
		newest = start.Add(unit.Width)
		if !start.Before(from) && !newest.After(to) {
			units = append(units, u.unpack())
		}
	}
	return units, oldest, newest
}
