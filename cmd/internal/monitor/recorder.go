package monitor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/libvirt"
)

const (
	recordRetry   = 2 * time.Second // after a write that failed: the domain's modify job may be taken for long
	recordBacklog = 32              // changes that wait; past that only the newest counts
	recordLast    = 3 * time.Second // for what is still to be written when the daemon stops
)

// recorder writes one domain's elements of one kind into its metadata, in order, on a goroutine of its own, which there is while something is to be written: a write
// waits for the domain's modify job, and the watcher must not.
type recorder[T any] struct {
	what  string // for the log
	write func(T) error
	log   logrus.FieldLogger
	keeps bool // the last one that was written is kept, for settled

	mu      sync.Mutex // guards what follows
	pending []T
	writing bool
	written *T   // the last one that libvirt took, where that is kept
	refused *T   // the last one, when the domain did not run (yet, or any more)
	over    bool // nothing more is to be written
	wake    chan struct{}
	ctx     context.Context //nolint:containedctx // start's; nil: it was not called yet
	ended   chan struct{}   // closed when the goroutine has ended; nil: there is none
	trouble string          // the last failure that was logged; flush's own, of which only one runs at a time
}

func newRecorder[T any](what string, write func(T) error, log logrus.FieldLogger) *recorder[T] {
	return &recorder[T]{what: what, write: write, log: log, wake: make(chan struct{}, 1)}
}

// put hands an element over and never blocks.
func (r *recorder[T]) put(s T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if len(r.pending) == recordBacklog {
		r.pending = r.pending[:0]
	}
	r.pending = append(r.pending, s)
	r.poke()
}

// retry writes again what was refused because the domain did not run.
func (r *recorder[T]) retry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil || r.over {
		return
	}
	if len(r.pending) == 0 && !r.writing { // else there is newer news
		r.pending = append(r.pending, *r.refused)
	}
	r.refused = nil
	r.poke()
}

// discard forgets what is still to be written, and lets nothing more be: the domain may be in its next life already, of which others tell.
func (r *recorder[T]) discard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over, r.pending, r.refused = true, nil, nil
}

func (r *recorder[T]) discarded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// poke has what is pending written. r.mu is held.
func (r *recorder[T]) poke() {
	switch {
	case r.ended != nil:
		select {
		case r.wake <- struct{}{}:
		default:
		}
	case r.ctx != nil && r.ctx.Err() == nil && len(r.pending) > 0:
		r.ended = make(chan struct{})
		go r.work(r.ctx, r.ended)
	}
}

// settled returns what libvirt should show now; nil when nothing was written yet, a write is under way, or it is not kept.
func (r *recorder[T]) settled() *T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writing || len(r.pending) > 0 {
		return nil
	}
	return r.written
}

// start has elements written from now on, until ctx ends.
func (r *recorder[T]) start(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx = ctx
	r.poke()
}

// finish waits until the newest of what is left is written, for no longer than recordLast. start's context has ended. A write that libvirt holds up longer goes on
// by itself, and is the last one.
func (r *recorder[T]) finish() {
	r.mu.Lock()
	ended, over := r.ended, r.over
	r.mu.Unlock()
	if ended == nil || over {
		return
	}
	select {
	case <-ended:
	case <-time.After(recordLast):
		r.discard()
		r.log.Warnf("the last %s was not recorded in time", r.what)
	}
}

// work writes until nothing is left.
func (r *recorder[T]) work(ctx context.Context, ended chan struct{}) {
	defer close(ended)
	for ctx.Err() == nil {
		wait := r.flush()
		if r.rest() {
			return
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer(wait):
		}
	}
	r.mu.Lock()
	r.pending = r.pending[max(0, len(r.pending)-1):]
	r.mu.Unlock()
	for r.flush() > 0 {
		time.Sleep(recordRetry / 10)
	}
	r.rest()
}

// rest says whether nothing is left. Then another goroutine writes what comes.
func (r *recorder[T]) rest() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) > 0 {
		return false
	}
	r.ended = nil
	return true
}

// flush writes what is pending. A positive result is the time to wait before the next try.
func (r *recorder[T]) flush() time.Duration {
	for {
		r.mu.Lock()
		if len(r.pending) == 0 {
			r.mu.Unlock()
			return 0
		}
		s := r.pending[0]
		r.pending = slices.Delete(r.pending, 0, 1)
		more := len(r.pending) > 0
		r.writing = true
		r.mu.Unlock()

		err := r.write(s)
		r.mu.Lock()
		r.writing = false
		r.refused = nil
		if err == nil && r.keeps {
			r.written = &s
		} else if errors.Is(err, libvirt.ErrNoDomain) && !r.over {
			r.refused = &s
		}
		r.mu.Unlock()
		switch {
		case err == nil:
			r.trouble = ""
		case errors.Is(err, libvirt.ErrNoDomain): // nobody is left to tell, or nobody there yet
			if !more {
				return 0
			}
		case more: // newer news: this one has been overtaken
			r.log.WithError(err).Warnf("a change of the %s was not recorded", r.what)
		default:
			if text := err.Error(); text != r.trouble {
				r.trouble = text
				r.log.WithError(err).Warnf("the %s was not recorded; trying again", r.what)
			}
			r.mu.Lock()
			if len(r.pending) == 0 && !r.over {
				r.pending = append(r.pending, s)
			}
			r.mu.Unlock()
			return recordRetry
		}
	}
}

// timer is a channel that fires after d, or never for 0.
func timer(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d)
}
