package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

func TestWithin(t *testing.T) {
	done := []lab.Done{{At: time.Unix(1, 0), Work: 10}, {At: time.Unix(3, 0), Work: 30}, {At: time.Unix(9, 0), Work: 90}}
	units := []unit.Unit{
		{Start: 0, Duration: 2e9}, {Start: 2e9, Duration: 2e9, Counts: []uint64{1}}, {Start: 4e9, Duration: 2e9, Counts: []uint64{2}},
		{Start: 6e9, Duration: 1e9}, {Start: 8e9, Duration: 2e9},
	}
	speed, kept := within(units, done)
	if math.Abs(speed-10) > 1e-9 || !cmp.Equal(kept, units[1:3]) {
		t.Error(speed, kept)
	}
	if speed, kept := within(units, nil); speed != 0 || kept != nil {
		t.Error(speed, kept)
	}
	if speed, _ := within(units[:1], done); speed != 0 {
		t.Error(speed)
	}
	for at, want := range map[int64]float64{0: 10, 1e9: 10, 2e9: 20, 6e9: 60, 10e9: 90} {
		if got := workAt(done, at); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %d: %g, want %g", at, got, want)
		}
	}
}

func TestCostObservations(t *testing.T) {
	pairs := func(on ...float64) (w ImpactWay) {
		for _, x := range on {
			w.Pairs = append(w.Pairs, ImpactPair{Off: ImpactCost{Seconds: 0.01}, On: ImpactCost{Seconds: 0.01 * x}})
		}
		return w
	}
	rates := workRates{"syscall": 12}
	for _, tc := range []struct {
		run  cost.Run
		on   []float64
		want cost.Observation
		err  string
	}{
		{
			cost.Run{Workload: "web", Sources: []string{"syscalls"}}, []float64{1.1, 1.2, 1.3, 1.2},
			cost.Observation{Workload: "web", Sources: []string{"syscalls"}, Rates: cost.Rates{"syscall": 1200}, Overhead: 0.2, Error: 0.04645, Pairs: 4}, "",
		},
		{
			cost.Run{Workload: "web", Sources: []string{"ust"}, HeldOut: true}, []float64{1, 1, 1},
			cost.Observation{Workload: "web", Sources: []string{"ust"}, Rates: cost.Rates{"syscall": 1200}, Pairs: 3, HeldOut: true}, "",
		},
		{cost.Run{Workload: "web", Sources: []string{"tap"}}, []float64{1, 1}, cost.Observation{}, "2 pairs of slices"},
	} {
		way := pairs(tc.on...)
		got, err := observation(tc.run, &way, rates)
		if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%v: %v", tc.run, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRatesOfEvents(t *testing.T) {
	done := []lab.Done{{At: time.Unix(1, 0), Work: 10}, {At: time.Unix(9, 0), Work: 90}}
	f := unit.File{Features: []string{"virtqueue_fill", "memory_region_ops_write"}, Units: []unit.Unit{
		{Start: 2e9, Duration: 2e9, Counts: []uint64{7}}, {Start: 4e9, Duration: 2e9, Counts: []uint64{1, 80}}, {Start: 8e9, Duration: 2e9, Counts: []uint64{1, 1000}},
	}}
	for _, tc := range []struct {
		f    unit.File
		want workRates
	}{
		{f, workRates{"probe:memory": 2}}, // 80 in 4 s of 10 units of work a second
		{unit.File{Units: f.Units}, workRates{"probe:memory": 0}},
	} {
		got := workRates{}
		if err := got.ofEvents(tc.f, done); err != nil || !cmp.Equal(got, tc.want) {
			t.Errorf("%v, %v; want %v", got, err, tc.want)
		}
	}
	if err := (workRates{}).ofEvents(f, nil); err == nil {
		t.Error("no work: no error")
	}
}

// A calibration that goes on measures what is missing, in the same order, and nothing twice.
func TestCostDesign(t *testing.T) {
	design := func(done ...cost.Observation) (r CostRun, list []cost.Run) {
		r = CostRun{
			Sources: []string{"ust", "probes:all", "probes:memory", "tap", "tap-headers", "syscalls"}, Workloads: CostWorkloads, Apart: CostApart, Fit: 1, Held: 3, Done: done,
		}
		todo, err := r.design()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Concat(CostWorkloads, CostApart) {
			list = append(list, todo[name]...)
		}
		return r, list
	}
	first, all := design()
	if len(all) != 3*(6+1+3)+2*6 || first.all != len(all) || first.left != len(all) {
		t.Errorf("%d combinations; %d of %d are left", len(all), first.left, first.all)
	}
	var done []cost.Observation
	for i, run := range all {
		if slices.Contains(CostApart, run.Workload) && !run.HeldOut {
			t.Errorf("%v is not held out", run)
		}
		if i%2 == 0 {
			done = append(done, cost.Observation{Workload: run.Workload, Sources: run.Sources, HeldOut: run.HeldOut})
		}
	}
	second, rest := design(done...)
	if len(rest) != len(all)-len(done) || second.left != len(rest) || second.all != len(all) {
		t.Errorf("%d of %d are left", len(rest), len(all))
	}
	var want []cost.Run
	for i, run := range all {
		if i%2 == 1 {
			want = append(want, run)
		}
	}
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Error(diff)
	}
}

