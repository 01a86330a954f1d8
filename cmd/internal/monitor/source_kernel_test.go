package monitor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// fakeHelper is a connection to a helper that has counted what it is told.
type fakeHelper struct {
	refused map[probe.Source]string
	pid     int
	asked   probe.Attach
	next    probe.Collected
	err     error
	closed  int
}

func (h *fakeHelper) Attach(_ context.Context, a probe.Attach) (probe.Attached, error) {
	h.asked = a
	answer := probe.Attached{PID: h.pid, Start: 500}
	for _, s := range a.Sources {
		answer.Sources = append(answer.Sources, probe.Observed{Source: s, Error: h.refused[s], Detail: "all of it"})
	}
	return answer, h.err
}

func (h *fakeHelper) Collect(context.Context, bool) (probe.Collected, error) {
	answer := h.next
	h.next = probe.Collected{}
	return answer, h.err
}

func (h *fakeHelper) Close() error {
	h.closed++
	return nil
}

const grid = int64(unit.Width)

// counted makes whole units of a source from a place on the grid on, each with n in its first column and lost events.
func counted(s probe.Source, place int64, lost ...uint64) probe.Units {
	got := probe.Units{Source: s}
	for i, l := range lost {
		u := unit.Unit{Start: (place + int64(i)) * grid, Duration: grid, Lost: l, Counts: make([]uint64, len(s.Columns()))}
		u.Counts[0] = uint64(place) + uint64(i)
		got.Units = append(got.Units, u)
	}
	return got
}

// kernelBench is a monitor with a fake helper and a process.
func kernelBench(t *testing.T) (*Monitor, *fakeHelper, libvirt.Domain, qemu.Process) {
	t.Helper()
	s := newSingle(t, testConfig(t))
	h := &fakeHelper{pid: 4321}
	s.m.dial = func(context.Context) (helper, error) { return h, nil }
	return s.m, h, s.domain, qemu.Process{PID: 4321, Start: 500}
}

func TestKernelSource(t *testing.T) {
	m, h, d, p := kernelBench(t)
	h.refused = map[probe.Source]string{probe.Functions: "it exports none"}
	s, err := m.attachKernel(t.Context(), d, p, []probe.Source{probe.Tap, probe.Functions, probe.Syscalls})
	if err != nil {
		t.Fatal(err)
	}
	if h.asked.UUID != d.UUID || h.asked.Offset != s.offset || h.asked.Headers {
		t.Errorf("asked for %+v", h.asked)
	}
	// What was refused has no columns, and the headers' ones are left out.
	sizes, calls := len(s.counted.columns(probe.Tap)), len(probe.Syscalls.Columns())
	if got := len(s.counts().Names()); got != sizes+calls || sizes >= len(probe.Tap.Columns()) || s.counts().Source() != "tap+syscalls" {
		t.Errorf("%d columns, %d of sizes, sources %s", got, sizes, s.counts().Source())
	}
	if subsystem, words := s.counts().Describe(s.counts().Names()[0]); subsystem != "network" || !strings.Contains(words, "packets") {
		t.Errorf("described as %s, %s", subsystem, words)
	}
	want := []control.Source{{Name: "tap", Detail: "all of it"}, {Name: "functions", Detail: "all of it", Error: "functions: it exports none"}, {Name: "syscalls", Detail: "all of it"}}
	if diff := cmp.Diff(want, s.observed()); diff != "" {
		t.Error(diff)
	}

	// One source begins with a part of a unit, lost something in the third, and does not have the fourth.
	tap, system := counted(probe.Tap, 100, 0, 0, 0, 0), counted(probe.Syscalls, 100, 0, 0, 7)
	system.Units[0].Start, system.Units[0].Duration = 100*grid+grid/2, grid/2
	h.next = probe.Collected{Sources: []probe.Units{tap, system}}
	b, err := s.collect(t.Context(), false)
	if err != nil || !b.registered || len(b.units) != 4 {
		t.Fatalf("%+v, %v", b, err)
	}
	behind := []unit.Columns{{From: sizes, To: sizes + calls}}
	for i, want := range []unit.Unit{{Lost: 1, LostIn: behind}, {}, {Lost: 7, LostIn: behind}, {Lost: 1, LostIn: behind}} {
		u := b.units[i]
		if u.Start != (100+int64(i))*grid || !u.Full() || u.Lost != want.Lost || !cmp.Equal(u.LostIn, want.LostIn) || len(u.Counts) != sizes+calls {
			t.Errorf("unit %d: from %d for %d, %d lost in %v, %d columns", i, u.Start/grid, u.Duration, u.Lost, u.LostIn, len(u.Counts))
		}
		if system := uint64(100 + i); u.Counts[0] != uint64(100+i) || i < 3 && u.Counts[sizes] != system {
			t.Errorf("unit %d: %d packets, %d calls", i, u.Counts[0], u.Counts[sizes])
		}
	}

	// A source that ends is lossy from then on, and is said to have ended.
	gone := probe.Units{Source: probe.Syscalls, Error: "the process has ended"}
	h.next = probe.Collected{Sources: []probe.Units{counted(probe.Tap, 104, 0), gone}}
	if b, err = s.collect(t.Context(), false); err != nil || len(b.units) != 1 || !cmp.Equal(b.units[0].LostIn, behind) || !s.ended() {
		t.Errorf("%+v, %v, ended: %t", b, err, s.ended())
	}
	// An answer of another version is an error, and so is a helper that is gone.
	h.next = probe.Collected{Sources: []probe.Units{{Source: probe.Tap, Units: []unit.Unit{{Start: 105 * grid, Duration: grid, Counts: []uint64{1}}}}}}
	if _, err = s.collect(t.Context(), false); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("another version: %v", err)
	}
	if err := s.close(t.Context()); err != nil || h.closed != 1 {
		t.Errorf("closed %d times: %v", h.closed, err)
	}
}

func TestKernelSourceRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*fakeHelper)
		want   error
	}{
		"another process": {func(h *fakeHelper) { h.pid = 99 }, qemu.ErrNoProcess},
		"nothing at all":  {func(h *fakeHelper) { h.refused = map[probe.Source]string{probe.Tap: "no tap device"} }, errSources},
		"by the helper":   {func(h *fakeHelper) { h.err = probe.ErrRefused }, probe.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			m, h, d, p := kernelBench(t)
			test.change(h)
			if _, err := m.attachKernel(t.Context(), d, p, []probe.Source{probe.Tap}); !errors.Is(err, test.want) || h.closed != 1 {
				t.Errorf("attachKernel: %v, closed %d times; want %v", err, h.closed, test.want)
			}
		})
	}
}

// Without the helper the trace points go on; what they give is lossy only in what the helper gave.
func TestJoinedSource(t *testing.T) {
	m, h, d, p := kernelBench(t)
	kernel, err := m.attachKernel(t.Context(), d, p, []probe.Source{probe.Tap})
	if err != nil {
		t.Fatal(err)
	}
	trace := &fakeSource{}
	s := join(trace, kernel)
	first := len(testSet.Names())
	tap := []unit.Columns{{From: first, To: len(s.counts().Names())}}
	begin := time.Unix(0, 200*grid)

	lossy := load(3, begin, 1, 0)
	lossy[1].Lost = 5
	trace.put(batch{registered: true, units: lossy})
	h.next = probe.Collected{Sources: []probe.Units{counted(probe.Tap, 199, 0, 0, 3, 0, 0)}}
	b, err := s.collect(t.Context(), false)
	if err != nil || len(b.units) != 3 {
		t.Fatalf("%+v, %v", b, err)
	}
	for i, want := range [][]unit.Columns{nil, {{To: first}, tap[0]}, nil} {
		if u := b.units[i]; !cmp.Equal(u.LostIn, want) || u.Counts[first] != uint64(200+i) || len(u.Counts) != len(s.counts().Names()) {
			t.Errorf("unit %d: lost in %v, %d packets", i, u.LostIn, u.Counts[first])
		}
	}
	h.err = fmt.Errorf("read: %w", probe.ErrNoHelper)
	trace.put(batch{registered: true, units: load(1, begin.Add(4*unit.Width), 1, 0)}) // that the helper never gave
	if b, err = s.collect(t.Context(), false); err != nil || len(b.units) != 1 || !cmp.Equal(b.units[0].LostIn, tap) {
		t.Errorf("without helper: %+v, %v", b, err)
	}
	list := s.observed()
	if len(list) != 2 || list[0].Error != "" || list[1].Error == "" || !s.kernel.ended() {
		t.Errorf("observed: %+v", list)
	}
	if err := s.close(t.Context()); err != nil || !trace.closed || h.closed != 1 {
		t.Errorf("close: %v", err)
	}
}

func TestChoose(t *testing.T) {
	m, _, _, p := kernelBench(t)
	// A process whose executable cannot be read is asked for its trace points, and one with other wishes is not looked at.
	for name, test := range map[string]struct {
		wish   wish
		trace  bool
		kernel []probe.Source
	}{
		"as told":    {wish{use: []string{"syscalls", ust, "tap"}}, true, []probe.Source{probe.Tap, probe.Syscalls}},
		"not traced": {wish{use: []string{"kvm"}}, false, []probe.Source{probe.KVM}},
	} {
		trace, kernel, err := m.choose(p, test.wish)
		if err != nil || trace != test.trace || !cmp.Equal(kernel, test.kernel) {
			t.Errorf("%s: %t, %v, %v", name, trace, kernel, err)
		}
	}
	if _, _, err := m.choose(p, wish{use: []string{config.Auto}}); !errors.Is(err, qemu.ErrNoProcess) {
		t.Errorf("no such process: %v", err)
	}
}

