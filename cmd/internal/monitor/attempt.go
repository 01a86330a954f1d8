package monitor

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// attachLimit is how long an attempt to attach may take before its domain counts as blind. The attempt goes on.
const attachLimit = 5 * time.Second

// attempt is one to make a source, on a goroutine of its own: a session daemon that hangs must not hold the watcher.
type attempt struct {
	proc qemu.Process

	ended  chan struct{} // closed when source and err are set
	source source
	err    error

	// Owned by the watcher's goroutine.
	late   bool          // the watcher has waited in vain
	closed chan struct{} // closed when the source of an abandoned one is; nil: it is wanted
}

// obtain makes a source for a process. Requests are served meanwhile. There is one attempt at a time: the result of one that takes too long is
// that of a later call. Errors: errSilent; that of ctx.
func (w *watcher) obtain(ctx context.Context, p qemu.Process) (source, error) {
	if w.attempt != nil && w.attempt.proc != p {
		w.abandon()
	}
	if a := w.attempt; a != nil && a.closed != nil {
		// A session's name is its process's, so nothing is begun until the last one is gone.
		if err := w.waitFor(ctx, a.closed); err != nil {
			return nil, err
		}
		w.attempt = nil
	}
	if w.attempt == nil {
		a := &attempt{proc: p, ended: make(chan struct{})}
		w.attempt = a
		wish := w.wish()
		w.wished = wish
		go func() {
			defer close(a.ended)
			a.source, a.err = w.m.attach(w.domain, p, wish)
		}()
	}
	a := w.attempt
	if err := w.waitFor(ctx, a.ended); err != nil {
		if !a.late {
			a.late = true
			go func() { <-a.ended; w.attachNow() }()
		}
		return nil, err
	}
	w.attempt = nil
	return a.source, a.err
}

// waitFor serves requests until something has ended, for no longer than attachLimit. Errors: errSilent; that of ctx.
func (w *watcher) waitFor(ctx context.Context, ended <-chan struct{}) error {
	if !w.sleep(ctx, attachLimit, ended) {
		return ctx.Err()
	}
	select {
	case <-ended:
		return nil
	default:
		return errSilent
	}
}

// abandon lets an attempt go that is still under way: its source is closed when it comes.
func (w *watcher) abandon() {
	a := w.attempt
	if a == nil || a.closed != nil {
		return
	}
	a.closed = make(chan struct{})
	go func() {
		defer close(a.closed)
		<-a.ended
		if a.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		if err := a.source.close(ctx); err != nil {
			w.log.WithError(err).Warn("a session that nobody waits for any more was not ended")
		}
		w.m.buffers.release(a.source.memory())
		w.log.WithFields(logrus.Fields{"pid": a.proc.PID}).Info("a session came too late, and was ended")
	}()
}
