package emulator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// meanVisit is the mean number of requests after which a client of a service other than the site leaves.
const meanVisit = 20

// Client is one seat at a service that is not the web site, such as a data base. One goroutine uses it.
type Client interface {
	// Request sends one request, and connects before if it is not connected. It says what kind of request it was.
	Request(ctx context.Context) (kind string, err error)
	// Leave ends the visit and closes what is open. The next request begins another one.
	Leave()
}

// Failure is what Stats.Errors calls a request's failure, such as "sql 1213": one of few kinds.
type Failure string

// Error implements error.
func (f Failure) Error() string { return string(f) }

// RunClients is [Run] for another service: same sessions, think times, shape and bound of the rate, with the clients that
// sit makes, each with the source of its choices. Config's BaseURL, Table and Dial are not used. After a failed request, and
// after 20 good ones on average, a client leaves.
func RunClients(ctx context.Context, cfg Config, sit func(rng *rand.Rand) Client, report func(Stats)) (Stats, error) {
	if err := cfg.completeLoad(); err != nil {
		return Stats{}, fmt.Errorf("emulate clients: %w", err)
	}
	r := newRun(cfg)
	return r.play(ctx, func(i int) player {
		rng := rand.New(rand.NewPCG(cfg.Seed, uint64(i)))
		return &seat{run: r, index: i, rng: rng, client: sit(rng)}
	}, report), nil
}

// seat has one client work.
type seat struct {
	run    *run
	index  int
	rng    *rand.Rand
	client Client
}

func (s *seat) play(ctx context.Context) {
	defer s.client.Leave()
	for s.run.think(ctx, s.rng) && s.run.rest(ctx, s.index) && s.run.limit.wait(ctx) {
		err := s.request(ctx)
		if ctx.Err() != nil {
			return // the run's end cut it off: nobody's failure
		}
		if err != nil || s.rng.IntN(meanVisit) == 0 {
			s.run.counters.visit()
			s.client.Leave()
		}
	}
}

func (s *seat) request(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.run.cfg.Timeout)
	defer cancel()
	start := time.Now()
	what, err := s.client.Request(limited)
	if ctx.Err() == nil {
		s.run.counters.request(what, time.Since(start), kind(err))
	}
	return err
}
