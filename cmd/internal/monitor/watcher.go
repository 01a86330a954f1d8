package monitor

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// requestQueue bounds what waits to be done on a watcher's goroutine.
const requestQueue = 16

// watcher watches one domain from the moment it runs until its QEMU is gone. One goroutine runs it; the rest talks to it through do, stop and status.
type watcher struct {
	domain libvirt.Domain
	m      *Monitor
	log    logrus.FieldLogger
	judge  *judge
	record *recorder

	requests chan func()
	cancel   context.CancelFunc
	stopping atomic.Bool
	done     chan struct{}

	// Owned by the goroutine.
	proc     qemu.Process
	booted   time.Time // when proc began
	source   source
	attached time.Time
	heard    bool // the QEMU has registered with LTTng
	paused   bool
	pausedAt time.Time       // wall clock; units that end before it are whole
	resumed  time.Time       // units that start before it are not judged
	failures int             // collections that failed, one after the other
	trouble  string          // the last failure that was logged
	blind    *control.Reason // why nothing is seen; nil: something is
	hardware libvirt.Hardware
	known    bool      // the hardware has been read
	build    string    // of the QEMU
	said     time.Time // when the state was last announced; zero: never
	recent   recent    // units that may be marked as normal
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
	if w.attach(ctx) {
		w.loop(ctx)
		w.detach()
	}
	// Where the whole daemon ends and the guest goes on, nobody watches it from now on. In other cases somebody does, or there is none.
	if w.m.ending.Load() && (w.proc.PID == 0 || w.m.processes.Alive(w.proc)) {
		w.blindness(because(reasonStopped, "virtsentryd has stopped watching"))
	}
	w.log.Info("detached")
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
