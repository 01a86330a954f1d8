package monitor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// ticking is a helper that counts two calls in each unit, as long as it is asked.
type ticking struct {
	*fakeHelper
	place int64
}

func (h *ticking) Collect(context.Context, bool) (probe.Collected, error) {
	got := probe.Collected{}
	for _, s := range h.asked.Sources {
		u := counted(s, h.place, 0)
		u.Units[0].Counts[0] = 2
		got.Sources = append(got.Sources, u)
	}
	h.place++
	return got, nil
}

// closerBench is a bench whose helper sees the domain, and whose trace points are made up.
func closerBench(t *testing.T) (*bench, *[]*ticking) {
	t.Helper()
	b := newIdleBench(t, testConfig(t), testSet)
	var helpers []*ticking
	b.dial = func(context.Context) (helper, error) {
		h := &ticking{&fakeHelper{pid: 4321, refused: map[probe.Source]string{probe.KVM: "tracefs is not there"}}, time.Now().UnixNano() / grid}
		b.mu.Lock()
		defer b.mu.Unlock()
		helpers = append(helpers, h)
		return h, nil
	}
	b.closer.traceable = func(qemu.Process) error { return nil }
	b.start()
	b.await(stateLearning, "")
	return b, &helpers
}

func (b *bench) options(ref string) (control.ActionOptions, map[string]control.ActionOption) {
	b.t.Helper()
	o, err := b.ActionOptions(b.t.Context(), ref)
	if err != nil {
		b.t.Fatal(err)
	}
	by := map[string]control.ActionOption{}
	for _, a := range o.Options {
		by[a.Name] = a
	}
	return o, by
}

func TestActionOptions(t *testing.T) {
	b, helpers := closerBench(t)
	o, by := b.options(b.domain.Name)
	if o.UUID != b.domain.UUID || o.Budget != nil || o.Usual != 30 || o.Longest != 600 || !o.Unpriced || o.Left != nil {
		t.Errorf("%+v", o)
	}
	var names []string
	for _, a := range o.Options {
		names = append(names, a.Name)
		if a.Words == "" || a.Price.Known || a.Price.Why == "" {
			t.Errorf("%+v", a)
		}
	}
	for _, want := range []string{"probes:disk", "probes:network", "probes:virtio", "probes:all", "syscalls", "kvm", "tap", "tap-headers", "functions"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	if slices.Contains(names, "probes:sequence") || names[len(names)-1] != "tap-headers" || !strings.HasPrefix(names[0], "probes:") {
		t.Errorf("%v", names)
	}
	if by["kvm"].WhyNot != "kvm: tracefs is not there" || by["tap-headers"].WhyNot != "" || by["probes:all"].WhyNot != "" {
		t.Errorf("%+v", by)
	}
	b.options(b.domain.UUID)
	if n := len(*helpers); n != 1 || (*helpers)[0].closed != 1 {
		t.Errorf("tried %d times; want once, and that it was let go of", n)
	}

	// The policy element goes before the configuration.
	b.setPolicy(b.domain.UUID, `<policy overhead-percent="5"/>`)
	if o, _ := b.options(b.domain.Name); o.Budget == nil || *o.Budget != 0.05 || o.Unpriced {
		t.Errorf("%+v", o)
	}
	if _, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"syscalls"}}); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "not calibrated") {
		t.Errorf("StartAction = %v; want that its price is not known", err)
	}
	cfg := b.cfg
	cfg.Actions.AllowUnpriced, cfg.Actions.GuestSeconds = true, 60
	if late := b.Reload(cfg); len(late) > 0 {
		t.Errorf("%v want a restart", late)
	}
	if o, _ := b.options(b.domain.Name); !o.Unpriced || o.Left == nil || *o.Left != 60 {
		t.Errorf("%+v", o)
	}

	b.closer.traceable = func(qemu.Process) error { return errNoTracePoints }
	if _, by := b.options(b.domain.Name); !strings.Contains(by["probes:disk"].WhyNot, "ust trace backend") {
		t.Errorf("%+v", by)
	}
	if _, err := b.ActionOptions(t.Context(), "no-such"); !errors.Is(err, control.ErrNoDomain) {
		t.Errorf("ActionOptions of none = %v", err)
	}
	for _, request := range []control.ActionRequest{{}, {Actions: []string{"nonsense"}}, {Actions: []string{"syscalls"}, Seconds: -1}, {Actions: []string{"syscalls"}, Seconds: 1e9}, {Actions: []string{"kvm"}}} {
		if _, err := b.StartAction(t.Context(), b.domain.Name, request); !errors.Is(err, control.ErrRefused) {
			t.Errorf("StartAction %+v = %v", request, err)
		}
	}
}

