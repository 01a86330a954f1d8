package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
)

const (
	reconcileEvery = 30 * time.Second // also without any sign of a lost event
	connectRetry   = time.Second
	connectMost    = 30 * time.Second
	endLimit       = 25 * time.Second // for all watchers to end
)

// errDisconnected says that there is no connection to libvirt just now.
var errDisconnected = errors.New("no connection to libvirt")

// Monitor watches all running domains of one libvirt daemon. It is the backend of the control socket.
type Monitor struct {
	cfg       config.Config
	engine    model.Engine
	store     *model.Store
	log       logrus.FieldLogger
	processes libvirt.Processes
	attach    func(libvirt.Domain, libvirt.Process) (source, error)
	units     hub
	hooks     *hooks.Runner
	host      string
	bootID    string
	ending    atomic.Bool // the daemon ends

	mu       sync.Mutex // guards the fields below
	conn     *libvirt.Connection
	watchers map[string]*watcher // by UUID
	running  sync.WaitGroup
}

// New makes a monitor. The engine trains profiles.
func New(cfg config.Config, engine model.Engine, log logrus.FieldLogger) *Monitor {
	m := &Monitor{
		cfg: cfg, engine: engine, log: log,
		store:     model.NewStore(cfg.Profiles.Dir),
		processes: libvirt.Processes{RunDir: cfg.Libvirt.RunDir, ProcDir: libvirt.DefaultProcDir},
		watchers:  map[string]*watcher{},
	}
	m.attach = m.attachUST
	m.host, m.bootID = hostIdentity(log)
	m.hooks = hooks.New(hooks.Config{Dir: cfg.Hooks.Dir, Timeout: time.Duration(cfg.Hooks.Timeout), Log: log})
	return m
}

// hostIdentity reads the host's name and the identity of its present boot (random(4)).
func hostIdentity(log logrus.FieldLogger) (name, bootID string) {
	name, err := os.Hostname()
	if err != nil {
		log.WithError(err).Warn("the host's name is not known")
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		log.WithError(err).Warn("the host's boot id is not known")
	}
	return name, strings.TrimSpace(string(id))
}

// Run watches until ctx ends. A libvirt daemon that is not there, or goes away, is waited for; domains are watched on meanwhile.
func (m *Monitor) Run(ctx context.Context) error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.clear(); err != nil {
		m.log.WithError(err).Warn("recording sessions of an earlier daemon may be left")
	}
	// Hooks hear of the last change too, so they end last.
	hooking, stopHooks := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { m.hooks.Run(hooking) })
	defer func() { stopHooks(); helpers.Wait() }()
	pokes := m.listen(hooking, &helpers)
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	for wait := connectRetry; ctx.Err() == nil; wait = min(2*wait, connectMost) {
		conn, err := libvirt.Connect(m.cfg.Libvirt.URI)
		if err != nil {
			m.log.WithError(err).Warn("no libvirt; trying again")
			pause(ctx, wait)
			continue
		}
		wait = connectRetry
		m.log.WithField("uri", m.cfg.Libvirt.URI).Info("connected to libvirt")
		m.setConnection(conn)
		m.serve(ctx, watching, conn, pokes)
		if ctx.Err() != nil {
			break
		}
		m.setConnection(nil)
		m.closeConnection(conn)
		m.log.Warn("the connection to libvirt has broken")
	}
	// The watchers write their last word while the connection still stands.
	m.ending.Store(true)
	stop()
	if !m.wait(endLimit) {
		return fmt.Errorf("some domains were not let go of in %v: the LTTng session daemon or libvirt does not answer (virtsentryd --stopped cleans up)", endLimit)
	}
	if conn := m.connection(); conn != nil {
		m.closeConnection(conn)
	}
	return nil
}

// wait waits for the watchers, but not longer than limit.
func (m *Monitor) wait(limit time.Duration) bool {
	ended := make(chan struct{})
	go func() {
		m.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-time.After(limit):
		return false
	}
}

