package emulator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"sync"
	"time"
)

// Config is one run. The zero value of a field that says so stands for its default.
type Config struct {
	BaseURL  string        // the site, as http://10.77.0.10
	Sessions int           // 1 to 1000
	Think    time.Duration // mean time between a page and the next request of its session; exponential, at most ten means
	Seed     uint64
	Shape    Shape         // nil: Constant(1)
	MaxRate  float64       // requests a second of all sessions together, never exceeded, without bursts; required
	Timeout  time.Duration // for one request with its answer; 0: 30 s
	Table    *Table        // nil: Auction()
	Report   time.Duration // time between two reports; 0: 1 s

	// Dial makes the connections, for instance within a network name space; nil: net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Run plays visitors until ctx ends, which is no error: errors are those of the configuration alone, and what went wrong
// with the site is counted. report, if not nil, is called every Config.Report, by one goroutine. All that Run started
// has ended and every connection is closed when it returns.
func Run(ctx context.Context, cfg Config, report func(Stats)) (Stats, error) {
	base, err := cfg.complete()
	if err != nil {
		return Stats{}, fmt.Errorf("emulate clients: %w", err)
	}
	r := newRun(cfg)
	r.base = base
	return r.play(ctx, func(i int) player { return newSession(r, i) }, report), nil
}

// complete checks the configuration and fills in what was left out.
func (c *Config) complete() (*url.URL, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if base.Scheme != "http" || base.Host == "" {
		return nil, fmt.Errorf("base address %q is not http://HOST", c.BaseURL)
	}
	if c.Table == nil {
		if c.Table, err = Auction(); err != nil {
			return nil, err
		}
	}
	return base, c.completeLoad()
}

// completeLoad is complete for what does not hang on the service.
func (c *Config) completeLoad() error {
	switch {
	case c.Sessions < 1 || c.Sessions > 1000:
		return fmt.Errorf("%d sessions: want 1 to 1000", c.Sessions)
	case c.Think < 0 || c.Timeout < 0 || c.Report < 0:
		return errors.New("a negative time")
	case !(c.MaxRate >= 0.01 && c.MaxRate <= 1e5):
		return fmt.Errorf("highest rate %v: want 0.01 to 100000 requests/s", c.MaxRate)
	}
	if c.Shape == nil {
		c.Shape = Constant(1)
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Report == 0 {
		c.Report = time.Second
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	return nil
}

// player is one session.
type player interface{ play(ctx context.Context) }

// run is what the sessions of one Run or RunClients share.
type run struct {
	cfg      Config
	base     *url.URL // of the site; nil: another service
	start    time.Time
	counters *counters
	limit    limiter
}

func newRun(cfg Config) *run {
	return &run{cfg: cfg, start: time.Now(), counters: newCounters(), limit: limiter{gap: time.Duration(float64(time.Second) / cfg.MaxRate)}}
}

// play has all sessions play, and report called, until ctx ends.
func (r *run) play(ctx context.Context, sit func(session int) player, report func(Stats)) Stats {
	var sessions sync.WaitGroup
	for i := range r.cfg.Sessions {
		s := sit(i)
		sessions.Go(func() { s.play(ctx) })
	}
	if report != nil {
		sessions.Go(func() { r.report(ctx, report) })
	}
	sessions.Wait()
	return r.stats()
}

// active is the number of sessions that the shape lets work now.
func (r *run) active() int {
	level := r.cfg.Shape.At(time.Since(r.start))
	return int(math.Round(min(1, max(0, level)) * float64(r.cfg.Sessions)))
}

func (r *run) stats() Stats {
	return r.counters.stats(time.Since(r.start), r.active())
}

func (r *run) report(ctx context.Context, report func(Stats)) {
	tick := time.NewTicker(r.cfg.Report)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			report(r.stats())
		}
	}
}

// limiter spaces requests evenly: no two within gap. It has no bursts, so the bound holds over any time.
type limiter struct {
	gap  time.Duration
	mu   sync.Mutex // guards next
	next time.Time
}

// wait returns when the caller may send, or false when ctx ended before. A caller that gave up leaves its turn unused.
func (l *limiter) wait(ctx context.Context) bool {
	l.mu.Lock()
	turn := time.Now()
	if turn.Before(l.next) {
		turn = l.next
	}
	l.next = turn.Add(l.gap)
	l.mu.Unlock()
	return sleep(ctx, time.Until(turn))
}

// sleep waits for d and says whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
