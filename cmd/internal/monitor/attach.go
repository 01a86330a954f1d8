package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	// collectDelay is how long after a unit's end, and the source's lag, it is collected; spread adds a part that differs from domain to domain, where the lag does not.
	collectDelay = 100 * time.Millisecond
	spread       = 300 * time.Millisecond
	// together is what collections wait for each other: a processor that is woken once for several of them takes less of its time for each.
	together     = 200 * time.Millisecond
	collectLimit = 10 * time.Second // for one rotation
	closeLimit   = 10 * time.Second // for the last one
	// registerLimit is how long an attached QEMU may take to register with LTTng before its domain counts as blind.
	registerLimit = 6 * time.Second
	attachRetry   = 2 * time.Second
	attachMost    = 30 * time.Second // between tries
	// failuresMost is how many collections may fail, one after the other, before the session is given up and another one is made.
	failuresMost = 3
)

// attach finds the domain's process and attaches a source to it, trying again until ctx ends or the domain is not to be watched. It says
// whether there is one.
func (w *watcher) attach(ctx context.Context) bool {
	for wait := attachRetry; ; wait = min(2*wait, attachMost) {
		if !w.awaitTurn(ctx) {
			return false
		}
		err := w.tryAttach(ctx)
		if err == nil {
			return true // its turn ends when it has given something
		}
		w.endTurn()
		switch {
		case ctx.Err() != nil:
			return false
		case w.gone():
			w.log.Info("its QEMU has ended")
			return false
		case errors.Is(err, lttng.ErrNoSessionDaemon), errors.Is(err, errBuffers): // to ask for it is cheap
			wait = attachRetry
		}
		w.blindness(attachReason(err))
		w.complain(err, "not attached; trying again")
		if !w.sleep(ctx, wait, w.look) || !w.settings.Watch {
			return false
		}
	}
}

// tryAttach attaches a source to the domain's process. What was wrong before is over when the source has given something.
func (w *watcher) tryAttach(ctx context.Context) error {
	proc, err := w.find()
	if err != nil {
		return err
	}
	age, err := w.m.processes.Age(proc)
	if err != nil {
		return err
	}
	if w.ledger.reasons == nil {
		w.born(age)
		w.ledger.fill(now(), unseen(w.missed(proc, age)))
	}
	s, err := w.obtain(ctx, proc)
	if err != nil {
		return err
	}
	now := now()
	before := codeOf(cmp.Or(w.usurped, w.blind)) // why the time up to now was not seen
	if w.proc.PID == 0 {                         // not again after a restart of the session daemon: what was seen before was seen
		missed := w.missed(proc, age)
		w.edit(func(d *control.DomainStatus) { w.proc, d.PID, d.Missed = proc, proc.PID, missed.Seconds() })
		w.life = w.m.life(proc)
		w.boot.begin(now-int64(age), time.Duration(w.settings.Learning.Starting))
		if w.restored, err = w.m.processes.Restored(proc); err != nil {
			w.log.WithError(err).Warn("not known whether the guest was restored: it boots, presumably")
		}
		if w.ran && !w.paused { // libvirt was quicker
			w.resume(now)
		}
		before = cmp.Or(before, unseen(missed))
	}
	w.ledger.fill(now, cmp.Or(before, reasonAttaching))
	w.source, w.attached, w.heard = &patient{source: s, heed: w.heed}, time.Now(), false
	w.judge.observeBy(s.counts())
	w.edit(func(d *control.DomainStatus) { d.BufferBytes, d.Sources = s.memory(), s.observed() })
	if w.build, err = w.m.processes.BuildID(proc); err != nil {
		w.log.WithError(err).Warn("which build of QEMU it is, is not known")
	}
	w.identify()
	w.log.WithFields(logrus.Fields{"pid": proc.PID, "missed_seconds": w.status().Missed}).Info("attached")
	w.refresh()
	return nil
}

// notYet is less CPU time than a guest's first instructions take: virtual CPUs that were made, and have not run.
const notYet = 10 * time.Millisecond

// missed is for how long the guest has run unseen, now that it is attached to.
func (w *watcher) missed(proc qemu.Process, age time.Duration) time.Duration {
	ran, err := w.m.processes.GuestTime(proc)
	if err != nil {
		w.log.WithError(err).Warn("not known since when the guest runs: as long as its QEMU, presumably")
		return age
	}
	if ran < notYet {
		return 0
	}
	return age
}

// unseen is the reason of the time before a guest was attached to, for so much of which it ran.
func unseen(missed time.Duration) string {
	if missed > 0 {
		return reasonLateAttach
	}
	return reasonBooting
}

func attachReason(err error) *control.Reason {
	code := reasonAttachFailed
	switch {
	case errors.Is(err, qemu.ErrNoProcess):
		code = reasonNoProcess
	case errors.Is(err, lttng.ErrNoSessionDaemon):
		code = reasonNoDaemon
	case errors.Is(err, lttng.ErrPermission):
		code = reasonNoAccess
	case errors.Is(err, errBuffers):
		code = reasonBuffers
	case errors.Is(err, lttng.ErrIdentity):
		code = reasonIdentity
	case errors.Is(err, probe.ErrNoHelper):
		code = reasonNoHelper
	case errors.Is(err, probe.ErrRefused):
		code = reasonNoAccess
	case errors.Is(err, errSources):
		code = reasonNoTracePoints
	}
	return because(code, err.Error())
}

// complain logs an error, but not the same one again and again. What makes a trace unreadable is the traced process's choice, each time another: it is not to
// fill the log.
func (w *watcher) complain(err error, what string) {
	text := err.Error()
	if errors.Is(err, errUnreadable) {
		text = errUnreadable.Error()
	}
	if text != w.trouble {
		w.trouble = text
		w.log.WithError(err).Warn(what)
	}
}

