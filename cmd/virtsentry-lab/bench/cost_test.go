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
	r := CostRun{
		rates: map[string]workRates{"web": {"syscall": 12}},
		cells: []*costCell{
			{Run: cost.Run{Workload: "web", Sources: []string{"syscalls"}}, way: pairs(1.1, 1.2, 1.3, 1.2)},
			{Run: cost.Run{Workload: "web", Sources: []string{"ust"}, HeldOut: true}, way: pairs(1, 1, 1)},
			{Run: cost.Run{Workload: "web", Sources: []string{"tap"}}, way: pairs(1, 1)}, // too few
		},
	}
	got := r.observations()
	want := []cost.Observation{
		{Workload: "web", Sources: []string{"syscalls"}, Rates: cost.Rates{"syscall": 1200}, Overhead: 0.2, Error: 0.04645, Pairs: 4},
		{Workload: "web", Sources: []string{"ust"}, Rates: cost.Rates{"syscall": 1200}, Pairs: 3, HeldOut: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
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
	for _, name := range []string{"bars", "coefficients", "held", "apart"} {
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
