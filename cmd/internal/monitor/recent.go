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
	units []unit.Unit
	next  int // where the next one goes, once there are as many as are kept
}

// keep remembers a unit, if it may be learnt from.
func (r *recent) keep(u unit.Unit) {
	if !u.Full() || u.Lost > 0 {
		return
	}
	u.Counts = slices.Clone(u.Counts)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.units) < recentUnits {
		r.units = append(r.units, u)
		return
	}
	r.units[r.next] = u
	r.next = (r.next + 1) % recentUnits
}

// between returns the remembered units that lie wholly in a span of the trace's clock, in the order in which they came, and from when to
// when any are remembered (both zero: none are).
func (r *recent) between(from, to time.Time) (units []unit.Unit, oldest, newest time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.units {
		u := r.units[(r.next+i)%len(r.units)]
		start := time.Unix(0, u.Start)
		if i == 0 {
			oldest = start
		}
		newest = start.Add(unit.Width)
		if !start.Before(from) && !newest.After(to) {
			units = append(units, u)
		}
	}
	return units, oldest, newest
}
