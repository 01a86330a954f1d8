package monitor

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	// collectDelay is how long after a unit's end it is collected; spread adds a part that differs from domain to domain.
	collectDelay = 100 * time.Millisecond
	spread       = 300 * time.Millisecond
	collectLimit = 10 * time.Second // for one rotation
	closeLimit   = 10 * time.Second // for the last one
	// registerLimit is how long an attached QEMU may take to register with LTTng before its domain counts as blind.
	registerLimit = 6 * time.Second
	attachRetry   = 2 * time.Second
	attachMost    = 30 * time.Second // between tries
	requestQueue  = 16
)

// watcher watches one domain from the moment it runs until its QEMU is gone. One goroutine runs it; the rest talks to it through do, stop and status.
type watcher struct {
	domain libvirt.Domain
	m      *Monitor
	log    logrus.FieldLogger
	judge  *judge
	record *recorder
	early  bool // the domain's CPUs did not run yet when watching began; set before run

	requests chan func()
	cancel   context.CancelFunc
	stopping atomic.Bool
	done     chan struct{}

	// Owned by the goroutine.
	proc     libvirt.Process
	booted   time.Time // when proc began
	source   source
	attached time.Time
	heard    bool // the QEMU has registered with LTTng
	paused   bool
	pausedAt time.Time       // wall clock; units that end before it are whole
	resumed  time.Time       // units that start before it are not judged
	blind    *control.Reason // why nothing is seen; nil: something is
	devices  []libvirt.Device
	known    bool      // devices have been read
	said     time.Time // when the state was last announced; zero: never
	again    time.Time // when it was last written again because somebody had changed it

	mu  sync.Mutex           // guards now, and proc where others read it
	now control.DomainStatus // what others may see
}

func newWatcher(d libvirt.Domain, m *Monitor) (*watcher, error) {
	log := m.log.WithFields(logrus.Fields{"domain": d.Name, "uuid": d.UUID})
	j, err := newJudge(d, m.cfg, m.engine, m.store)
	if err != nil {
		return nil, fmt.Errorf("watch domain %s: %w", d.UUID, err)
	}
	w := &watcher{
		domain: d, m: m, log: log, judge: j,
		requests: make(chan func(), requestQueue), done: make(chan struct{}),
	}
	w.record = newRecorder(func(s libvirt.State) error { return m.setState(d.UUID, s) }, log)
	w.now = control.DomainStatus{UUID: d.UUID, Name: d.Name, State: stateStarting, Since: time.Now()}
	return w, nil
}

// status is a copy of what is known now.
func (w *watcher) status() control.DomainStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// stop makes run return, soon.
func (w *watcher) stop() {
	w.stopping.Store(true)
	w.cancel()
}

// stale says whether the watcher is about to end: it was stopped, or its process is gone.
func (w *watcher) stale() bool {
	w.mu.Lock()
	proc := w.proc
	w.mu.Unlock()
	return w.stopping.Load() || proc.PID != 0 && !w.m.processes.Alive(proc)
}

// do runs f on the watcher's goroutine, soon. It says false when too much is waiting already.
func (w *watcher) do(f func()) bool {
	select {
	case w.requests <- f:
		return true
	default:
		return false
	}
}

// run watches until ctx ends (because the domain stopped, or the daemon does) or the domain's process is gone.
func (w *watcher) run(ctx context.Context) {
	defer close(w.done)
	writing, stopWriting := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() { w.record.run(writing) })
	defer func() { stopWriting(); writer.Wait() }()

	w.refresh()
	if !w.attach(ctx) {
		w.leave()
		return
	}
	w.loop(ctx)
	w.detach()
	w.leave()
}

// attach finds the domain's process and attaches a source to it, trying again until ctx ends. It says whether there is one.
func (w *watcher) attach(ctx context.Context) bool {
	for wait := attachRetry; ; wait = min(2*wait, attachMost) {
		err := w.tryAttach()
		if err == nil {
			return true
		}
		w.blindness(attachReason(err))
		w.log.WithError(err).Warn("not attached; trying again")
		if !w.sleep(ctx, wait) {
			return false
		}
	}
}

