package monitor

import (
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// recentUnits is how many units are remembered: those of an hour.
const recentUnits = int(time.Hour / unit.Width)

// recent remembers the last full units without losses, so that an operator may mark some of them as normal. The zero value is ready; it is
// safe for concurrent use.
type recent struct {
	mu  sync.Mutex // guards log
	log unitLog
}

// keep remembers a unit, if it may be learnt from.
func (r *recent) keep(u unit.Unit) {
	if !u.Full() || u.Lost > 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.keep = recentUnits
	r.log.add(u)
}

// between returns the remembered units that lie wholly in a span of the trace's clock, in the order in which they came, and from when to
// when any are remembered (both zero: none are).
func (r *recent) between(from, to time.Time) (units []unit.Unit, oldest, newest time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.all(func(u unit.Unit) {
		start := time.Unix(0, u.Start)
		if oldest.IsZero() {
			oldest = start
		}
		newest = start.Add(unit.Width)
		if !start.Before(from) && !newest.After(to) {
			units = append(units, u)
		}
	})
	return units, oldest, newest
}
