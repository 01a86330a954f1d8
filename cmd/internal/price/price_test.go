package price

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

func TestKind(t *testing.T) {
	for _, tc := range []struct {
		column, want string
		ok           bool
	}{
		{"virtqueue_fill:net.tx", "probe:network", true},
		{"virtio_blk_handle_read", "probe:disk", true},
		{"exec_tb", "probe:rest", true},
		{"memory_region_ops_write:virtio-pci-notify-virtio-net", "", false},
		{"memory_region_ops_write", "probe:rest", true},
		{"tap:received:len<32", "packet", true},
		{"tap:received:syn", "packet", false},
		{"tap:sent:peers", "packet", false},
		{"functions:msix_notify", "function", true},
		{"syscalls:vcpu:ioctl", "syscall", true},
		{"kvm:exit:io", "kvm", true},
		{"guest-syscalls:59", "guest-syscall", true},
		{"pair:a>b", "", false},
		{"virtio_notify:net.rx:gap<1000", "", false},
	} {
		if got, ok := Kind(tc.column); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s: %q, %v; want %q, %v", tc.column, got, ok, tc.want, tc.ok)
		}
	}
}

// TestSchemeIsComplete: whatever a source counts has a price by that source, and only kinds that something counts do.
func TestSchemeIsComplete(t *testing.T) {
	scheme := Scheme()
	counted := map[string]bool{probeRest: true, kindGuest: true, "probe:memory": true}
	columns := map[string][]string{}
	set, err := catalogue.Load(catalogue.DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	columns[UST] = set.Names()
	all, err := catalogue.Load(catalogue.WideSet)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all.Entries() {
		c := all.Columns()[e.Base]
		columns[GroupPrefix+c.Subsystem] = append(columns[GroupPrefix+c.Subsystem], c.Name)
		if !slices.Contains(set.Events(), e.Event) && slices.Contains(Subsystems(), c.Subsystem) {
			t.Errorf("%s is of %s, and not of the default set: its kind would be taken for that set's", e.Event, c.Subsystem)
		}
	}
	for _, s := range probe.Sources() {
		for _, c := range s.Columns() {
			columns[string(s)] = append(columns[string(s)], c.Name)
		}
	}
	for source, names := range columns {
		for _, name := range names {
			kind, ok := Kind(name)
			if !ok {
				continue
			}
			counted[kind] = true
			if !slices.Contains(scheme.Kinds(source), kind) {
				t.Errorf("%s counts %s, of kind %q, which has no price there", source, name, kind)
			}
		}
	}
	for _, kind := range scheme.Kinds(scheme.Sources()...) {
		if !counted[kind] {
			t.Errorf("kind %q has a price, and no source counts it", kind)
		}
	}
	if len(Subsystems()) == 0 {
		t.Error("the default set has no subsystems")
	}
}

// A group is priced by all that its action enables, and none goes together with what sees the same.
func TestGroups(t *testing.T) {
	if got, want := Groups(), []string{"disk", "memory", "network", "serial", "usb", "virtio"}; !cmp.Equal(got, want) {
		t.Errorf("groups: %v", got)
	}
	for group, want := range map[string][]string{
		"memory": {"probe:memory"}, "disk": {"probe:disk"}, "network": {"probe:network", "probe:virtio"}, "virtio": {"probe:network", "probe:virtio"},
	} {
		if got := SourceKinds(GroupPrefix + group); !cmp.Equal(got, want) {
			t.Errorf("%s pays for %v, want %v", group, got, want)
		}
	}
	if kind, ok := EventKind("memory_region_ops_write"); !ok || kind != "probe:memory" {
		t.Errorf("memory_region_ops_write: %q, %v", kind, ok)
	}
	if kind, ok := EventKind("virtqueue_fill"); ok {
		t.Errorf("virtqueue_fill: %q", kind)
	}
	var m Meter
	m.Observing("probes:memory")
	m.Report(control.UnitReport{Duration: 2, Counts: map[string]uint64{"memory_region_ops_write:virtio-pci-notify-virtio-net": 10}})
	if rates, err := m.Rates(); err != nil || len(rates) > 0 {
		t.Errorf("rates by some of the hits: %v, %v", rates, err)
	}
	if events := GroupEvents("memory"); !cmp.Equal(events, []string{"qemu:memory_region_ops_write"}) {
		t.Errorf("memory: %v", events)
	}
	if events := GroupEvents("network"); !slices.Contains(events, "qemu:virtio_notify") || !slices.Contains(events, "qemu:qemu_deliver_packet") {
		t.Errorf("network: %v", events)
	}
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"tap", "tap-headers", true}, {"tap-headers", "tap", true}, {"probes:all", "probes:disk", true}, {"probes:virtio", "probes:all", true},
		{"probes:disk", "probes:virtio", false}, {"ust", "probes:all", false}, {"tap", "syscalls", false},
	} {
		if Exclude(tc.a, tc.b) != tc.want {
			t.Errorf("%s and %s: %v", tc.a, tc.b, !tc.want)
		}
	}
}

