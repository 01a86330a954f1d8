package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// TransportName is the benchmark's name.
const TransportName = "transport"

// The ways in which events come from applications to a reader.
const (
	WayOwn    = "a session for each"           // staggered rotations
	WayShared = "one session, per-PID buffers" // one rotation
	WayUser   = "one session, per-UID buffers" // for orientation: nothing tells whose an event is without its context
	// WayPlace is what virtsentryd does: a session for each, whose files are read where they are being written.
	WayPlace = "a session for each, read in place"
)

// Transport is what the ways cost.
type Transport struct {
	Load    string         `json:"load"`
	Seconds float64        `json:"seconds"` // of each run
	Runs    []TransportRun `json:"runs"`
}

// TransportRun is one way for so many applications, in one of the rounds.
type TransportRun struct {
	Applications int     `json:"applications"`
	Way          string  `json:"way"`
	Round        int     `json:"round"`
	Units        float64 `json:"units"` // of two seconds that it took
	Events       uint64  `json:"events"`
	Lost         uint64  `json:"lost"`
	Late         uint64  `json:"late"` // events that came after their unit
	Sessiond     Usage   `json:"sessiond"`
	Consumerd    Usage   `json:"consumerd"`
	Reader       Usage   `json:"reader"`
	// Setup is the CPU time of session daemon and consumer daemon until the sessions recorded.
	Setup time.Duration `json:"setup"`
	// Rotations are how long rotations took until their chunk could be read.
	Rotations Spread `json:"rotations"`
}

// Each is the CPU time that usage has taken for each application and unit.
func (r TransportRun) Each(u Usage) time.Duration {
	return time.Duration(float64(u.CPU) / (float64(r.Applications) * r.Units))
}

// Spread is the middle and the end of some durations.
type Spread struct {
	Median time.Duration `json:"median"`
	P99    time.Duration `json:"p99"`
	Most   time.Duration `json:"most"`
}

func spreadOf(list []time.Duration) Spread {
	if len(list) == 0 {
		return Spread{}
	}
	list = slices.Sorted(slices.Values(list))
	at := func(share float64) time.Duration { return list[min(len(list)-1, int(share*float64(len(list))))] }
	return Spread{Median: at(0.5), P99: at(0.99), Most: list[len(list)-1]}
}

// TransportConfig says what to measure.
type TransportConfig struct {
	Checkout     string // of the project
	Dir          string // for traces and programs, on tmpfs
	Applications []int
	Rounds       int
	Ways         []string
	Load         string
	Warm, Run    time.Duration
	Report       func(string) // of progress
	Done         func(TransportRun)
}

// RunTransport measures, in namespaces of its own (Private).
func RunTransport(ctx context.Context, cfg TransportConfig) (t Transport, err error) {
	t = Transport{Load: cfg.Load, Seconds: cfg.Run.Seconds()}
	set, err := catalogue.Load("default")
	if err != nil {
		return t, err
	}
	binary, err := buildGenerator(ctx, cfg.Checkout, cfg.Dir)
	if err != nil {
		return t, err
	}
	daemon, err := startTracer(ctx)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, daemon.end()) }()
	g := &generator{binary: binary}
	defer func() { err = errors.Join(err, g.end()) }()
	for _, n := range cfg.Applications {
		if err := g.resize(n, cfg.Load); err != nil {
			return t, err
		}
		if err := sleep(ctx, time.Second); err != nil { // until all have registered
			return t, err
		}
		for round := range cfg.Rounds {
			for i := range cfg.Ways {
				way := cfg.Ways[(i+round)%len(cfg.Ways)]
				cfg.Report(fmt.Sprintf("%d applications, %s, round %d of %d", n, way, round+1, cfg.Rounds))
				r, err := transportRun(ctx, cfg, set, daemon, g, way)
				if err != nil {
					return t, fmt.Errorf("%d applications, %s: %w", n, way, err)
				}
				r.Round = round
				t.Runs = append(t.Runs, r)
				if cfg.Done != nil {
					cfg.Done(r)
				}
			}
		}
	}
	return t, nil
}

// transportRun measures one way once.
func transportRun(ctx context.Context, cfg TransportConfig, set *catalogue.Set, daemon *tracer, g *generator, way string) (r TransportRun, err error) {
	r = TransportRun{Applications: len(g.players), Way: way}
	before, err := daemon.both()
	if err != nil {
		return r, err
	}
	readers, err := newReaders(ctx, filepath.Join(cfg.Dir, "traces"), set, g, way)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, readers.end()) }()
	after, err := daemon.both()
	if err != nil {
		return r, err
	}
	r.Setup = after - before

	running, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- readers.run(running) }()
	if err := sleep(ctx, cfg.Warm); err != nil {
		return r, err
	}
	readers.reset()
	begin := time.Now()
	s0, c0, r0, err := measure(daemon)
	if err != nil {
		return r, err
	}
	select {
	case err := <-failed:
		return r, err
	case <-ctx.Done():
		return r, ctx.Err()
	case <-time.After(cfg.Run):
	}
	s1, c1, r1, err := measure(daemon)
	if err != nil {
		return r, err
	}
	r.Units = time.Since(begin).Seconds() / unit.Width.Seconds()
	r.Sessiond, r.Consumerd, r.Reader = s1.since(s0), c1.since(c0), r1.since(r0)
	readers.found(&r)
	stop()
	if err := <-failed; err != nil && !errors.Is(err, context.Canceled) {
		return r, err
	}
	var all TransportRun // with what was under way
	readers.found(&all)
	r.Rotations = all.Rotations
	return r, nil
}
