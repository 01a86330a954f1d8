package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// wideSet is the feature set whose trace points are looked at in groups: by subsystem, and all of them with what the default set does not count.
const wideSet = "wide"

// closer is the part of a Monitor that looks at domains more closely: each action has sources of its own, beside those that its domain is judged by, which
// go on as they were.
type closer struct {
	*actions.Manager
	m     *Monitor
	wide  *catalogue.Set
	names []string          // of all actions
	words map[string]string // what each counts
	guard Guard             // nil: none
	added map[string]ActionSource
	// traceable says why a process has no trace points to look at, Monitor.traceable; trace makes a session, Monitor.traceCloser.
	traceable func(qemu.Process) error
	trace     func(d libvirt.Domain, p qemu.Process, name string, events []string, set *catalogue.Set) (source, error)

	mu    sync.Mutex          // guards tried
	tried map[string]attempts // by UUID
}

// attempts is what was found when a domain's process was tried to be observed by all that the kernel sees.
type attempts struct {
	process qemu.Process
	at      time.Time
	why     map[probe.Source]string // why not; empty: it can be
}

// triedFor is how long that is believed: to try takes the kernel a moment of work.
const triedFor = 5 * time.Minute

// Guard is told of sessions that must not outlive the daemon, however it ends.
type Guard interface {
	// Watch has a session ended, and its output directory removed, when the daemon dies. It is called before the session is made.
	Watch(session, output string) error
	// Release says that the session has been ended.
	Release(session string)
}

// kernelWords is what actions on the kernel's side count.
var kernelWords = map[string]string{
	actions.Syscalls:   "system calls of the QEMU process, by number and kind of thread",
	actions.KVM:        "what KVM does for the guest: exits by reason",
	actions.Tap:        "packets of the guest's interfaces, by size and direction",
	actions.TapHeaders: "packets of the guest's interfaces, by size, direction, TCP flags, ports and peers",
	actions.Functions:  "functions of QEMU: requests of virtio queues and disks by size, interrupts",
}

func newCloser(m *Monitor) *closer {
	wide, err := catalogue.Load(wideSet)
	if err != nil { // it is part of the programme
		m.log.WithError(err).Error("there are no groups of trace points to look at; those of the feature set stand for them")
		wide = m.set
	}
	c := &closer{m: m, wide: wide, words: map[string]string{}, tried: map[string]attempts{}, added: map[string]ActionSource{}, traceable: m.traceable, trace: m.traceCloser}
	c.Manager = actions.NewManager(c, nil, nil, m.log)
	for _, column := range wide.Columns() {
		if name := actions.GroupPrefix + column.Subsystem; c.words[name] == "" && len(c.events(name)) > 0 {
			c.words[name] = "trace points of QEMU's " + column.Subsystem + " code, with their arguments"
		}
	}
	c.words[actions.AllProbes] = "all trace points of QEMU"
	for name, words := range kernelWords {
		c.words[name] = words
	}
	for name := range c.words {
		c.names = append(c.names, name)
	}
	slices.SortFunc(c.names, compareActions)
	return c
}

// compareActions puts trace points first, all of them behind their groups.
func compareActions(a, b string) int {
	rank := func(name string) string {
		switch {
		case actions.IsGroup(name):
			return "0" + name
		case name == actions.AllProbes:
			return "1"
		}
		return "2" + name
	}
	return strings.Compare(rank(a), rank(b))
}

// PriceActions has actions priced and measured. It is called before Run; without it no price is known.
func (m *Monitor) PriceActions(p actions.Pricer, a actions.Appraiser) {
	m.closer.Manager = actions.NewManager(m.closer, p, a, m.log)
}

// GuardSessions has the sessions of actions ended when the daemon dies. It is called before Run.
func (m *Monitor) GuardSessions(g Guard) { m.closer.guard = g }

// ActionSource is what an action observes a domain by that is neither QEMU's trace points nor what virtsentry-probe sees. It may be used by several goroutines.
type ActionSource interface {
	// Obstacle says why a domain cannot be observed by it now; nil: it can.
	Obstacle(ctx context.Context, d libvirt.Domain, p qemu.Process) error
	// Attach begins to observe a domain, for so long at most. What comes of it is finished once.
	Attach(ctx context.Context, d libvirt.Domain, p qemu.Process, length time.Duration) (actions.Observation, error)
	// Disturbs says that the guest is stopped for moments meanwhile: nothing of what it does then is judged, or learnt.
	Disturbs() bool
}

