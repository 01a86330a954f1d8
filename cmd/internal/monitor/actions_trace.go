package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// tracerLimit bounds the wait for the session daemon where somebody only wants to know whether there is one.
const tracerLimit = 2 * time.Second

// errNoTracePoints says that a QEMU has no trace points to look at.
var errNoTracePoints = errors.New("its QEMU has no trace points of its own (it needs the ust trace backend)")

// traceable says why no session can be made for a process; nil: one can.
func (m *Monitor) traceable(p qemu.Process) error {
	if links, err := m.processes.Links(p, ustLibrary); err == nil && !links {
		return errNoTracePoints
	}
	err := within(tracerLimit, func() error {
		if !lttng.Alive() {
			return lttng.ErrNoSessionDaemon
		}
		return nil
	})
	if err != nil {
		return err
	}
	if there, err := lttng.Registered(p.PID); err == nil && !there {
		return fmt.Errorf("QEMU (process %d) has not registered with LTTng", p.PID)
	}
	return nil
}

// events are the trace points of a group: those of the wide set whose features are of its subsystem.
func (c *closer) events(group string) []string {
	var events []string
	columns, names := c.wide.Columns(), c.wide.TracePoints()
	for _, e := range c.wide.Entries() {
		if actions.GroupPrefix+columns[e.Base].Subsystem != group {
			continue
		}
		at := slices.IndexFunc(names, func(n string) bool { return unit.FeatureName(n) == e.Event })
		if at >= 0 && !slices.Contains(events, names[at]) {
			events = append(events, names[at])
		}
	}
	return events
}

// companions are the trace points by which a cutter of the wide set tells virtio queues apart, without which nothing of a queue would say what it is for.
func (c *closer) companions() []string {
	var events []string
	for _, name := range c.wide.TracePoints() {
		event := unit.FeatureName(name)
		counted := slices.ContainsFunc(c.wide.Entries(), func(e catalogue.Entry) bool { return e.Event == event })
		if catalogue.QueueField(event) != "" || !counted {
			events = append(events, name)
		}
	}
	return events
}

// tells says whether a group counts by what queues are for.
func (c *closer) tells(group string) bool {
	columns := c.wide.Columns()
	return slices.ContainsFunc(c.wide.Entries(), func(e catalogue.Entry) bool {
		return e.Roles != nil && actions.GroupPrefix+columns[e.Base].Subsystem == group
	})
}

// observeTrace makes a session for all groups of trace points that are asked for.
func (c *closer) observeTrace(ctx context.Context, l *look, d libvirt.Domain, id string, names []string) error {
	if err := c.traceable(l.process); err != nil {
		return fmt.Errorf("attach to domain %s: %w", d.UUID, err)
	}
	events, set := []string{catalogue.Provider + ":*"}, (*catalogue.Set)(nil)
	if !slices.Contains(names, actions.AllProbes) {
		events, set = nil, c.wide
		for _, name := range names {
			events = append(events, c.events(name)...)
			if c.tells(name) {
				events = append(events, c.companions()...)
			}
		}
		slices.Sort(events)
		events = slices.Compact(events)
	}
	// The session daemon has no deadlines. What comes too late is let go of.
	type made struct {
		s   source
		err error
	}
	came := make(chan made, 1)
	go func() {
		s, err := c.trace(d, l.process, fmt.Sprintf("%slook-%s-%s", sessionPrefix, d.UUID, id), events, set)
		came <- made{s, err}
	}()
	select {
	case got := <-came:
		if got.err != nil {
			return fmt.Errorf("attach to domain %s: %w", d.UUID, got.err)
		}
		l.sources = append(l.sources, c.traced(got.s, set))
		return nil
	case <-ctx.Done():
	}
	go func() {
		if got := <-came; got.err == nil {
			_ = got.s.close(context.Background())
		}
	}()
	return fmt.Errorf("attach to domain %s: %w", d.UUID, errSilent)
}

// traced is a source of trace points with their names. Without a set, they are the events' own.
func (c *closer) traced(s source, set *catalogue.Set) looked {
	of := looked{source: &patient{source: s}, describe: func(string) string { return "" }}
	if set != nil {
		of.features = set.Names
		of.describe = func(f string) string { _, words := set.Describe(f); return words }
		return of
	}
	of.features = func() []string { return nil }
	if named, ok := s.(interface{ features() []string }); ok {
		of.features = named.features
	}
	return of
}

// closerTrace is a session of an action: a ustSource, which a guard watches over.
type closerTrace struct {
	*ustSource
	m     *Monitor
	guard Guard
}

// features are the events that have been seen so far.
func (s *closerTrace) features() []string { return s.cutter.Features() }

func (s *closerTrace) close(ctx context.Context) error {
	err := s.ustSource.close(ctx)
	s.m.buffers.release(s.memory())
	if err == nil && s.guard != nil {
		s.guard.Release(s.session.Name())
	}
	return err
}

// traceCloser makes and starts the session of an action. Nothing limits the events that it records but the ring buffers: what these cannot take is lost, and
// told; QEMU does not wait.
func (m *Monitor) traceCloser(d libvirt.Domain, p qemu.Process, name string, events []string, set *catalogue.Set) (_ source, err error) {
	size, bytes, err := m.buffers.reserve(m.cfg.LTTng.SubBufferBytes, m.cfg.LTTng.SubBuffers)
	if err != nil {
		return nil, err
	}
	output, guard := filepath.Join(m.cfg.LTTng.OutputDir, name), m.closer.guard
	defer func() {
		if err != nil {
			m.buffers.release(bytes)
		}
	}()
	if err := m.buffers.room(bytes); err != nil {
		return nil, err
	}
	if guard != nil {
		if err := guard.Watch(name, output); err != nil {
			return nil, fmt.Errorf("nobody would end its session if the daemon died: %w", err)
		}
	}
	session, err := lttng.NewSession(lttng.Config{
		Name: name, Output: output, RemoveOutput: true, PID: p.PID, Events: events, SubBufferBytes: size, SubBuffers: m.cfg.LTTng.SubBuffers,
	})
	if err == nil {
		if err = session.Start(); err != nil {
			err = errors.Join(err, session.Destroy())
		}
	}
	if err != nil {
		if guard != nil {
			guard.Release(name)
		}
		return nil, err
	}
	cutter := unit.NewCutter(nil)
	if set != nil {
		cutter = unit.NewSetCutter(set)
	}
	s := &ustSource{
		session: session, verify: session.Verifier(), cutter: cutter, started: monotonic(), release: os.RemoveAll,
		lives: func() bool { return m.processes.Alive(p) }, counted: newFeatures(set, nil, false),
		bytes: bytes, dir: m.cfg.LTTng.OutputDir, least: bytes / (m.cfg.LTTng.SubBuffers + 1),
	}
	return &closerTrace{ustSource: s, m: m, guard: guard}, nil
}
