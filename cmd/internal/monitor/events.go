package monitor

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
)

// event takes an event that came then (CLOCK_MONOTONIC, nanoseconds).
func (m *Monitor) event(ctx context.Context, e libvirt.Event, at int64) {
	m.log.WithFields(logrus.Fields{"domain": e.Domain.Name, "uuid": e.Domain.UUID, "event": e.Kind, "detail": e.Detail}).Debug("libvirt event")
	m.happenings.note(e, time.Now().Add(time.Duration(at-now())))
	switch e.Kind {
	case libvirt.Started:
		m.watch(ctx, e.Domain)
		m.policy(e.Domain.UUID)
		m.askProfile(e.Domain.UUID, true)
		m.hardware(e.Domain.UUID)
		m.surveyor.want(e.Domain.UUID)
		m.retry(e.Domain.UUID)
		m.activity(e.Domain.UUID, at)
	case libvirt.Stopped:
		m.stopped(ctx, e.Domain)
	case libvirt.Suspended:
		m.moment(e.Domain.UUID, at, true)
	case libvirt.Resumed:
		m.moment(e.Domain.UUID, at, false)
	case libvirt.Rebooted:
		if w := m.watcher(e.Domain.UUID); w != nil {
			w.news.tell(func(t *notice) { t.reboot(at) })
		}
	case libvirt.PolicyChanged:
		m.policyChanged(e.Domain.UUID)
	case libvirt.Defined:
		m.policy(e.Domain.UUID)
	case libvirt.DevicesChanged:
		m.hardware(e.Domain.UUID)
		m.surveyor.want(e.Domain.UUID)
	case libvirt.MetadataChanged:
		m.verify(e.Domain.UUID)
	case libvirt.ProfileChanged:
		m.verifyProfile(e.Domain.UUID)
	}
}

// reconcile makes the watched domains those that run.
func (m *Monitor) reconcile(ctx context.Context, conn *libvirt.Connection) {
	m.mu.Lock()
	old := maps.Clone(m.watchers) // those that are younger than the list may be of domains that are not in it
	m.mu.Unlock()
	at := now()
	domains, err := conn.Running()
	if err != nil {
		m.log.WithError(err).Warn("could not read the running domains")
		return
	}
	for _, d := range domains {
		m.gotOn()
		m.policy(d.UUID) // first: it may say that the domain is not to be watched
		m.watch(ctx, d)
		m.askProfile(d.UUID, false)
		m.activity(d.UUID, at)
		m.hardware(d.UUID)
		m.verify(d.UUID)
		m.surveyor.wantOld(d.UUID)
		m.retry(d.UUID)
	}
	for uuid, w := range old {
		if !slices.ContainsFunc(domains, func(d libvirt.Domain) bool { return d.UUID == uuid }) {
			w.stop()
		}
	}
	m.history.Settle(func(uuid string) bool {
		return slices.ContainsFunc(domains, func(d libvirt.Domain) bool { return d.UUID == uuid })
	})
	m.forgetPolicies(conn)
	m.surveyor.forget(domains)
	m.happenings.forget(time.Now())
}

// retry has written again what was refused of a domain that libvirt did not know to run yet, and looks again for what was not certain.
func (m *Monitor) retry(uuid string) {
	if w := m.watcher(uuid); w != nil {
		if w.unsure.Load() {
			m.verifyProfile(uuid)
		}
		w.record.retry()
		w.publish.retry()
		w.carried.retry()
		w.restore.retry()
	}
}

// askProfile looks whether a domain has brought a profile along: when it starts, and otherwise once for each connection.
func (m *Monitor) askProfile(uuid string, started bool) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil {
		return
	}
	before := w.asked.Swap(conn)
	if started || before != conn {
		m.bring(uuid)
	}
	if before != conn {
		m.verifyProfile(uuid) // what happened to it meanwhile was not heard of
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
				m.log.WithField("missed", listener.Missed()).Debug("pokes were missed")
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
		old.number(d.ID)
		old.attachNow()
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
		var before <-chan struct{}
		if old != nil {
			old.stop()
			before = old.done
		}
		w.run(ctx, before)
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
		w.news.tell(func(t *notice) { t.hardware = &h })
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
		w.news.tell(func(t *notice) { t.rewrite = true })
	}
}

// verifyProfile has a watcher write its profile element again where libvirt shows something else: somebody removed or changed it, and it would not go
// where the domain goes.
func (m *Monitor) verifyProfile(uuid string) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil || w.stays.Load() {
		return
	}
	w.unsure.Store(true)
	want := w.element.Load()
	if want == nil || w.publish.busy() {
		return
	}
	shown, err := conn.Profile(uuid)
	switch {
	case err != nil && !errors.Is(err, libvirt.ErrGarbled):
		return
	case err == nil && cmp.Or(shown, new(libvirt.ProfileElement)).Digest() == *want:
		w.unsure.Store(false)
		return
	}
	if w.element.Load() == want && !w.publish.busy() {
		w.news.tell(func(t *notice) { t.republish = true })
	}
}