func TestNoHelper(t *testing.T) {
	b, _ := closerBench(t)
	b.dial = func(context.Context) (helper, error) { return nil, probe.ErrNoHelper }
	_, by := b.options(b.domain.Name)
	if !strings.Contains(by["syscalls"].WhyNot, probe.ErrNoHelper.Error()) {
		t.Errorf("%+v", by["syscalls"])
	}
	all := map[probe.Source]string{}
	for _, s := range probe.Sources() {
		all[s] = "no " + string(s)
	}
	b.dial = func(context.Context) (helper, error) { return &fakeHelper{pid: 4321, refused: all}, nil }
	if _, by = b.options(b.domain.Name); by["functions"].WhyNot != "functions: no functions" || by["tap"].WhyNot != "tap: no tap" {
		t.Errorf("%+v", by)
	}
}

// An action has sources of its own: the domain is judged meanwhile as ever.
func TestActionOfTheKernel(t *testing.T) {
	b, helpers := closerBench(t)
	a, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"tap-headers", "syscalls"}, Seconds: 5})
	if err != nil || a.State != control.ActionRunning || !strings.Contains(a.Why, "tap: all of it") {
		t.Fatalf("%+v, %v", a, err)
	}
	h := (*helpers)[len(*helpers)-1]
	if !h.asked.Headers || !slices.Equal(h.asked.Sources, []probe.Source{probe.Tap, probe.Syscalls}) {
		t.Errorf("asked for %+v", h.asked)
	}
	if _, by := b.options(b.domain.Name); by["syscalls"].Running != a.ID {
		t.Errorf("%+v", by["syscalls"])
	}
	at := time.Now()
	b.source.put(batch{units: load(3, at, 1, 0)})
	b.within("the action ends", func(control.DomainStatus) bool { a, err := b.Action(a.ID); return err == nil && a.Over() })
	if a, err = b.Action(a.ID); err != nil || a.Code != control.EndedTime || a.Hits < 8 || a.Units < 2 || len(a.Totals) != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	if a.Totals[0].Words == "" || !strings.Contains(a.Totals[0].Feature+a.Totals[1].Feature, "syscalls:") || h.closed != 1 {
		t.Errorf("%+v, closed %d times", a.Totals, h.closed)
	}
	units, err := b.ActionUnits(a.ID)
	if err != nil || len(units) != a.Units || len(units[0].Counts) != 2 || units[0].Start.UnixNano()%grid != 0 {
		t.Errorf("%+v, %v", units, err)
	}
	if d, err := b.Domain(b.domain.Name); err != nil || d.Units.Lossy != 0 || len(d.Sources) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	if list := b.ListActions(); len(list) != 1 || list[0].ID != a.ID {
		t.Errorf("%+v", list)
	}
	again, err := b.StopAction(t.Context(), a.ID)
	if err != nil || again.Code != control.EndedTime {
		t.Errorf("%+v, %v", again, err)
	}
}

// noted is a guard that notes what it is told.
type noted struct{ said []string }

func (n *noted) Watch(session, _ string) error {
	n.said = append(n.said, "+"+session)
	return nil
}
func (n *noted) Release(session string) { n.said = append(n.said, "-"+session) }

// tracing is the session of an action: one that counts the wide set's first trace point, or one that finds out what there is.
type tracing struct {
	*fakeSource
	name string
}

func (s *tracing) collect(context.Context, bool) (batch, error) {
	u := load(1, time.Now().Add(-unit.Width), 1, 0)[0]
	u.Counts = []uint64{3, 0}
	return batch{units: []unit.Unit{u}, registered: true}, nil
}
func (s *tracing) finish(ctx context.Context) (batch, error) { return s.collect(ctx, true) }
func (s *tracing) features() []string                        { return []string{"object_dynamic_cast_assert", "other"} }

