package lab

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

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

func TestSourcesPlan(t *testing.T) {
	for name, spans := range map[string]SourceSpans{"full": FullSourceSpans, "short": ShortSourceSpans} {
		steps := SourcesPlan(spans, SourcesSeed)
		if err := checkSteps(steps); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		seeds := make(map[uint64]bool)
		for _, s := range slices.Concat(steps, evaluationPlan(t, FullSpans)) {
			if s.Load.Seed != 0 && seeds[s.Load.Seed] {
				t.Errorf("%s: %s has the seed of another recording", name, s.Name)
			}
			seeds[s.Load.Seed] = true
		}
		for _, s := range steps {
			if s.For < shortest || !slices.Contains(Scenarios(), s.Scenario) || s.Kind == KindAnomaly && s.Strength != Weak {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if len(steps) != 10 {
			t.Errorf("%s: %d steps", name, len(steps))
		}
	}
}

func unitsAt(starts ...int64) unit.File {
	f := unit.File{Features: []string{"a"}}
	for _, s := range starts {
		f.Units = append(f.Units, unit.Unit{Start: s * 1e9, Duration: 2e9, Counts: []uint64{uint64(s)}})
	}
	return f
}

func TestWriteSources(t *testing.T) {
	dir := t.TempDir()
	step := Step{Name: "one"}
	if err := os.Mkdir(filepath.Join(dir, "one"), 0o755); err != nil {
		t.Fatal(err)
	}
	tap, functions := unitsAt(0, 2, 4, 6, 8, 10), unitsAt(2, 4, 6, 8)
	tap.Units[0].Duration = 1e9
	tap.Units[2].Lost, functions.Units[1].Lost = 1, 2
	rec := step.recorded()
	if err := step.writeSources(&rec, dir, map[string]unit.File{"tap": tap, "functions": functions}); err != nil {
		t.Fatal(err)
	}
	if rec.Units != 2 || rec.LossyUnits != 1 || rec.Begin.Unix() != 4 {
		t.Errorf("%+v", rec)
	}
	got, err := unit.ReadFile(filepath.Join(dir, rec.Files["tap"]))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tap.Units[2:4], got.Units); diff != "" {
		t.Error(diff)
	}
	for name, files := range map[string]map[string]unit.File{
		"none":          nil,
		"too few":       {"tap": unitsAt(2, 4)},
		"never at once": {"tap": unitsAt(0, 2, 4, 6), "functions": unitsAt(8, 10, 12, 14)},
		"a gap":         {"tap": unitsAt(0, 2, 4, 8, 10)},
	} {
		if err := step.writeSources(&rec, dir, files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// fakeCounter gives a unit each time, and an error after some.
type fakeCounter struct {
	n, fail int
	closed  bool
}

var errBroken = errors.New("broken")

func (c *fakeCounter) Collect(bool) ([]unit.Unit, error) {
	c.n++
	if c.fail > 0 && c.n >= c.fail {
		return nil, errBroken
	}
	return unitsAt(int64(2 * c.n)).Units, nil
}
func (c *fakeCounter) Stats() (hits, ns uint64) { return 7, 70 }
func (c *fakeCounter) Close() error             { c.closed = true; return nil }

func TestSourceCounter(t *testing.T) {
	one := &sourceCounter{source: probe.Tap, counter: &fakeCounter{}, begin: time.Now().Add(-time.Second)}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := collect(ended, []*sourceCounter{one}); err != nil || len(one.units) != 0 {
		t.Errorf("a context that has ended: %v, %d units", err, len(one.units))
	}
	list, err := endAll([]*sourceCounter{one})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if c := list[0].cost; c.Hits != 7 || c.TimeNS != 70 || c.Seconds < 1 || len(list[0].file.Units) != 1 || len(list[0].file.Features) == 0 {
		t.Errorf("%+v", list[0])
	}
	broken := &sourceCounter{source: probe.Tap, counter: &fakeCounter{fail: 1}}
	if _, err := endAll([]*sourceCounter{one, broken}); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "tap") {
		t.Errorf("a source that fails: %v", err)
	}
	wide := &sourceCounter{source: "none", counter: &fakeCounter{}}
	if _, err := endAll([]*sourceCounter{wide}); err == nil {
		t.Error("more counts than columns: no error")
	}
	if err := closeSources([]*sourceCounter{one, broken}); err != nil || !broken.counter.(*fakeCounter).closed {
		t.Errorf("not closed: %v", err)
	}
}

func TestPriceArms(t *testing.T) {
	want := []string{evaluation.Off, "default", "tap", "functions", "syscalls", "tap+functions", "tap+functions+syscalls", "strace"}
	all := observable{ust: true, kernel: []probe.Source{probe.Tap, probe.Functions, probe.Syscalls}}
	if diff := cmp.Diff(want, all.priceArms()); diff != "" {
		t.Error(diff)
	}
	want = []string{evaluation.Off, "tap", "syscalls", "tap+syscalls", ArmStrace}
	if diff := cmp.Diff(want, observable{kernel: []probe.Source{probe.Tap, probe.Syscalls}}.priceArms()); diff != "" {
		t.Error(diff)
	}
}

func TestParseFileio(t *testing.T) {
	const text = `
File operations:
    reads/s:                      1200.50
    writes/s:                     800.25
    fsyncs/s:                     99.25

Throughput:
    read, MiB/s:                  18.75
`
	if got, err := parseFileio(text); err != nil || got != 2100 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseFileio("FATAL: no files\n"); err == nil || !strings.Contains(err.Error(), "no files") {
		t.Errorf("no rates: %v", err)
	}
}

func TestMeasurePricesKeepsWhatIsThere(t *testing.T) {
	l := testLab(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, PriceFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.MeasurePrices(t.Context(), PriceRun{Output: dir}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("prices that are there: %v", err)
	}
	if _, err := l.MeasurePrices(t.Context(), PriceRun{Output: t.TempDir()}); !errors.Is(err, ErrNotUp) {
		t.Errorf("no lab: %v", err)
	}
}