// serve handles events of one connection until it breaks or ctx ends.
func (m *Monitor) serve(ctx, watching context.Context, conn *libvirt.Connection, pokes <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	var early sync.WaitGroup
	early.Go(func() { m.starts(ctx, watching) })
	defer func() { cancel(); early.Wait() }()
	m.reconcile(watching, conn)
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-conn.Closed():
			return
		case <-pokes:
			m.reconcile(watching, conn)
		case e := <-conn.Events():
			m.event(watching, e)
		case <-conn.Lost():
			m.log.Warn("libvirt events were missed; reading all domains again")
			m.reconcile(watching, conn)
		case <-tick.C:
			m.reconcile(watching, conn)
		}
	}
}

func (m *Monitor) event(ctx context.Context, e libvirt.Event) {
	m.log.WithFields(logrus.Fields{"domain": e.Domain.Name, "uuid": e.Domain.UUID, "event": e.Kind}).Debug("libvirt event")
	switch e.Kind {
	case libvirt.Started:
		m.watch(ctx, e.Domain)
		m.hardware(e.Domain.UUID)
		// What was said of a domain that was still being started may have been refused.
		if w := m.watcher(e.Domain.UUID); w != nil {
			w.record.retry()
		}
		m.activity(e.Domain.UUID)
	case libvirt.Stopped:
		m.stopped(ctx, e.Domain)
	case libvirt.Suspended, libvirt.Resumed:
		m.activity(e.Domain.UUID)
	case libvirt.DevicesChanged:
		m.hardware(e.Domain.UUID)
	case libvirt.MetadataChanged:
		m.verify(e.Domain.UUID)
	}
}

// reconcile makes the watched domains those that run.
func (m *Monitor) reconcile(ctx context.Context, conn *libvirt.Connection) {
	domains, err := conn.Running()
	if err != nil {
		m.log.WithError(err).Warn("could not read the running domains")
		return
	}
	for _, d := range domains {
		m.watch(ctx, d)
		m.activity(d.UUID)
		m.hardware(d.UUID)
		m.verify(d.UUID)
	}
	m.mu.Lock()
	var gone []string
	for uuid := range m.watchers {
		if !slices.ContainsFunc(domains, func(d libvirt.Domain) bool { return d.UUID == uuid }) {
			gone = append(gone, uuid)
		}
	}
	m.mu.Unlock()
	for _, uuid := range gone {
		m.unwatch(uuid)
	}
}

// starts watches domains from before their CPUs run, until ctx ends. It waits for nothing else, least of all for libvirt, which answers
// no question about a domain while it starts it.
func (m *Monitor) starts(ctx, watching context.Context) {
	starts, err := m.processes.Starts(ctx)
	if err != nil {
		m.log.WithError(err).Warn("domains are attached to only after they have started")
		return
	}
	for d := range starts {
		m.watch(watching, d)
	}
}

// listen hears libvirt's hook. Every poke is a hint to look at all domains; several that come together are one.
func (m *Monitor) listen(ctx context.Context, helpers *sync.WaitGroup) <-chan struct{} {
	listener, err := hooks.Listen(m.cfg.Hooks.Pokes)
	if err != nil {
		m.log.WithError(err).Warn("libvirt's hook is not heard; its events are")
		return nil
	}
	look := make(chan struct{}, 1)
	helpers.Go(func() {
		if err := listener.Run(ctx); err != nil {
			m.log.WithError(err).Warn("libvirt's hook is not heard any more")
		}
	})
	helpers.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case p := <-listener.Pokes():
				m.log.WithFields(logrus.Fields{"domain": p.Domain, "operation": p.Operation}).Debug("poke")
			case <-listener.Lost():
			}
			select {
			case look <- struct{}{}:
			default:
			}
		}
	})
	return look
}

// watch starts a watcher for a domain that has none. One whose process is gone makes room for the new one.
func (m *Monitor) watch(ctx context.Context, d libvirt.Domain) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.watchers[d.UUID]
	if old != nil && !old.stale() {
		return
	}
	w, err := newWatcher(d, m)
	if err != nil {
		m.log.WithError(err).Error("domain is not watched")
		return
	}
	ctx, w.cancel = context.WithCancel(ctx)
	m.watchers[d.UUID] = w
	m.running.Go(func() {
		if old != nil {
			old.stop()
			<-old.done // its session and its files are the old process's own, but its units come first
		}
		w.run(ctx)
		w.stop()
		m.forget(w)
	})
}

// unwatch ends a watcher; it reads what is left by itself.
func (m *Monitor) unwatch(uuid string) {
	if w := m.watcher(uuid); w != nil {
		w.stop()
	}
}