func TestActionOfTracePoints(t *testing.T) {
	b, _ := closerBench(t)
	type request struct {
		events []string
		set    bool
	}
	var asked []request
	var made []*tracing
	b.closer.trace = func(_ libvirt.Domain, p qemu.Process, name string, events []string, set *catalogue.Set) (source, error) {
		if p.PID != 4321 || !strings.HasPrefix(name, sessionPrefix+"look-"+b.domain.UUID) {
			t.Errorf("session %s of %+v", name, p)
		}
		asked = append(asked, request{events, set != nil})
		s := &tracing{&fakeSource{set: set}, name}
		made = append(made, s)
		return s, nil
	}
	start := func(names ...string) control.Action {
		a, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: names, Seconds: 60})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	groups, all := start("probes:disk", "probes:network"), start("probes:all")
	// What tells queues apart comes along.
	wanted := []string{"qemu:bdrv_aio_flush", "qemu:blk_co_preadv", "qemu:virtqueue_fill", "qemu:qemu_deliver_packet", "qemu:virtio_queue_notify", "qemu:virtio_set_status"}
	if len(asked) != 2 || !asked[0].set || asked[1].set || !slices.Equal(asked[1].events, []string{"qemu:*"}) {
		t.Fatalf("asked for %+v", asked)
	}
	for _, e := range wanted {
		if !slices.Contains(asked[0].events, e) {
			t.Errorf("%s is not among %v", e, asked[0].events)
		}
	}
	if slices.Contains(asked[0].events, "qemu:memory_region_ops_write") || !slices.IsSorted(asked[0].events) {
		t.Errorf("%v", asked[0].events)
	}
	a, err := b.StopAction(t.Context(), all.ID)
	if err != nil || a.Code != control.EndedStopped || len(a.Totals) != 1 || a.Totals[0].Feature != "object_dynamic_cast_assert" || a.Totals[0].Words != "object_dynamic_cast_assert hits" {
		t.Errorf("%+v, %v", a, err)
	}
	// The QEMU ends.
	if err := os.Remove(filepath.Join(b.processes.ProcDir, "4321", "stat")); err != nil {
		t.Fatal(err)
	}
	b.within("the action ends", func(control.DomainStatus) bool { a, err := b.Action(groups.ID); return err == nil && a.Over() })
	if a, err := b.Action(groups.ID); err != nil || a.Code != control.EndedDomain || a.Totals[0].Feature != b.closer.wide.Names()[0] {
		t.Errorf("%+v, %v", a, err)
	}
	for _, s := range made {
		if !s.closed {
			t.Errorf("session %s was not closed", s.name)
		}
	}
}

// One that cannot be had lets go of the others.
func TestActionOfWhichAPartFails(t *testing.T) {
	b, helpers := closerBench(t)
	b.closer.trace = func(libvirt.Domain, qemu.Process, string, []string, *catalogue.Set) (source, error) {
		return nil, errBuffers
	}
	for _, names := range [][]string{{"syscalls", "probes:disk"}, {"syscalls", "kvm"}} {
		if _, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: names}); !errors.Is(err, control.ErrRefused) {
			t.Errorf("StartAction %v = %v", names, err)
		}
	}
	if h := *helpers; len(h) != 2 || h[0].closed != 1 || h[1].closed != 1 {
		t.Errorf("%d connections", len(h))
	}
	if len(b.closer.Running(b.domain.UUID)) != 0 {
		t.Error("an action runs")
	}
}

// The daemon ends what runs.
func TestActionWhenTheDaemonEnds(t *testing.T) {
	b, helpers := closerBench(t)
	a, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"functions"}, Seconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	b.end()
	if a, err = b.Action(a.ID); err != nil || a.Code != control.EndedDaemon || (*helpers)[0].closed != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A helper that goes away ends the action, which says why.
func TestActionWhoseHelperGoes(t *testing.T) {
	b, _ := closerBench(t)
	gone := &vanishing{fakeHelper{pid: 4321}}
	b.dial = func(context.Context) (helper, error) { return gone, nil }
	a, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"functions"}, Seconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	b.within("the action ends", func(control.DomainStatus) bool { a, err := b.Action(a.ID); return err == nil && a.Over() })
	if a, err = b.Action(a.ID); err != nil || a.Code != control.EndedFailed || !strings.Contains(a.Why, probe.ErrNoHelper.Error()) {
		t.Errorf("%+v, %v", a, err)
	}
}

// vanishing is a helper that goes away once it is attached.
type vanishing struct{ fakeHelper }

func (*vanishing) Collect(context.Context, bool) (probe.Collected, error) {
	return probe.Collected{}, probe.ErrNoHelper
}

