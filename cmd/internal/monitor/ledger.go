package monitor

import (
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// ledger accounts for a guest's life: every nanosecond since its QEMU began was scored, or there is the code of a reason why not. Times are those
// of CLOCK_MONOTONIC, in nanoseconds. The zero value is an account that has not been opened.
type ledger struct {
	begin, until int64
	scored       int64
	reasons      map[string]int64
}

// open begins the account with the birth of the guest's QEMU. An account that is open stays as it is.
func (l *ledger) open(begin int64) {
	if l.reasons == nil {
		l.begin, l.until, l.reasons = begin, begin, map[string]int64{}
	}
}

// fill accounts for all time up to end that is not accounted for yet.
func (l *ledger) fill(end int64, code string) {
	if d := l.advance(end); d > 0 {
		l.reasons[code] += d
	}
}

// enter accounts for a unit, with the code of the reason why it was not scored (empty: it was), and for the time between the one before it and
// its start, for which gap is the reason.
func (l *ledger) enter(start, end int64, code, gap string) {
	l.fill(start, gap)
	if code != "" {
		l.fill(end, code)
		return
	}
	l.scored += l.advance(end)
}

// advance is how much time up to end was not accounted for. It is, from now on.
func (l *ledger) advance(end int64) int64 {
	if l.reasons == nil || end <= l.until {
		return 0
	}
	d := end - l.until
	l.until = end
	return d
}

// report is the account in seconds.
func (l *ledger) report() control.Ledger {
	r := control.Ledger{
		Life: time.Duration(l.until - l.begin).Seconds(), Scored: time.Duration(l.scored).Seconds(), Reasons: map[string]float64{},
	}
	for code, d := range l.reasons {
		r.Reasons[code] = time.Duration(d).Seconds()
	}
	return r
}
