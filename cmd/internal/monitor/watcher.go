package monitor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// requestQueue bounds what waits to be done on a watcher's goroutine.
const requestQueue = 16

// watcher watches one domain from the moment it runs until its QEMU is gone. One goroutine runs it; the rest talks to it through do, stop and status.
type watcher struct {
	domain    libvirt.Domain
	m         *Monitor
	log       logrus.FieldLogger
	judge     *judge
	published *model.Profile // that the profile element was written of
	record    *recorder[libvirt.State]
	publish   *recorder[publication]
	carried   *recorder[struct{}]               // writes the incidents
	restore   *recorder[string]                 // the policy element
	stays     atomic.Bool                       // the profile does not go into the domain's metadata
	element   atomic.Pointer[[sha256.Size]byte] // digest of the profile element that libvirt took last; nil: none
	unsure    atomic.Bool                       // somebody else may have changed the profile element

	requests chan func() // what somebody waits for
	news     *news
	look     chan struct{}                      // there may be a process now: attach at once
	asked    atomic.Pointer[libvirt.Connection] // that was asked what profile the domain has brought along
	cancel   context.CancelFunc
	stopping atomic.Bool
	done     chan struct{}

	// Owned by the goroutine.
	settings config.Domain
	proc     qemu.Process
	boot     boot
	ran      bool // libvirt has said that the guest's CPUs run
	restored bool // the guest ran before, and goes on: it does not boot
	source   source
	wished   wish          // by which the source was made, or is being made
	retried  time.Time     // when more of the wish was last asked for
	patience time.Duration // until it is asked for again
	attempt  *attempt      // to make a source, which has not ended yet
	turn     bool          // it is this domain's turn to be attached to
	hurried  bool          // its units are collected right after their end
	attached time.Time
	heard    bool // the QEMU has registered with LTTng
	paused   bool
	pausedAt int64           // CLOCK_MONOTONIC, nanoseconds; units that end before it are whole
	resumed  int64           // likewise; units that start before it are not judged
	held     held            // stopped for moments
	failures int             // collections that failed, one after the other
	trouble  string          // the last failure that was logged
	blind    *control.Reason // why nothing is seen; nil: something is
	loss     lossWatch
	over     string // why some events are not recorded all the time; empty: all are
	reboots  reboots
	ledger   ledger
	recent   recent
	timeline timeline
	doubt    *control.Reason // why it is not known whose the newest trace is; nil: the QEMU's
	foreign  *control.Reason // why its process is not taken for its QEMU; nil: it is
	usurped  *control.Reason // who else reports by its process ID; nil: nobody, as far as its own units tell
	hardware libvirt.Hardware
	known    bool      // the hardware has been read
	build    string    // of the QEMU
	said     time.Time // when the state was last announced; zero: never
	saidAt   int64     // likewise, CLOCK_MONOTONIC, nanoseconds
	again    time.Time // when it was last written again because somebody had changed it
	anew     time.Time // likewise the profile
	changed  bool      // somebody has changed it since, too soon to write it again at once
	grid     int64     // CLOCK_MONOTONIC, nanoseconds, when the units' clock was 0; 0: no unit has come of this source
	open     incidents
	past     anomalies
	drift    driftWatch

	came      []control.IncidentRecord // from the host that the domain came from, not taken in yet
	wrong     error                    // of the settings when it was made, which is still to be told of
	life      string                   // of the domain, as the history names it; empty: not known yet
	chronicle chronicle

	mu  sync.Mutex           // guards now, and proc where others read it
	now control.DomainStatus // what others may see
}

func newWatcher(d libvirt.Domain, m *Monitor) (*watcher, error) {
	log := m.log.WithFields(logrus.Fields{"domain": d.Name, "uuid": d.UUID})
	settings, wrong := m.settings(d)
	j, err := newJudge(d, settings, m.usual(settings.Sources), m.engine, m.store)
	if err != nil {
		return nil, fmt.Errorf("watch domain %s: %w", d.UUID, err)
	}
	j.meter = m.meter
	w := &watcher{
		domain: d, m: m, log: log, judge: j, settings: settings,
		requests: make(chan func(), requestQueue), news: newNews(), look: make(chan struct{}, 1), done: make(chan struct{}),
	}
	w.record = newRecorder("state", func(s libvirt.State) error {
		m.history.Await(d.UUID, announceLimit) // what is announced is not lost
		return m.setState(d.UUID, s)
	}, log)
	w.record.keeps = true
	w.publish = newRecorder("profile", w.writeProfile, log)
	w.carried = newRecorder("list of incidents", w.writeIncidents, log)
	w.restore = newRecorder("policy", func(text string) error { return m.restorePolicy(d.UUID, text) }, log)
	w.wrong = wrong
	w.now = control.DomainStatus{UUID: d.UUID, Name: d.Name, ID: d.ID, State: stateStarting, Since: time.Now()}
	return w, nil
}

