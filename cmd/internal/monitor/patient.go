package monitor

import (
	"context"
	"errors"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// errSilent says that a source did not answer in time.
var errSilent = errors.New("the tracer does not answer in time (restart lttng-sessiond; or virtsentry-probe, where that is used)")

// patient calls a source on goroutines of their own and does not wait for ever: liblttng-ctl has no deadlines, so a session daemon that hangs
// would hold up everything that waits for it. What comes late is returned by the next call. One goroutine uses it.
type patient struct {
	source  source
	heed    func()      // takes note of what has happened meanwhile, before what was seen of that time is given out; nil: of nothing
	pending chan result // a call that is under way
	lagged  time.Duration
}

type result struct {
	batch batch
	err   error
}

func (p *patient) collect(ctx context.Context, hurried bool) (batch, error) {
	defer p.note()
	return p.call(ctx, func() (batch, error) { return p.source.collect(ctx, hurried) })
}

func (p *patient) note() {
	if p.heed != nil {
		p.heed()
	}
}

func (p *patient) finish(ctx context.Context) (batch, error) {
	defer p.note()
	var late batch
	if p.pending != nil {
		var err error
		if late, err = p.call(ctx, nil); errors.Is(err, errSilent) {
			return late, err
		}
	}
	b, err := p.call(ctx, func() (batch, error) { return p.source.finish(ctx) })
	b.units = append(late.units, b.units...)
	b.late += late.late
	b.spent += late.spent
	return b, err
}

func (p *patient) close(ctx context.Context) error {
	if p.pending != nil {
		if _, err := p.call(ctx, nil); errors.Is(err, errSilent) {
			return err
		}
	}
	_, err := p.call(ctx, func() (batch, error) { return batch{}, p.source.close(ctx) })
	return err
}

func (p *patient) at(t int64) int64 { return p.source.at(t) }

// lag is what it was last while a call is under way.
func (p *patient) lag() time.Duration {
	if p.pending == nil {
		p.lagged = p.source.lag()
	}
	return p.lagged
}

func (p *patient) memory() uint64 { return p.source.memory() }

func (p *patient) counts() *features { return p.source.counts() }

// observed says what is known; while a call is under way, nothing new is.
func (p *patient) observed() []control.Source {
	if p.pending != nil {
		return nil
	}
	return p.source.observed()
}

// within runs f on a goroutine of its own and waits for it no longer than limit. Errors: those of f; errSilent, and f goes on.
func within(limit time.Duration, f func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
		return errSilent
	}
}

// call starts f, unless a call is under way, and waits for its result until ctx ends.
func (p *patient) call(ctx context.Context, f func() (batch, error)) (batch, error) {
	older := p.pending != nil
	if !older {
		ended := make(chan result, 1)
		p.pending = ended
		go func() {
			var r result
			took := spent(func() { r.batch, r.err = f() })
			r.batch.spent += took
			ended <- r
		}()
	}
	select {
	case r := <-p.pending:
		p.pending = nil
		return r.batch, r.err
	case <-ctx.Done():
	}
	if older { // its own deadline is long over
		return batch{}, errSilent
	}
	// What f says of a deadline that it has kept itself is better than that there was one.
	grace := time.NewTimer(time.Second)
	defer grace.Stop()
	select {
	case r := <-p.pending:
		p.pending = nil
		return r.batch, r.err
	case <-grace.C:
		return batch{}, errSilent
	}
}
