package bench

import (
	"context"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench/standin"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// measurement is what all kinds of domains are measured by.
type measurement struct {
	alive map[string]bool                   // UUIDs of domains that run all the time
	usage func() ([3]Usage, error)          // of session daemon, consumer daemons and daemon, so far
	take  func() ([]standin.Verdict, error) // since the last time
	churn func() error                      // nil: nothing changes meanwhile
	ended func() error                      // is called when the time is over; nil: nothing is
}

// run measures for a while and fills in p.
func (m *measurement) run(ctx context.Context, length time.Duration, p *ScalePoint) error {
	if _, err := m.take(); err != nil {
		return err
	}
	begin := time.Now()
	used, err := m.usage()
	if err != nil {
		return err
	}
	for end := begin.Add(length); time.Now().Before(end); {
		if m.churn == nil {
			err = sleep(ctx, time.Until(end))
		} else if err = sleep(ctx, min(churnEvery, time.Until(end))); err == nil && time.Now().Before(end) {
			p.Churned++
			err = m.churn()
		}
		if err != nil {
			return err
		}
	}
	now, err := m.usage()
	if err != nil {
		return err
	}
	end := time.Now()
	p.Units = end.Sub(begin).Seconds() / unit.Width.Seconds()
	p.Sessiond, p.Consumerd, p.Daemon = now[0].since(used[0]), now[1].since(used[1]), now[2].since(used[2])
	if m.ended != nil {
		if err := m.ended(); err != nil {
			return err
		}
	}
	if err := sleep(ctx, straggler); err != nil {
		return err
	}
	list, err := m.take()
	p.observe(list, m.alive, begin, end)
	return err
}

// observe takes in the verdicts on what happened from begin to end. Every whole unit within it was to come of domains that were alive all the time.
func (p *ScalePoint) observe(list []standin.Verdict, alive map[string]bool, begin, end time.Time) {
	width := int64(unit.Width)
	first, last := (begin.UnixNano()+width-1)/width, end.UnixNano()/width // of the grid, last is none of them
	came := map[standin.Verdict]bool{}
	var latencies []time.Duration
	for _, v := range list {
		if v.Start < begin.UnixNano() || v.Start+v.Duration > end.UnixNano() {
			continue
		}
		p.Verdicts++
		if v.Judged {
			p.Judged++
		}
		if v.Lost > 0 {
			p.Lossy++
		}
		if v.Duration != width {
			continue // the first one of a domain, or its last
		}
		latencies = append(latencies, v.After)
		if v.After > unit.Width {
			p.Late++
		}
		if alive[v.UUID] {
			came[standin.Verdict{UUID: v.UUID, Start: v.Start / width}] = true
		}
	}
	p.Wanted = len(alive) * int(max(0, last-first))
	p.Missing = p.Wanted - len(came)
	p.Latency = spreadOf(latencies)
}