// status is a copy of what is known now.
func (w *watcher) status() control.DomainStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// number notes libvirt's id of the domain, which is not known yet where it is attached to before libvirt says that it runs.
func (w *watcher) number(id int) {
	if id > 0 {
		w.edit(func(d *control.DomainStatus) { d.ID = id })
	}
}

// stop makes run return, soon. Unless the daemon ends, the domain has stopped: what was still to be written of it would be written into its
// next life.
func (w *watcher) stop() {
	w.stopping.Store(true)
	if !w.m.ending.Load() {
		w.silence()
	}
	w.cancel()
}

// silence lets nothing more be written into the domain's metadata.
func (w *watcher) silence() {
	w.record.discard()
	w.publish.discard()
	w.carried.discard()
	w.restore.discard()
}

// stale says whether the watcher is about to end: it was stopped, or its process is gone.
func (w *watcher) stale() bool {
	w.mu.Lock()
	proc := w.proc
	w.mu.Unlock()
	return w.stopping.Load() || proc.PID != 0 && !w.m.processes.Alive(proc)
}

// do runs f on the watcher's goroutine, soon. It says false when too much is waiting already: for what must not be lost, there is news.
func (w *watcher) do(f func()) bool {
	select {
	case w.requests <- f:
		return true
	default:
		return false
	}
}

// run watches until ctx ends (because the domain stopped, or the daemon does) or the domain's process is gone. The session is the process's own, so
// it attaches at once; but the units of the process before it come first, so it collects none until before is closed (nil: there was none).
func (w *watcher) run(ctx context.Context, before <-chan struct{}) {
	defer close(w.done)
	writing, stopWriting := context.WithCancel(context.Background())
	w.record.start(writing)
	w.publish.start(writing)
	w.carried.start(writing)
	w.restore.start(writing)
	defer func() {
		stopWriting()
		var last sync.WaitGroup
		last.Go(w.record.finish)
		last.Go(w.publish.finish)
		last.Go(w.carried.finish)
		last.Go(w.restore.finish)
		last.Wait()
	}()

	if p, err := w.find(); err == nil { // what an earlier daemon left open is there from the first
		w.life = w.m.life(p)
	}
	if w.wrong != nil { // not before: whoever makes a watcher holds what telling of an incident needs
		w.report(incidentPolicy, w.wrong.Error())
	}
	w.refresh()
	for w.watch(ctx, before) {
	}
	w.abandon()
	w.endTurn()
	w.await(before)
	// Where the whole daemon ends and the guest goes on, nobody watches it from now on. In other cases somebody does, or there is none.
	if w.m.ending.Load() && !w.gone() {
		w.blindness(because(reasonStopped, "virtsentryd has stopped watching"))
		w.suspend()
	} else {
		w.silence()
		w.concludeAll(control.ClosedDomain)
	}
	w.log.Info("detached")
}

// watch attaches, collects and detaches once; where the domain is not to be watched, it waits. It says whether that is worth doing again.
func (w *watcher) watch(ctx context.Context, before <-chan struct{}) bool {
	if !w.settings.Watch {
		return w.idle(ctx)
	}
	if !w.attach(ctx) {
		w.abandon()
		return ctx.Err() == nil && !w.gone()
	}
	w.await(before)
	w.loop(ctx)
	w.detach()
	return ctx.Err() == nil && !w.gone()
}

// gone says whether the process that is watched has ended.
func (w *watcher) gone() bool { return w.proc.PID != 0 && !w.m.processes.Alive(w.proc) }

// find finds the domain's process. One that follows the process that is watched belongs to the domain's next life, which has its own watcher.
// Errors: qemu.ErrNoProcess.
func (w *watcher) find() (qemu.Process, error) {
	p, err := w.m.processes.Find(w.domain)
	if err == nil && w.proc.PID != 0 && p != w.proc {
		return p, fmt.Errorf("domain %s: process %d has ended, another one follows: %w", w.domain.UUID, w.proc.PID, qemu.ErrNoProcess)
	}
	return p, err
}

// await serves requests until before is closed; nil is.
func (w *watcher) await(before <-chan struct{}) {
	for before != nil {
		select {
		case <-before:
			return
		case f := <-w.requests:
			f()
		case <-w.news.wake:
			w.heed()
		}
	}
}

// idle waits until the domain is to be watched. It says false when ctx or the domain's process has ended.
func (w *watcher) idle(ctx context.Context) bool {
	for !w.settings.Watch {
		w.refresh()
		if !w.sleep(ctx, unit.Width, nil) {
			return false
		}
		if _, err := w.find(); errors.Is(err, qemu.ErrNoProcess) {
			return false
		}
	}
	return true
}

// attachNow ends the wait for the next try to attach.
func (w *watcher) attachNow() {
	select {
	case w.look <- struct{}{}:
	default:
	}
}

// sleep serves requests for a while, or until it is woken; false when ctx ended.
func (w *watcher) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case f := <-w.requests:
			f()
		case <-w.news.wake:
			w.heed()
		case <-wake:
			return true
		case <-t.C:
			return true
		}
	}
}