// The daemon cannot make a session where there is no session daemon, and what it has taken for it is given back.
func TestNoSessionForAnAction(t *testing.T) {
	m := New(testConfig(t), testSet, nil, silent())
	g := &noted{}
	m.GuardSessions(g)
	if _, err := m.traceCloser(libvirt.Domain{}, qemu.Process{PID: 1}, "virtsentryd-look-x", []string{"qemu:*"}, nil); err == nil {
		t.Skip("a session daemon runs here")
	}
	if diff := cmp.Diff([]string{"+virtsentryd-look-x", "-virtsentryd-look-x"}, g.said); diff != "" {
		t.Error(diff)
	}
	if used, _ := m.buffers.taken(); used != 0 {
		t.Errorf("%d bytes are taken", used)
	}
	m.PriceActions(priced{}, nil)
	if p := m.closer.Quotes(actions.Subject{})(nil, nil); !p.Known {
		t.Errorf("%+v", p)
	}
	if err := m.traceable(qemu.Process{PID: 1 << 30}); err == nil {
		t.Error("a process that is not there can be traced")
	}
}

type priced struct{}

func (priced) Quotes(actions.Subject) actions.Quotes {
	return func([]string, []string) control.ActionPrice { return control.ActionPrice{Known: true} }
}

// stub is an action of another source.
type stub struct {
	obstacle, fails error
	finished        int
	disturbs        bool
	length          time.Duration
}

func (s *stub) Obstacle(context.Context, libvirt.Domain, qemu.Process) error { return s.obstacle }

func (s *stub) Disturbs() bool { return s.disturbs }

func (s *stub) Attach(_ context.Context, _ libvirt.Domain, _ qemu.Process, length time.Duration) (actions.Observation, error) {
	s.length = length
	if s.fails != nil {
		return nil, s.fails
	}
	return s, nil
}

func (s *stub) Collect(context.Context) ([]actions.Unit, error) {
	return []actions.Unit{{Start: time.Now().Add(-unit.Width).Truncate(unit.Width).UnixNano(), Duration: grid, Counts: map[string]uint64{"guest:read": 4}}}, nil
}

func (s *stub) Finish(ctx context.Context) ([]actions.Unit, error) {
	s.finished++
	return s.Collect(ctx)
}

func (s *stub) Describe(feature string) string { return "the guest's " + feature }
func (s *stub) Remark() string                 { return "stopped for 2 ms" }

func TestActionOfAnotherSource(t *testing.T) {
	b, helpers := closerBench(t)
	other, broken := &stub{}, &stub{obstacle: errors.New("not allowed"), fails: errors.New("not at all")}
	b.AddAction("other", "calls of the guest", other)
	b.AddAction("broken", "nothing", broken)
	if _, by := b.options(b.domain.Name); by["other"].WhyNot != "" || by["other"].Words != "calls of the guest" || by["broken"].WhyNot != "not allowed" {
		t.Errorf("%+v", by)
	}
	// A dry run says the same, and starts nothing.
	for name, want := range map[string]string{"other": control.ActionAsked, "broken": control.ActionRefused, "none": control.ActionRefused} {
		a, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{name}, Seconds: 3600, DryRun: true})
		if err != nil || a.State != want || a.ID != "" || name == "broken" && a.Why != "broken: not allowed" || name == "other" && a.Seconds != 600 {
			t.Errorf("dry run of %s: %+v, %v", name, a, err)
		}
	}
	if _, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"other"}, Seconds: -1, DryRun: true}); !errors.Is(err, control.ErrRefused) {
		t.Errorf("dry run of -1 second = %v", err)
	}
	if list := b.ListActions(); len(list) != 0 || other.finished != 0 {
		t.Errorf("dry runs have left %+v", list)
	}
	if _, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"syscalls", "other", "broken"}}); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "broken: not at all") {
		t.Errorf("StartAction = %v", err)
	}
	if h := *helpers; other.finished != 1 || h[len(h)-1].closed != 1 {
		t.Errorf("finished %d times", other.finished)
	}
	a, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"other"}, Seconds: 60})
	if err != nil || a.Why != "other: stopped for 2 ms" {
		t.Fatalf("%+v, %v", a, err)
	}
	b.within("it sees something", func(control.DomainStatus) bool { a, err := b.Action(a.ID); return err == nil && a.Hits > 0 })
	a, err = b.StopAction(t.Context(), a.ID)
	if err != nil || other.finished != 2 || a.Totals[0].Words != "the guest's guest:read" {
		t.Errorf("%+v, %v, finished %d times", a, err, other.finished)
	}
}
