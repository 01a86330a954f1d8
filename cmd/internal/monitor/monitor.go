package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/history"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/model"
)

const (
	reconcileEvery = 30 * time.Second // also without any sign of a lost event
	connectRetry   = time.Second
	connectMost    = 2 * time.Second  // a unit: what happens meanwhile, such as a pause, is not heard of
	endLimit       = 25 * time.Second // for all watchers to end
)

// errDisconnected says that there is no connection to libvirt just now.
var errDisconnected = errors.New("no connection to libvirt")

// Monitor watches all running domains of one libvirt daemon. It is the backend of the control socket.
type Monitor struct {
	cfg       config.Config                 // as the daemon was started with
	live      atomic.Pointer[config.Config] // as it was read last
	set       *catalogue.Set                // QEMU's own trace points that are counted
	known     *features                     // of all sources
	traced    *features                     // of trace points alone
	groups    []group                       // events of trace points
	engine    model.Engine
	store     *model.Store
	log       logrus.FieldLogger
	processes qemu.Processes
	attach    func(libvirt.Domain, qemu.Process, wish) (source, error)
	dial      func(context.Context) (helper, error) // virtsentry-probe
	units     hub
	tees      tees
	sessions  sessions
	pulse     pulse
	begins    starts
	turns     chan struct{} // to attach
	hurries   chan struct{} // turns to have units collected right after their end
	hooks     *hooks.Runner
	history   *history.Store
	host      string
	bootID    string
	ending    atomic.Bool // the daemon ends
	buffers   *buffers
	meter     Meter
	turned    func() // OnTurn; nil: nobody wants to know

	happenings happenings
	standings  *standings
	surveyor   *surveyor
	closer     *closer
	kept       keptPolicies

	keys    [][]byte   // that profiles in metadata are signed with; the first one signs; none: they are not
	packing sync.Mutex // held while a profile is made ready for a domain's metadata

	policyMu sync.Mutex        // guards policies
	policies map[string]policy // by UUID

	mu       sync.Mutex // guards the fields below
	conn     *libvirt.Connection
	connects uint64              // connections so far
	watchers map[string]*watcher // by UUID
	running  sync.WaitGroup
}

// New makes a monitor, which counts what is in the set. The engine trains profiles.
func New(cfg config.Config, set *catalogue.Set, engine model.Engine, log logrus.FieldLogger) *Monitor {
	m := &Monitor{
		cfg: cfg, set: set, known: newFeatures(set, probe.Sources(), true), traced: newFeatures(set, nil, false), groups: groupsOf(set), engine: engine, log: log,
		store:     model.NewStore(cfg.Profiles.Dir),
		processes: qemu.Processes{RunDir: cfg.Libvirt.RunDir, ProcDir: qemu.DefaultProcDir},
		watchers:  map[string]*watcher{},
		policies:  map[string]policy{},
		buffers:   newBuffers(cfg.LTTng, log),
		turns:     newTurns(attachingMost),
		hurries:   newTurns(hurriedMost),
		meter:     noMeter{},
		surveyor:  newSurveyor(),
		kept:      keptPolicies{dir: cfg.Profiles.Dir},
		standings: newStandings(),
	}
	m.live.Store(&cfg)
	m.attach = m.attachWish
	m.dial = func(ctx context.Context) (helper, error) { return probe.Dial(ctx, cfg.Sources.Socket) }
	m.host, m.bootID = hostIdentity(log)
	m.closer = newCloser(m)
	m.history = newHistory(m)
	m.hooks = hooks.New(hooks.Config{
		Dir: cfg.Hooks.Dir, Timeout: time.Duration(cfg.Hooks.Timeout), Log: log,
		Before: func(c hooks.Change) { m.history.Await(c.UUID, announceLimit) },
	})
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
	saveMemory()
	defer m.tees.close()
	if err := m.clear(); err != nil {
		m.log.WithError(err).Warn("recording sessions of an earlier daemon may be left")
	}
	defer m.keepHistory(ctx)()
	// Hooks hear of the last change too, so they end last.
	hooking, stopHooks := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { m.hooks.Run(hooking) })
	defer func() { stopHooks(); helpers.Wait() }()
	pokes := m.listen(hooking, &helpers)
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	for wait := connectRetry; ctx.Err() == nil; wait = min(2*wait, connectMost) {
		m.gotOn()
		conn, err := m.connect(ctx)
		if ctx.Err() != nil && err != nil {
			break
		}
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
	helpers.Go(m.closer.Close)
	stop()
	if within(endLimit, func() error { m.running.Wait(); return nil }) != nil {
		return fmt.Errorf("some domains were not let go of in %v: the LTTng session daemon or libvirt does not answer (virtsentryd --stopped cleans up)", endLimit)
	}
	if conn := m.connection(); conn != nil && within(recordLast, func() error { m.closeConnection(conn); return nil }) != nil {
		m.log.Warn("libvirt does not answer: its connection is left open") // a write that waits for a domain's modify job holds it
	}
	return nil
}

// keepHistory begins to keep incidents, and returns what ends that. Domains are watched when it is known what an earlier daemon left open, or soon.
func (m *Monitor) keepHistory(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var writer sync.WaitGroup
	writer.Go(func() { m.history.Run(ctx) })
	select {
	case <-m.history.Ready():
	case <-time.After(historyLimit):
		m.log.Warn("history: its disk does not answer; domains are watched without it")
	}
	return func() { stop(); writer.Wait() }
}

// serve handles events of one connection until it breaks or ctx ends.
func (m *Monitor) serve(ctx, watching context.Context, conn *libvirt.Connection, pokes <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	var early sync.WaitGroup
	early.Go(func() { m.starts(ctx, watching) })
	events := newEventLine()
	early.Go(func() { clock(ctx, conn.Events(), events) })
	early.Go(func() { m.surveyor.run(ctx, conn.About) })
	defer func() { cancel(); early.Wait() }()
	m.reconcile(watching, conn)
	m.readPolicies(conn)
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	turn := time.NewTicker(turnEvery)
	defer turn.Stop()
	for {
		m.gotOn()
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		case <-conn.Closed():
			return
		case <-pokes:
			m.reconcile(watching, conn)
		case <-events.more:
			if e, ok := events.take(); ok {
				m.event(watching, e.Event, e.at)
			}
		case <-m.standings.timer.C:
			m.lookAgain()
		case <-conn.Lost():
			m.log.Warn("libvirt events were missed; reading all domains again")
			m.reconcile(watching, conn)
		case <-tick.C:
			m.reconcile(watching, conn)
		}
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
	if m.conn = c; c != nil {
		m.connects++
	}
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

// setProfile writes a profile element, and notes whether it is too large to be there.
func (m *Monitor) setProfile(uuid string, e libvirt.ProfileElement, stays *atomic.Bool) error {
	conn := m.connection()
	if conn == nil {
		return errDisconnected
	}
	err := conn.SetProfile(uuid, e)
	large := errors.Is(err, libvirt.ErrTooLarge)
	stays.Store(large)
	if large { // it will not get smaller
		m.log.WithError(err).WithField("uuid", uuid).Warn("the profile stays on this host")
		return conn.RemoveProfile(uuid) // an older one must not travel in its place
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