// Once it is known that vhost-net moves a guest's packets past its QEMU, it is attached to anew, and nothing is unseen any more.
func TestVhostNeedsTap(t *testing.T) {
	s := newSingle(t, testConfig(t))
	h := &fakeHelper{pid: 4321}
	s.m.dial = func(context.Context) (helper, error) { return h, nil }
	var wishes []wish
	s.m.attach = func(d libvirt.Domain, p qemu.Process, w wish) (source, error) {
		wishes = append(wishes, w)
		trace := &fakeSource{next: batch{registered: true}}
		if !w.vhost {
			return trace, nil
		}
		kernel, err := s.m.attachKernel(t.Context(), d, p, []probe.Source{probe.Tap})
		if err != nil {
			return nil, err
		}
		return join(trace, kernel), nil
	}
	s.begin()
	s.setHardware(libvirt.Hardware{Machine: "pc", Accelerator: "kvm", Devices: []libvirt.Device{
		{Kind: "disk", Name: "vda", Type: "virtio"},
		{Kind: "interface", Name: "vnet0", Type: "virtio", Unseen: "vhost-net moves its packets past QEMU", Tap: true},
		{Kind: "interface", Name: "vnet1", Type: "virtio", Unseen: "vhost-user", Tap: false},
	}})
	s.heard = true
	if coverage, unseen := s.coverage(); coverage != coveragePartial || len(unseen) != 2 {
		t.Errorf("by trace points: %s, %+v", coverage, unseen)
	}
	s.extend(t.Context())
	if s.watcher.source != nil {
		t.Fatal("still attached to trace points alone")
	}
	s.begin()
	s.heard = true
	if coverage, unseen := s.coverage(); coverage != coveragePartial || len(unseen) != 1 || unseen[0].Name != "vnet1" {
		t.Errorf("with tap: %s, %+v", coverage, unseen)
	}
	if got := s.judge.runsOn.Source; got != "ust+tap" {
		t.Errorf("learns from %q", got)
	}
	s.extend(t.Context())
	if len(wishes) != 2 || wishes[0].vhost || !wishes[1].vhost || s.watcher.source == nil {
		t.Errorf("attached by %+v", wishes)
	}
	// The helper ends: trace points go on, and it is asked for again in time.
	h.err = probe.ErrNoHelper
	s.collect()
	s.retried = time.Time{}
	s.m.dial = func(context.Context) (helper, error) { return nil, probe.ErrNoHelper }
	s.extend(t.Context())
	if s.watcher.source == nil {
		t.Error("detached, though there is no helper")
	}
	s.retried = time.Time{}
	s.m.dial = func(context.Context) (helper, error) { return &fakeHelper{pid: 4321}, nil }
	s.extend(t.Context())
	if s.watcher.source != nil {
		t.Error("not attached anew, though there is a helper again")
	}
}

// What is missing is asked for less and less often, and what cannot be had not at all.
func TestMoreIsAskedForSeldom(t *testing.T) {
	for name, test := range map[string]struct {
		why  error
		want int
	}{
		"no helper":        {probe.ErrNoHelper, 4},
		"nothing of sorts": {fmt.Errorf("%w: no tap device", errSources), 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSingle(t, testConfig(t))
			s.m.dial = func(context.Context) (helper, error) { return &fakeHelper{pid: 4321}, nil }
			s.m.attach = func(libvirt.Domain, qemu.Process, wish) (source, error) {
				return &without{source: &fakeSource{next: batch{registered: true}}, sources: []probe.Source{probe.Tap}, why: test.why}, nil
			}
			s.begin()
			again := 0
			for range 8 {
				s.retried = s.retried.Add(-extendFirst) // so much time passes
				if s.extend(t.Context()); s.watcher.source == nil {
					again++
					s.begin()
				}
			}
			if again != test.want {
				t.Errorf("attached anew %d times; want %d", again, test.want)
			}
			if list := s.watcher.source.observed(); len(list) != 2 || list[1].Error == "" {
				t.Errorf("observed %+v", list)
			}
		})
	}
}

// What sees devices depends on the sources.
func TestUnseenBySource(t *testing.T) {
	s := newSingle(t, testConfig(t))
	disk, card := libvirt.Device{Kind: "disk"}, libvirt.Device{Kind: "interface", Tap: true}
	for name, test := range map[string]struct {
		counted    *features
		disk, card bool
	}{
		"trace points":    {newFeatures(testSet, nil, false), true, true},
		"tap":             {newFeatures(nil, []probe.Source{probe.Tap}, false), false, true},
		"functions":       {newFeatures(nil, []probe.Source{probe.Functions}, false), true, true},
		"tap, functions":  {newFeatures(nil, []probe.Source{probe.Tap, probe.Functions}, false), true, true},
		"system calls":    {newFeatures(nil, []probe.Source{probe.Syscalls}, false), false, false},
		"tap, exits":      {newFeatures(nil, []probe.Source{probe.Tap, probe.KVM}, false), false, true},
		"nothing for now": {nil, true, true},
	} {
		s.watcher.source = nil
		if test.counted != nil {
			s.watcher.source = &kernelSource{counted: test.counted}
		}
		if disk, card := s.unseen(disk) == "", s.unseen(card) == ""; disk != test.disk || card != test.card {
			t.Errorf("%s: disk seen: %t, card seen: %t", name, disk, card)
		}
	}
}