func TestMeter(t *testing.T) {
	var m Meter
	if _, err := m.Rates(); err == nil {
		t.Error("no time: no error")
	}
	m.Observing("syscalls")
	m.Observing("kvm")
	for range 2 {
		m.Report(control.UnitReport{Duration: 2, Counts: map[string]uint64{"syscalls:vcpu:ioctl": 100, "syscalls:main:ppoll": 20, "tap:sent:len<32": 10, "tap:sent:syn": 10}})
	}
	m.Report(control.UnitReport{Counts: map[string]uint64{"syscalls:vcpu:ioctl": 100}}) // of no duration
	want := cost.Rates{"syscall": 60, "packet": 5, "kvm": 0}
	if got, err := m.Rates(); err != nil || !cmp.Equal(want, got) {
		t.Error(err, cmp.Diff(want, got))
	}
	var f Meter
	f.File(unit.File{Features: []string{"syscalls:vcpu:ioctl", "kvm:exit:io", "pair:a>b"}, Units: []unit.Unit{
		{Duration: int64(time.Second), Counts: []uint64{7, 0, 5}}, {Start: int64(2 * time.Second), Duration: int64(time.Second), Counts: []uint64{3}},
	}})
	want = cost.Rates{"syscall": 5, "kvm": 0}
	if got, err := f.Rates(); err != nil || !cmp.Equal(want, got) {
		t.Error(err, cmp.Diff(want, got))
	}
}

func TestRunning(t *testing.T) {
	d := control.DomainStatus{Sources: []control.Source{{Name: "ust"}, {Name: "tap", Error: "no helper"}, {Name: "syscalls"}, {Name: "new"}}}
	if got, want := Running(d), []string{"ust", "syscalls"}; !cmp.Equal(got, want) {
		t.Error(got)
	}
}

func TestSentence(t *testing.T) {
	p := cost.Prediction{Slowdown: 0.031, Low: 0.019, High: 0.146}
	for _, tc := range []struct {
		with []string
		want string
	}{
		{[]string{"syscalls"}, "web: syscalls costs 3.1 % (1.9 to 15 %) of its speed"},
		{[]string{"kvm", "syscalls"}, "web: kvm and syscalls cost 3.1 % (1.9 to 15 %) of its speed"},
		{[]string{"kvm", "tap", "syscalls"}, "web: kvm, tap and syscalls cost 3.1 % (1.9 to 15 %) of its speed"},
	} {
		if got := Sentence("web", tc.with, p); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	p.Estimated, p.Beyond = []string{"syscall"}, []string{"kvm"}
	if r := strings.Join(Remarks(p), "\n"); !strings.Contains(r, "rate of syscall is not known") || !strings.Contains(r, "rate of kvm is far above") {
		t.Error(r)
	}
}

func TestLoad(t *testing.T) {
	none := filepath.Join(t.TempDir(), "cost.json")
	if _, err := Load(none); !errors.Is(err, ErrNoCalibration) {
		t.Error(err)
	}
	if err := os.WriteFile(none, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(none); !errors.Is(err, cost.ErrFormat) || !strings.Contains(err.Error(), none) {
		t.Error(err)
	}
}

func TestCheckSources(t *testing.T) {
	if err := CheckSources([]string{"ust", "probes:disk", "guest-syscalls"}); err != nil {
		t.Error(err)
	}
	if err := CheckSources([]string{"ust", "oracle"}); !errors.Is(err, cost.ErrUnknownSource) || !strings.Contains(err.Error(), `"oracle": there are functions`) {
		t.Error(err)
	}
}
