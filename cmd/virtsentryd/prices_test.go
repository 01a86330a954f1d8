package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/model/cost"
)

// observedAs is a domain as prices look at it.
type observedAs struct {
	counts control.Counts
	err    error
}

func (s observedAs) Domain(string) (control.DomainStatus, error) {
	return control.DomainStatus{Sources: []control.Source{{Name: price.UST}}}, s.err
}

func (s observedAs) Counts(string, control.CountsSpan) (control.Counts, error) {
	return s.counts, s.err
}

// busy is a domain with so many requests of its disk in each unit.
func busy(mean float64) observedAs {
	row := control.CountsRow{Mean: mean}
	row.Feature = "virtio_blk_handle_read"
	return observedAs{counts: control.Counts{Total: 100, Rows: []control.CountsRow{row}}}
}

func TestPrices(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cost.json")
	p := &prices{domains: busy(4000), file: file}
	ask := func(with ...string) control.ActionPrice { return p.Quotes(actions.Subject{Name: "web"})(with, nil) }
	if got := ask("probes:all"); got.Known || !strings.Contains(got.Why, "virtsentry cost calibrate") {
		t.Errorf("with no calibration: %+v", got)
	}
	calibrate(t, file)
	few := ask("probes:all")
	if !few.Known || few.Slowdown < 0 || few.Low > few.Slowdown || few.High < few.Slowdown || few.High <= 0 {
		t.Errorf("calibrated: %+v", few)
	}
	p.domains = busy(400_000)
	if many := ask("probes:all"); many.Slowdown <= few.Slowdown || !strings.Contains(many.Why, "far above") {
		t.Errorf("%+v at a hundred times the rate; %+v before", many, few)
	}
	if got := ask("probes:nothing"); got.Known || !strings.Contains(got.Why, "probes:nothing") {
		t.Errorf("a source that there is not: %+v", got)
	}
	p.domains = observedAs{}
	if got := ask("probes:all"); got.Known || !strings.Contains(got.Why, "rates") {
		t.Errorf("with no unit: %+v", got)
	}
	p.domains = observedAs{err: control.ErrNoDomain}
	if got := ask("probes:all"); got.Known || got.Why != control.ErrNoDomain.Error() {
		t.Errorf("with no domain: %+v", got)
	}
	p.domains = busy(4000)
	if err := os.WriteFile(file, []byte("this is none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.load(); !errors.Is(err, cost.ErrFormat) || !strings.Contains(err.Error(), file) {
		t.Errorf("a damaged calibration: %v", err)
	}
	if got := ask("probes:all"); got.Known {
		t.Errorf("by a damaged calibration: %+v", got)
	}
	calibrate(t, file)
	if got := ask("probes:all"); got != few {
		t.Errorf("calibrated again: %+v; want %+v", got, few)
	}
}

// What an action is measured to cost follows from the events that it meets.
func TestAppraisal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cost.json")
	p := &prices{domains: busy(4000), file: file}
	measure := func(hits uint64) control.ActionPrice {
		g := p.Appraise(actions.Subject{Name: "web"}, []string{"probes:disk"}, nil)
		defer g.Close()
		return g.Measure(actions.Evidence{Seconds: 2, Counts: map[string]uint64{"virtio_blk_handle_read": hits}})
	}
	if got := measure(10); got.Known || !strings.Contains(got.Why, "virtsentry cost calibrate") {
		t.Errorf("with no calibration: %+v", got)
	}
	calibrate(t, file)
	few, many := measure(10), measure(2_000_000)
	if !few.Known || !many.Known || many.Slowdown <= few.Slowdown || many.High < many.Slowdown || !strings.Contains(many.Why, "counted") {
		t.Errorf("%+v for few events; %+v for many", few, many)
	}
	p.domains = observedAs{} // nothing is known of it from before
	if got := measure(2_000_000); !got.Known || got.Slowdown <= few.Slowdown {
		t.Errorf("of a domain of which no unit is remembered: %+v", got)
	}
}

// An action that meets far more than was thought is stopped, and the next one is refused for what was learnt.
func TestDearActionIsLearnt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cost.json")
	write(t, file, madeUp())
	p := &prices{domains: busy(10), file: file}
	d := actions.Subject{UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809", Name: "web"}
	before := p.Quotes(d)([]string{"syscalls"}, nil)
	if !before.Known || !strings.Contains(before.Why, "estimated") {
		t.Fatalf("before: %+v", before)
	}
	budget := before.High + 0.01
	limits := actions.Limits{Budget: &budget, Usual: time.Minute, Longest: time.Minute}
	var r actions.Registry
	ask := func() (control.Action, error) {
		return r.Ask(time.Now(), d, []string{"syscalls"}, 0, limits, p.Quotes(d))
	}
	a, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	r.Begin(time.Now(), a.ID, "")
	g := p.Appraise(d, []string{"syscalls"}, nil)
	over := ""
	for range 3 {
		over = r.Measured(time.Now(), a.ID, g.Measure(actions.Evidence{Seconds: 2, Counts: map[string]uint64{"syscalls:vcpu:ioctl": 20_000_000}}))
	}
	g.Close()
	if !strings.Contains(over, "the budget is") {
		t.Errorf("it is not stopped: %q", over)
	}
	r.End(time.Now(), a.ID, control.EndedDear, over)
	if after := p.Quotes(d)([]string{"syscalls"}, nil); after.High <= budget || strings.Contains(after.Why, "estimated") {
		t.Errorf("after: %+v; before: %+v", after, before)
	}
	if _, err := ask(); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "its budget is") {
		t.Errorf("asked again: %v", err)
	}
	if other := p.Quotes(actions.Subject{UUID: "another"})([]string{"syscalls"}, nil); other.High != before.High {
		t.Errorf("of another domain: %+v", other)
	}
	for i := range mostMet {
		p.learn(strconv.Itoa(i), cost.Rates{"kvm": 1})
	}
	if _, there := p.met[d.UUID]; there || len(p.met) != mostMet {
		t.Errorf("%d domains are kept, the oldest is: %v", len(p.met), there)
	}
}

// madeUp are observations of a host on which a system call costs 2 µs, and a hit of a trace point 0.1 µs.
func madeUp() (o cost.Observations) {
	for i, calls := range []float64{1000, 8000, 30_000} {
		rates := cost.Rates{"syscall": calls}
		hits := 0.0
		for j, kind := range price.SourceKinds(price.UST) {
			rates[kind] = calls / float64(j+1)
			hits += rates[kind]
		}
		for _, sources := range [][]string{{"syscalls"}, {price.UST}, {price.UST, "syscalls"}} {
			x := cost.Observation{Workload: "work " + strconv.Itoa(i), Sources: sources, Rates: rates, Error: 0.001}
			for _, name := range sources {
				x.Overhead += map[string]float64{"syscalls": 2e-6 * calls, price.UST: 1e-7 * hits}[name]
			}
			o.List = append(o.List, x)
		}
	}
	return o
}

// calibrate writes the calibration of what the lab's guest was observed to do.
func calibrate(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open("../../testdata/cost/lab.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	o, err := cost.ReadObservations(f)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, o)
}

// write writes the calibration that observations give.
func write(t *testing.T, file string, o cost.Observations) {
	t.Helper()
	c, err := cost.Fit(price.Scheme(), o)
	if err != nil {
		t.Fatal(err)
	}
	to, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Encode(to), to.Close(), os.Chtimes(file, time.Now(), time.Now())); err != nil {
		t.Fatal(err)
	}
}