func (m *Monitor) forget(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watchers[w.domain.UUID] == w {
		delete(m.watchers, w.domain.UUID)
	}
}

// stopped ends the watching of a domain that has stopped. The event may be of an earlier life, and the domain run again.
func (m *Monitor) stopped(ctx context.Context, d libvirt.Domain) {
	if conn := m.connection(); conn != nil {
		if now, err := conn.Activity(d.UUID); err == nil && now != libvirt.Inactive {
			m.watch(ctx, d)
			return
		}
	}
	m.unwatch(d.UUID)
}

// activity tells a watcher whether its domain is paused: read again, as the event may be old.
func (m *Monitor) activity(uuid string) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil {
		return
	}
	now, err := conn.Activity(uuid)
	if err != nil {
		m.log.WithError(err).Warn("could not read whether a domain is paused")
		return
	}
	switch now {
	case libvirt.Paused:
		w.do(w.pause)
	case libvirt.Running:
		w.do(w.resume)
	}
}

// hardware tells a watcher what its domain has.
func (m *Monitor) hardware(uuid string) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil {
		return
	}
	h, err := conn.Hardware(uuid)
	switch {
	case errors.Is(err, libvirt.ErrNoDomain):
	case err != nil:
		m.log.WithError(err).Warn("could not read what a domain has")
	default:
		w.do(func() { w.setHardware(h) })
	}
}

// verify has a watcher write its state again where libvirt shows something else: somebody removed or changed it.
func (m *Monitor) verify(uuid string) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil {
		return
	}
	want := w.record.settled()
	if want == nil {
		return
	}
	shown, err := conn.State(uuid)
	if err != nil && !errors.Is(err, libvirt.ErrGarbled) {
		return // nothing is known of it, so nothing is wrong with it
	}
	if err == nil && shown != nil && shown.Same(*want) {
		return
	}
	// A write that began meanwhile is not somebody else's.
	if w.record.settled() == want {
		w.do(w.rewrite)
	}
}

func (m *Monitor) watcher(uuid string) *watcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.watchers[uuid]
}

func (m *Monitor) connection() *libvirt.Connection {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conn
}

func (m *Monitor) setConnection(c *libvirt.Connection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn = c
}

func (m *Monitor) closeConnection(c *libvirt.Connection) {
	if err := c.Close(); err != nil {
		m.log.WithError(err).Debug("closing the connection to libvirt")
	}
}

func (m *Monitor) setState(uuid string, s libvirt.State) error {
	conn := m.connection()
	if conn == nil {
		return errDisconnected
	}
	return conn.SetState(uuid, s)
}

// Domains lists the watched domains by name, control.Backend.
func (m *Monitor) Domains() []control.DomainStatus {
	m.mu.Lock()
	list := make([]control.DomainStatus, 0, len(m.watchers))
	for _, w := range m.watchers {
		list = append(list, w.status())
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b control.DomainStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID))
	})
	return list
}

// Domain finds a watched domain by name or UUID, control.Backend.
func (m *Monitor) Domain(ref string) (control.DomainStatus, error) {
	for _, d := range m.Domains() {
		if d.Name == ref || strings.EqualFold(d.UUID, ref) {
			return d, nil
		}
	}
	return control.DomainStatus{}, fmt.Errorf("%s: %w", ref, control.ErrNoDomain)
}

// Learn makes a domain learn anew, control.Backend.
func (m *Monitor) Learn(ref string, units int) error {
	d, err := m.Domain(ref)
	if err != nil {
		return err
	}
	const fewest, most = 30, 43200
	if units != 0 && (units < fewest || units > most) {
		return fmt.Errorf("%w: %d units; between %d and %d are learnt from", control.ErrRefused, units, fewest, most)
	}
	w := m.watcher(d.UUID)
	if w == nil {
		return fmt.Errorf("%s: %w", ref, control.ErrNoDomain)
	}
	if !w.do(func() { w.relearn(units) }) {
		return fmt.Errorf("%w: domain %s is busy; try again", control.ErrRefused, d.Name)
	}
	return nil
}

// Subscribe delivers all units to come, control.Backend.
func (m *Monitor) Subscribe(ctx context.Context) <-chan control.UnitReport {
	return m.units.subscribe(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