// loop collects after the end of each unit until ctx ends, the process is gone, or the domain is not to be watched.
func (w *watcher) loop(ctx context.Context) {
	alive, end := w.m.processes.Watch(w.proc)
	defer end()
	for w.sleep(ctx, w.untilCollect(), nil) && w.settings.Watch {
		w.collect()
		if !alive() {
			w.log.Info("its QEMU has ended")
			return
		}
		w.extend(ctx)
		if w.source == nil && !w.attach(ctx) {
			return
		}
	}
}

// untilCollect is the time until shortly after the next unit is complete.
func (w *watcher) untilCollect() time.Duration {
	offset := collectDelay
	if !w.hurried {
		offset += cmp.Or(w.source.lag(), w.spread())
	}
	at := time.Now().UnixNano()
	if w.grid != 0 { // the host's clock may have been set since the source was made
		at = now() - w.grid
	}
	left := unit.Width - (time.Duration(at)-offset)%unit.Width
	if w.hurried {
		return left
	}
	clock := time.Duration(now())
	return (clock+left+together-1)/together*together - clock
}

// spread is the domain's part of it.
func (w *watcher) spread() time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(w.domain.UUID))
	return time.Duration(h.Sum32()) % spread
}

func (w *watcher) collect() {
	ctx, cancel := context.WithTimeout(context.Background(), collectLimit)
	defer cancel()
	b, err := w.source.collect(ctx, w.hurried)
	switch {
	case errors.Is(err, errUnreadable) && !errors.Is(err, errDropped):
		// Its units are marked as lossy; until a chunk can be read again, nothing is known of the domain.
		w.blind = because(reasonUnreadable, err.Error())
		w.edit(func(d *control.DomainStatus) { d.Units.Unread += uint64(len(b.units)) })
	case err == nil && len(b.units) > 0:
		w.blind, w.usurped, w.failures, w.trouble = nil, nil, 0, ""
		if w.foreign == nil {
			w.shut(incidentIdentity)
		}
	}
	w.take(b)
	value, _ := w.state()
	w.hurry(value == stateSuspect)
	if err != nil {
		w.failed(err)
		return
	}
	if !w.heard && time.Since(w.attached) > registerLimit && w.m.processes.Alive(w.proc) {
		w.endTurn()
		w.blindness(w.unheard())
	}
}

// unheard says why the QEMU has not been heard of.
func (w *watcher) unheard() *control.Reason {
	if there, err := lttng.Registered(w.proc.PID); err == nil && there {
		return because(reasonNoTracePoints, fmt.Sprintf("QEMU (process %d) is registered with LTTng, and nothing of it is recorded: lttng-sessiond has no memory for its "+
			"ring buffers, or another process has registered by its process ID since (end that, and restart lttng-sessiond)", w.proc.PID))
	}
	return because(reasonNoTracePoints, fmt.Sprintf(
		"QEMU (process %d) has not registered with LTTng: it needs the ust trace backend, and access to LTTng's socket and /dev/shm/lttng-ust-wait-*", w.proc.PID))
}

// failed is what follows when a collection failed: nothing is seen, and a session that does not recover is given up.
func (w *watcher) failed(err error) {
	w.complain(err, "could not collect")
	if errors.Is(err, errUnreadable) && !errors.Is(err, errDropped) {
		return // the session itself is well
	}
	why := attachReason(err)
	if why.Code == reasonAttachFailed {
		why.Code = reasonCollectFailed
	}
	if errors.Is(err, errNoRoom) { // another session would have none either
		w.blindness(why)
		return
	}
	w.failures++
	if errors.Is(err, lttng.ErrIdentity) {
		w.failures = failuresMost // the session records another process, too
		w.usurped = why           // until the domain's own reports again
		w.report(incidentIdentity, err.Error())
	}
	w.blindness(why) // at once: to end a session may take long
	gone := errors.Is(err, lttng.ErrNoSessionDaemon) || errors.Is(err, lttng.ErrNoSession) || errors.Is(err, probe.ErrNoHelper)
	if gone || errors.Is(err, errDropped) || w.failures >= failuresMost {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		if closeErr := w.source.close(ctx); closeErr != nil && !gone {
			w.log.WithError(closeErr).Warn("a session was given up")
		}
		w.drop()
	}
}

// detach ends the source and judges what it still gives.
func (w *watcher) detach() {
	if w.source == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	b, err := w.source.finish(ctx)
	w.take(b)
	if err = errors.Join(err, w.source.close(ctx)); err != nil {
		w.log.WithError(err).Warn("the last units were not read in full")
	}
	why := reasonPartial
	if value, reason := w.state(); value == stateBlind || value == statePaused {
		why = reason.Code
	}
	w.drop()
	switch {
	case !w.settings.Watch: // nobody wants to know any more
		w.loss = lossWatch{}
		w.foreign, w.usurped, w.doubt, w.blind = nil, nil, nil, nil
		for _, kind := range []string{incidentAnomaly, incidentIdentity, incidentLoss, incidentReboots, incidentTrace} {
			w.end(kind, control.ClosedPolicy)
		}
	case !w.m.processes.Alive(w.proc):
		w.ledger.fill(now(), why)
	}
}

// drop forgets a source that was closed.
func (w *watcher) drop() {
	w.m.buffers.release(w.source.memory())
	w.source, w.heard, w.grid = nil, false, 0
	w.endTurn()
	w.hurry(false)
	w.judge.gap()
	w.edit(func(d *control.DomainStatus) { d.BufferBytes, d.Sources = 0, nil })
}
