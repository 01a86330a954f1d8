package probe

import (
	"context"
	"time"
)

// pace lets something happen a number of times a second, on the average, by making it wait.
type pace struct {
	every time.Duration // one more is let through after each
	burst int           // as many at once, after a pause
	next  time.Time     // when the next is due at the latest
}

// delay is how long the next one has to wait.
func (p *pace) delay(now time.Time) time.Duration {
	if earliest := now.Add(-time.Duration(p.burst) * p.every); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(p.every)
	return max(0, p.next.Sub(now))
}

// wait waits for the next one's turn, or until ctx ends.
func (p *pace) wait(ctx context.Context) {
	d := p.delay(time.Now())
	if d == 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
