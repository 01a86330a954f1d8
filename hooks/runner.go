package hooks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// DefaultDir is where operators put their hooks.
const DefaultDir = "/etc/virtsentry/hooks.d"

// Defaults of a Config.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultConcurrency = 4
	DefaultQueue       = 16
	DefaultGrace       = 5 * time.Second
)

// maxDomains bounds the domains that have changes waiting. No host runs so many; a queue must end somewhere.
const maxDomains = 4096

// Config says how hooks are run. Zero values mean the defaults.
type Config struct {
	Dir         string        // its executables are the hooks, run in the order of their names
	Timeout     time.Duration // of one hook
	Concurrency int           // hooks that run at once
	Queue       int           // changes of one domain that wait
	Grace       time.Duration // for what is running and waiting when the Runner is to end
	Before      func(Change)  // called before hooks are run for a change, in its turn; it may wait; nil: nothing is
	Log         logrus.FieldLogger
}

// Runner runs the operators' hooks. The changes of a domain reach its hooks one after the other; those of different domains do not wait
// for each other. Its methods are safe for concurrent use.
type Runner struct {
	cfg     Config
	dropped atomic.Uint64
	wake    chan struct{}

	mu      sync.Mutex // guards the fields below
	domains map[string]*domain
	ready   []*domain // with changes, not running: in the order in which they came
	running int
	ended   bool
}

// domain is the queue of one domain. It exists as long as it holds something or a change of it is at the hooks.
type domain struct {
	uuid    string
	waiting []Change
	missed  uint64
}

// New makes a Runner. Nothing is run before Run.
func New(cfg Config) *Runner {
	cfg.Dir = cmp.Or(cfg.Dir, DefaultDir)
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Concurrency = cmp.Or(cfg.Concurrency, DefaultConcurrency)
	cfg.Queue = cmp.Or(cfg.Queue, DefaultQueue)
	cfg.Grace = cmp.Or(cfg.Grace, DefaultGrace)
	if cfg.Log == nil {
		cfg.Log = logrus.StandardLogger()
	}
	return &Runner{cfg: cfg, wake: make(chan struct{}, 1), domains: map[string]*domain{}}
}

// Notify hands a change over and never blocks. Where a domain's queue is full its oldest change gives way, for each says the whole state.
func (r *Runner) Notify(c Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.domains[c.UUID]
	switch {
	case r.ended || d == nil && len(r.domains) == maxDomains:
		r.dropped.Add(1)
		return
	case d == nil:
		d = &domain{uuid: c.UUID}
		r.domains[c.UUID] = d
		r.ready = append(r.ready, d)
	case len(d.waiting) >= r.cfg.Queue:
		d.waiting = d.waiting[1:]
		d.missed++
		r.dropped.Add(1)
	}
	d.waiting = append(d.waiting, c)
	r.rouse()
}

// Dropped counts the changes that no hook was run for because a queue was full or the Runner had ended.
func (r *Runner) Dropped() uint64 { return r.dropped.Load() }

// Run runs hooks until ctx ends; then it goes on with what waits for Config.Grace at most, kills what still runs, and returns when
// nothing does. It may be called once.
func (r *Runner) Run(ctx context.Context) {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var jobs sync.WaitGroup
	defer jobs.Wait()
	asked := ctx.Done()
	for {
		r.start(working, &jobs)
		if asked == nil && r.idle() {
			break
		}
		select {
		case <-r.wake:
			continue
		case <-asked:
			asked = nil
			last := time.AfterFunc(r.cfg.Grace, cancel)
			defer last.Stop()
			continue
		case <-working.Done():
		}
		break
	}
	r.end()
}

// start gives the changes that are next to hooks, as far as the limit allows.
func (r *Runner) start(ctx context.Context, jobs *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.ready) > 0 && r.running < r.cfg.Concurrency {
		d := r.ready[0]
		r.ready = r.ready[1:]
		c := d.waiting[0]
		d.waiting = d.waiting[1:]
		c.Missed, d.missed = d.missed, 0
		r.running++
		jobs.Go(func() {
			r.deliver(ctx, c)
			r.done(d)
		})
	}
}

// done puts a domain whose change has been delivered back into line.
func (r *Runner) done(d *domain) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	if len(d.waiting) > 0 {
		r.ready = append(r.ready, d)
	} else {
		delete(r.domains, d.uuid)
	}
	r.rouse()
}

func (r *Runner) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.domains) == 0
}

// end counts what is left undelivered, and refuses all that may still come.
func (r *Runner) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	left := 0
	for _, d := range r.domains {
		left += len(d.waiting)
		d.waiting = nil
	}
	r.ready = nil
	if left > 0 {
		r.dropped.Add(uint64(left))
		r.cfg.Log.WithField("changes", left).Warn("hooks were not run for the last changes of state: no time was left")
	}
}

func (r *Runner) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// deliver runs all hooks for one change, one after the other.
func (r *Runner) deliver(ctx context.Context, c Change) {
	c.Schema = Schema
	log := r.cfg.Log.WithFields(logrus.Fields{"domain": c.Name, "uuid": c.UUID, "state": c.State})
	if c.Missed > 0 {
		log.WithField("changes", c.Missed).Warn("hooks are too slow: they were not run for some changes of state")
	}
	input, err := json.Marshal(c)
	if err != nil {
		log.WithError(err).Error("hooks were not run: the change cannot be written as JSON")
		return
	}
	input = append(input, '\n')
	if r.cfg.Before != nil {
		r.cfg.Before(c)
	}
	list, refused := find(r.cfg.Dir)
	for _, err := range refused {
		log.WithError(err).Warn("a hook was not run")
	}
	for _, h := range list {
		r.one(ctx, h, c.arguments(), input, log.WithField("hook", h.name))
	}
}

func (r *Runner) one(ctx context.Context, h hook, args []string, input []byte, log *logrus.Entry) {
	limited, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	began := time.Now()
	out, err := execute(limited, h, args, input)
	log = log.WithField("seconds", time.Since(began).Round(time.Millisecond).Seconds())
	if out != "" {
		log = log.WithField("output", out)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		log.WithError(err).WithField("limit", r.cfg.Timeout.String()).Warn("hook took too long")
	case err != nil:
		log.WithError(err).Warn("hook failed")
	case out != "":
		log.Info("hook said something")
	default:
		log.Debug("hook was run")
	}
}
