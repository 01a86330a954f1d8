package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench/standin"
	"github.com/virtsentry/virtsentry/lttng"
)

// ChurnConfig says how many domains start and stop.
type ChurnConfig struct {
	Checkout string // of the project
	Dir      string // for traces, profiles and programs, on tmpfs
	Starts   int
	Report   func(string) // of progress
}

// Churn is what was seen of domains that started and stopped.
type Churn struct {
	Starts  int           // of domains, counted from Before
	Hasty   int           // of those, domains that stopped while they were attached to
	Elapsed time.Duration // from Before to After
	Before  ChurnTake     // when a tenth of them had started and stopped
	After   ChurnTake
}

// ChurnTake is what there is at one time, with ten domains that run.
type ChurnTake struct {
	Domains, Sessions   int // that the daemon watches, and that LTTng has
	Routines            int // goroutines of the daemon
	Heap                uint64
	Shared              uint64 // bytes in /dev/shm
	Traces              int    // entries in the daemon's trace directory
	Sessiond, Consumerd Usage
	Daemon              Usage
}

// hasty: every so many-th ten of domains are stopped without waiting until they are attached to.
const hasty = 5

// RunChurn has ten domains at a time, players of the generator, start and stop, in namespaces of its own (Private). Errors: a daemon that has ended; domains
// that are not attached to in time.
func RunChurn(ctx context.Context, cfg ChurnConfig) (c Churn, err error) {
	binary, err := buildGenerator(ctx, cfg.Checkout, cfg.Dir)
	if err != nil {
		return c, err
	}
	runDir := filepath.Join(cfg.Dir, "libvirt")
	if err := os.MkdirAll(filepath.Join(runDir, "qemu"), 0o755); err != nil {
		return c, err
	}
	t, err := startTracer(ctx)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	h := &host{cfg: ScaleConfig{Dir: cfg.Dir}, tracer: t, generator: &generator{binary: binary, runDir: runDir}}
	err = h.begin(ctx, atOnce, loadWeb)
	defer func() { err = errors.Join(err, h.end()) }()
	if err != nil {
		return c, err
	}
	warm := max(cfg.Starts/10, 2*hasty*atOnce) // so that all that is made once has been made
	if _, err := h.churn(ctx, warm, cfg.Report); err != nil {
		return c, err
	}
	if c.Before, err = h.churnTake(ctx); err != nil {
		return c, err
	}
	begin := time.Now()
	if c.Hasty, err = h.churn(ctx, cfg.Starts, cfg.Report); err != nil {
		return c, err
	}
	c.Starts, c.Elapsed = cfg.Starts, time.Since(begin)
	c.After, err = h.churnTake(ctx)
	return c, err
}

// churn replaces so many domains, ten at a time. It returns how many of them were stopped while they were attached to.
func (h *host) churn(ctx context.Context, n int, report func(string)) (hastily int, err error) {
	for done, round := 0, 0; done < n; round++ {
		report(fmt.Sprintf("%d of %d domains", done, n))
		some := min(atOnce, n-done)
		for range some {
			if err := h.replace(loadWeb); err != nil {
				return hastily, err
			}
		}
		done += some
		if round%hasty == hasty-1 && done < n {
			hastily += some
			continue
		}
		if err := h.attachedAll(ctx); err != nil {
			return hastily, err
		}
	}
	return hastily, nil
}

// attachedAll waits until the domains that run are attached to, and no others.
func (h *host) attachedAll(ctx context.Context) error {
	n := len(h.generator.players)
	return h.daemon.until(ctx, attachLimit, "attached", func(s standin.Status) bool { return s.Attached == n && s.Domains == n })
}

// churnTake counts what there is, when it does not change any more.
func (h *host) churnTake(ctx context.Context) (c ChurnTake, err error) {
	if err := h.attachedAll(ctx); err != nil {
		return c, err
	}
	if err := sleep(ctx, 10*time.Second); err != nil {
		return c, err
	}
	status, err := h.daemon.tell("status")
	if err != nil {
		return c, err
	}
	c.Domains, c.Routines, c.Heap = status.Domains, status.Routines, status.Heap
	all, err := h.usage()
	if err != nil {
		return c, err
	}
	c.Sessiond, c.Consumerd, c.Daemon = all[0], all[1], all[2]
	sessions, err := lttng.Sessions()
	if err != nil {
		return c, err
	}
	c.Sessions = len(sessions)
	traces, err := os.ReadDir(filepath.Join(h.cfg.Dir, "traces"))
	if err != nil {
		return c, err
	}
	c.Traces = len(traces)
	var fs unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &fs); err != nil {
		return c, err
	}
	c.Shared = (fs.Blocks - fs.Bfree) * uint64(fs.Bsize)
	return c, nil
}

// What may be more after thousands of domains: nothing that is counted; and of memory, what allocators keep (MiB).
const (
	moreFiles    = 2 // a connection that is just being made
	moreRoutines = 4
	moreHeap     = 8 << 20
	moreMemory   = 48 << 20
	moreShared   = 1 << 20
)

// Left says what is left of domains that have stopped; empty: nothing is.
func (c Churn) Left() string {
	var left []string
	check := func(what string, before, after, more uint64) {
		if after > before+more {
			left = append(left, fmt.Sprintf("%s: %d, %d before", what, after, before))
		}
	}
	b, a := c.Before, c.After
	check("domains", uint64(b.Domains), uint64(a.Domains), 0)
	check("LTTng sessions", uint64(b.Sessions), uint64(a.Sessions), 0)
	check("traces", uint64(b.Traces), uint64(a.Traces), 0)
	check("goroutines", uint64(b.Routines), uint64(a.Routines), moreRoutines)
	check("bytes of the daemon's heap", b.Heap, a.Heap, moreHeap)
	check("bytes in /dev/shm", b.Shared, a.Shared, moreShared)
	for _, d := range []struct {
		name          string
		before, after Usage
	}{{"virtsentryd", b.Daemon, a.Daemon}, {"lttng-sessiond", b.Sessiond, a.Sessiond}, {"lttng-consumerd", b.Consumerd, a.Consumerd}} {
		check("descriptors of "+d.name, uint64(d.before.Files), uint64(d.after.Files), moreFiles)
		check("bytes of memory of "+d.name, d.before.PSS, d.after.PSS, moreMemory)
	}
	return strings.Join(left, "; ")
}

// String says what was seen, in figures.
func (c Churn) String() string {
	mib := func(n uint64) float64 { return float64(n) / (1 << 20) }
	return fmt.Sprintf("%.2f s for each, %d stopped while attached to; before and after: goroutines %d and %d, heap %.1f and %.1f MiB, descriptors of virtsentryd %d and %d, "+
		"of lttng-sessiond %d and %d, of lttng-consumerd %d and %d; memory of lttng-sessiond %.0f and %.0f MiB, of lttng-consumerd %.0f and %.0f MiB",
		c.Elapsed.Seconds()/float64(max(1, c.Starts)), c.Hasty, c.Before.Routines, c.After.Routines, mib(c.Before.Heap), mib(c.After.Heap), c.Before.Daemon.Files, c.After.Daemon.Files,
		c.Before.Sessiond.Files, c.After.Sessiond.Files, c.Before.Consumerd.Files, c.After.Consumerd.Files,
		mib(c.Before.Sessiond.PSS), mib(c.After.Sessiond.PSS), mib(c.Before.Consumerd.PSS), mib(c.After.Consumerd.PSS))
}