func TestTogether(t *testing.T) {
	var said []string
	one := func(name string, err error) lab.Toggle {
		say := func(what string) func(context.Context) error {
			return func(context.Context) error { said = append(said, name+" "+what); return err }
		}
		return lab.Toggle{On: say("on"), Off: say("off"), Close: func() (uint64, uint64, error) { said = append(said, name+" closed"); return 2, 1, err }}
	}
	both := together([]lab.Toggle{one("a", nil), one("b", nil)})
	if err := errors.Join(both.On(t.Context()), both.Off(t.Context())); err != nil {
		t.Error(err)
	}
	if seen, lossy, err := both.Close(); seen != 4 || lossy != 2 || err != nil {
		t.Error(seen, lossy, err)
	}
	if want := []string{"a on", "b on", "a off", "b off", "a closed", "b closed"}; !slices.Equal(said, want) {
		t.Error(said)
	}
	said = nil
	broken := together([]lab.Toggle{one("a", os.ErrClosed), one("b", nil)})
	if _, _, err := broken.Close(); !errors.Is(err, os.ErrClosed) || !slices.Contains(said, "b closed") {
		t.Error(err, said)
	}
	if err := broken.On(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// kept are the observations that the page shows.
const keptCosts = "../../../testdata/cost/lab.jsonl"

func TestCostPage(t *testing.T) {
	c, err := ReadCost(keptCosts)
	if err != nil {
		t.Fatal(err)
	}
	page := ""
	for _, name := range []string{"bars", "coefficients", "held", "apart", "without"} {
		page += "<!-- table: " + name + " -->\n<!-- end of table -->\n"
	}
	text, err := c.Fill(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| measured slow-down inside the 90 % interval |", "trace-point hit", "| disk |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	if again, err := c.Fill(text); err != nil || again != text {
		t.Error("filled again it differs", err)
	}
	dir := filepath.Join(t.TempDir(), "figures")
	if err := c.Plot(dir); err != nil {
		t.Fatal(err)
	}
	if svg, err := os.ReadFile(filepath.Join(dir, "cost.svg")); err != nil || !strings.Contains(string(svg), "<svg") {
		t.Error(err)
	}
	if _, err := ReadCost(filepath.Join(dir, "cost.svg")); !errors.Is(err, cost.ErrFormat) {
		t.Error(err)
	}
}

// TestCostRunRefuses has a lab that is not up.
func TestCostRunRefuses(t *testing.T) {
	l, err := lab.Open(filepath.Join(t.TempDir(), "virtsentry-lab"), logrus.New())
	if err != nil {
		t.Fatal(err)
	}
	r := CostRun{Lab: l, Sources: []string{price.UST}}
	if err := r.Measure(t.Context()); !errors.Is(err, lab.ErrNotUp) {
		t.Error(err)
	}
}