func (w *watcher) tryAttach() error {
	proc, err := w.m.processes.Find(w.domain)
	if err != nil {
		return err
	}
	age, err := w.m.processes.Age(proc)
	if err != nil {
		return err
	}
	s, err := w.m.attach(w.domain, proc)
	if err != nil {
		return err
	}
	now := time.Now()
	w.edit(func(d *control.DomainStatus) {
		w.proc, d.PID = proc, proc.PID
		if d.Missed = age.Seconds(); w.early {
			d.Missed = 0
		}
	})
	w.early = false // a second session of the same process comes late
	w.booted, w.source, w.attached, w.heard = now.Add(-age), s, now, false
	w.blind = nil
	w.log.WithFields(logrus.Fields{"pid": proc.PID, "missed_seconds": w.status().Missed}).Info("attached")
	w.refresh()
	return nil
}

func attachReason(err error) *control.Reason {
	code := reasonAttachFailed
	switch {
	case errors.Is(err, libvirt.ErrNoProcess):
		code = reasonNoProcess
	case errors.Is(err, lttng.ErrNoSessionDaemon):
		code = reasonNoDaemon
	case errors.Is(err, lttng.ErrPermission):
		code = reasonNoAccess
	}
	return because(code, err.Error())
}

// sleep serves requests for a while; false when ctx ended.
func (w *watcher) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case f := <-w.requests:
			f()
		case <-t.C:
			return true
		}
	}
}

// loop collects after the end of each unit until ctx ends or the process is gone.
func (w *watcher) loop(ctx context.Context) {
	for w.sleep(ctx, w.untilCollect()) {
		w.collect(ctx)
		if !w.m.processes.Alive(w.proc) {
			w.log.Info("its QEMU has ended")
			return
		}
		if w.source == nil && !w.attach(ctx) {
			return
		}
	}
}

// untilCollect is the time until shortly after the next multiple of two seconds.
func (w *watcher) untilCollect() time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(w.domain.UUID))
	offset := collectDelay + time.Duration(h.Sum32())%spread
	now := time.Now().Add(-offset)
	return unit.Width - now.Sub(now.Truncate(unit.Width))
}

func (w *watcher) collect(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	b, err := w.source.collect(limited)
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, errUnreadable) {
		// Its units are marked as lossy; until a chunk can be read again, nothing is known of the domain.
		w.blind = because(reasonUnreadable, err.Error())
		w.edit(func(d *control.DomainStatus) { d.Units.Unread += uint64(len(b.units)) })
	} else if len(b.units) > 0 {
		w.blind = nil
	}
	w.take(b)
	if err != nil {
		w.trouble(err)
		return
	}
	if !w.heard && time.Since(w.attached) > registerLimit && w.m.processes.Alive(w.proc) {
		w.blindness(because(reasonNoTracePoints, fmt.Sprintf(
			"QEMU (process %d) has not registered with LTTng: it needs the ust trace backend, and access to LTTng's socket and /dev/shm/lttng-ust-wait-*", w.proc.PID)))
	}
}

// trouble is what to do when a collection failed.
func (w *watcher) trouble(err error) {
	w.log.WithError(err).Error("could not collect")
	if errors.Is(err, lttng.ErrNoSessionDaemon) || errors.Is(err, lttng.ErrNoSession) {
		// The session is gone with its daemon: attach again when there is one.
		_ = w.source.close(context.Background())
		w.source = nil
		w.blindness(attachReason(err))
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
}

// leave says for the last time what is true: where the domain still runs, nobody watches it now.
func (w *watcher) leave() {
	if w.proc.PID == 0 || w.m.processes.Alive(w.proc) {
		w.blindness(because(reasonStopped, "virtsentryd has stopped watching"))
	}
	w.log.Info("detached")
}