// AddAction adds an action of another source, with what it counts in words. It is called before Run.
func (m *Monitor) AddAction(name, words string, s ActionSource) {
	c := m.closer
	c.added[name], c.words[name] = s, words
	c.names = append(c.names, name)
	slices.SortFunc(c.names, compareActions)
}

// ActionsConfig is what the configuration that is in force says of actions.
func (m *Monitor) ActionsConfig() config.Actions { return m.live.Load().Actions }

// limits are those of a domain now.
func (c *closer) limits(d libvirt.Domain) actions.Limits {
	settings, _ := c.m.settings(d) // what is wrong with them is told elsewhere
	of := c.m.live.Load().Actions
	l := actions.Limits{
		Unpriced: of.AllowUnpriced, Usual: time.Duration(of.Duration), Longest: time.Duration(of.MaxDuration),
		Allowance: time.Duration(of.GuestSeconds * float64(time.Second)),
	}
	if settings.OverheadPercent > 0 {
		budget := settings.OverheadPercent / 100
		l.Budget = &budget
	}
	return l
}

// subject finds a watched domain. Errors: control.ErrNoDomain.
func (c *closer) subject(ref string) (*watcher, actions.Subject, error) {
	d, err := c.m.find(ref)
	if err != nil {
		return nil, actions.Subject{}, err
	}
	w := c.m.watcher(d.UUID)
	if w == nil {
		return nil, actions.Subject{}, fmt.Errorf("%.256s: %w", ref, control.ErrNoDomain)
	}
	return w, actions.Subject{UUID: d.UUID, Name: d.Name}, nil
}

// process is a domain's QEMU, as long as it is watched. The error says why there is none.
func (w *watcher) process() (qemu.Process, error) {
	w.mu.Lock()
	p, state := w.proc, w.now.State
	w.mu.Unlock()
	switch {
	case state == stateDisabled:
		return p, fmt.Errorf("domain %s is not watched (its policy, or watch in the configuration, says so)", w.domain.Name)
	case p.PID == 0:
		return p, fmt.Errorf("domain %s has not been attached to yet (virtsentry status says why)", w.domain.Name)
	case !w.m.processes.Alive(p):
		return p, fmt.Errorf("domain %s: %w", w.domain.Name, actions.ErrGone)
	}
	return p, nil
}

// ActionOptions says what a domain can be looked at by, control.Backend.
func (m *Monitor) ActionOptions(ctx context.Context, ref string) (control.ActionOptions, error) {
	c := m.closer
	w, d, err := c.subject(ref)
	if err != nil {
		return control.ActionOptions{}, err
	}
	l := c.limits(w.domain)
	o := control.ActionOptions{
		UUID: d.UUID, Name: d.Name, Budget: l.Budget, Unpriced: l.Unpriced || l.Budget == nil && l.Allowance == 0, Usual: l.Usual.Seconds(), Longest: l.Longest.Seconds(),
	}
	if l.Allowance > 0 {
		left := c.Left(time.Now(), d.UUID, l.Allowance).Seconds()
		o.Left = &left
	}
	running := c.Running(d.UUID)
	var beside []string
	for name := range running {
		beside = append(beside, name)
	}
	slices.Sort(beside)
	why, quotes := c.obstacles(ctx, w), c.Quotes(d)
	for _, name := range c.names {
		option := control.ActionOption{Name: name, Words: c.words[name], WhyNot: why(name), Running: running[name]}
		if option.Running == "" {
			option.Price = quotes([]string{name}, beside)
		}
		o.Options = append(o.Options, option)
	}
	return o, nil
}

// obstacles says of each action why it cannot run for a domain, as far as that can be told beforehand; empty: it can.
func (c *closer) obstacles(ctx context.Context, w *watcher) func(name string) string {
	p, err := w.process()
	if err != nil {
		return func(string) string { return err.Error() }
	}
	trace := ""
	if err := c.traceable(p); err != nil {
		trace = err.Error()
	}
	kernel := c.try(ctx, w.domain, p)
	return func(name string) string {
		if strings.HasPrefix(name, actions.GroupPrefix) {
			return trace
		}
		if s := c.added[name]; s != nil {
			if err := s.Obstacle(ctx, w.domain, p); err != nil {
				return err.Error()
			}
			return ""
		}
		return kernel[kernelSourceOf(name)]
	}
}

// kernelSourceOf is the source that an action is of.
func kernelSourceOf(name string) probe.Source {
	if name == actions.TapHeaders {
		return probe.Tap
	}
	return probe.Source(name)
}

// try attaches all that the kernel sees to a domain for a moment, to know what is in the way, and remembers the answer for some time.
func (c *closer) try(ctx context.Context, d libvirt.Domain, p qemu.Process) map[probe.Source]string {
	c.mu.Lock()
	defer c.mu.Unlock() // others wait for the answer
	if t, ok := c.tried[d.UUID]; ok && t.process == p && time.Since(t.at) < triedFor {
		return t.why
	}
	why := map[probe.Source]string{}
	ctx, cancel := context.WithTimeout(ctx, helperLimit)
	defer cancel()
	s, err := c.m.attachKernelWith(ctx, d, p, probe.Sources(), true)
	if err == nil {
		err = s.close(ctx)
		for _, part := range s.parts {
			if part.failed != nil {
				why[part.source] = part.failed.Error()
			}
		}
	}
	if err != nil {
		for _, s := range probe.Sources() {
			why[s] = err.Error()
			for line := range strings.Lines(err.Error()) { // where none can be had, there is a line for each
				if at := strings.Index(line, string(s)+": "); at >= 0 {
					why[s] = strings.TrimSpace(line[at:])
				}
			}
		}
		if !errors.Is(err, errSources) {
			return why // another time there may be a helper
		}
	}
	for uuid := range c.tried {
		if c.m.watcher(uuid) == nil {
			delete(c.tried, uuid)
		}
	}
	c.tried[d.UUID] = attempts{p, time.Now(), why}
	return why
}

// StartAction begins a closer look, control.Backend.
func (m *Monitor) StartAction(ctx context.Context, ref string, request control.ActionRequest) (control.Action, error) {
	c := m.closer
	w, d, err := c.subject(ref)
	if err != nil {
		return control.Action{}, err
	}
	if !(request.Seconds >= 0 && request.Seconds <= actions.Longest.Seconds()) { // NaN is refused
		return control.Action{}, fmt.Errorf("%w: %v seconds: want up to %v, or 0 for what is usual", control.ErrRefused, request.Seconds, actions.Longest.Seconds())
	}
	want := time.Duration(request.Seconds * float64(time.Second))
	if request.DryRun {
		return c.tryAction(ctx, w, d, request.Actions, want), nil
	}
	return c.Start(ctx, d, request.Actions, want, c.limits(w.domain), func(name string) bool { return slices.Contains(c.names, name) })
}

// tryAction says what would come of an action, control.ActionRequest.
func (c *closer) tryAction(ctx context.Context, w *watcher, d actions.Subject, names []string, want time.Duration) control.Action {
	a := c.Try(d, names, want, c.limits(w.domain), func(name string) bool { return slices.Contains(c.names, name) })
	if a.State == control.ActionRefused {
		return a
	}
	why := c.obstacles(ctx, w)
	for _, name := range names {
		if text := why(name); text != "" {
			a.State, a.Why = control.ActionRefused, name+": "+text
		}
	}
	return a
}

// ListActions lists actions, control.Backend.
func (m *Monitor) ListActions() []control.Action { return m.closer.List() }

// Action finds an action, control.Backend.
func (m *Monitor) Action(id string) (control.Action, error) { return m.closer.Get(id) }

// ActionUnits returns an action's units, control.Backend.
func (m *Monitor) ActionUnits(id string) ([]control.ActionUnit, error) { return m.closer.Units(id) }

// StopAction ends an action, control.Backend.
func (m *Monitor) StopAction(ctx context.Context, id string) (control.Action, error) {
	return m.closer.Stop(ctx, id, "asked for by an operator")
}
