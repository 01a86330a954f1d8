package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// impactOf makes pairs in which a unit of work takes so many seconds of CPU time while it is observed, for each second without, and twice the time.
func impactOf(way string, on ...float64) ImpactWorkload {
	w := ImpactWorkload{
		Name: "disk", What: "requests", Unit: "requests", Events: []ImpactEvent{{"a", 1}, {"b", 3}}, Rounds: 1, Ways: map[string]*ImpactWay{way: {Units: 2, Lossy: 1}},
	}
	for _, cpu := range on {
		w.Ways[way].Pairs = append(w.Ways[way].Pairs, ImpactPair{Off: ImpactCost{CPU: 1, Seconds: 2}, On: ImpactCost{CPU: cpu, Seconds: 2 * cpu}})
	}
	return w
}

func TestImpactCost(t *testing.T) {
	for _, of := range []func(ImpactCost) float64{cpuOf, secondsOf} {
		c, n, ok, err := impactOf(ArmAll, 1.25, 2, 1).cost(ArmAll, of)
		if diff := cmp.Diff(Cost{Median: 0.2, Low: 0, High: 0.5}, c, cmpopts.EquateApprox(0, 1e-9)); !ok || n != 3 || err != nil || diff != "" {
			t.Error(n, ok, err, diff)
		}
	}
	if _, _, ok, err := impactOf(ArmAll, 1).cost(ArmStrace, cpuOf); ok || err != nil {
		t.Error("not measured:", ok, err)
	}
	if _, _, _, err := impactOf(ArmAll, 1, 0).cost(ArmAll, cpuOf); err == nil {
		t.Error("no time: no error")
	}
}

func TestImpactPairText(t *testing.T) {
	for text, ok := range map[string]bool{"0.001 2.5e-05 3 4": true, "1 2 3": false, "": false, "1 2 3 x": false} {
		var p ImpactPair
		err := p.UnmarshalText([]byte(text))
		if again, _ := p.MarshalText(); (err == nil) != ok || ok && string(again) != text {
			t.Errorf("%q: %+v, %v, %q", text, p, err, again)
		}
	}
}

func TestImpactAdd(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	var done []lab.Done
	var clocks []cpuReading
	work, cpu := 0.0, 0.0 // 10 units of work each second; a CPU's time while it is on, and half of it while not
	list := []slice{{false, at(0), at(2)}, {true, at(2), at(4)}, {true, at(4), at(6)}, {false, at(6), at(8)}, {false, at(8), at(10)}}
	for i := range 1000 {
		now := float64(i) / 100
		done = append(done, lab.Done{At: at(now), Work: work})
		clocks = append(clocks, cpuReading{at(now), time.Duration(cpu * 1e9)})
		work += 0.1
		if cpu += 0.005; now >= 2 && now < 6 {
			cpu += 0.005
		}
	}
	var w ImpactWay
	w.add(list, done, clocks)
	want := []ImpactPair{{Off: ImpactCost{0.05, 0.1}, On: ImpactCost{0.1, 0.1}}, {Off: ImpactCost{0.05, 0.1}, On: ImpactCost{0.1, 0.1}}}
	if diff := cmp.Diff(want, w.Pairs, cmpopts.EquateApprox(0, 1e-3)); diff != "" {
		t.Error(diff)
	}
	w = ImpactWay{}
	w.add(list, done[:150], clocks) // what is not known to the end
	w.add(list, done, clocks[:150])
	w.add(list[:1], done, clocks)
	if len(w.Pairs) > 0 {
		t.Error(w.Pairs)
	}
}

func TestCut(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	nothing := func(context.Context) error { return nil }
	toggle := lab.Toggle{On: nothing, Off: nothing}
	list, err := cut(ctx, toggle, time.Millisecond)
	if err != nil || len(list) < 4 {
		t.Fatal(list, err)
	}
	for i, want := range []bool{false, true, true, false} {
		if list[i].on != want || !list[i].end.After(list[i].begin) {
			t.Errorf("slice %d: %+v", i, list[i])
		}
	}
	toggle.On = func(context.Context) error { return errors.New("no luck") }
	if _, err := cut(t.Context(), toggle, time.Millisecond); err == nil {
		t.Error("no error")
	}
}

func TestHolds(t *testing.T) {
	for want, c := range map[string]Cost{"yes": {0.001, 0, 0.002}, "no": {0.006, 0, 0.01}, "yes, though the interval goes beyond it": {0.001, -0.01, 0.02}} {
		if got := holds(c, 0.005); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
}

func TestImpactSection(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := ImpactSection(dir); ok || err != nil {
		t.Fatal(ok, err)
	}
	var m Impact
	for _, more := range []ImpactWorkload{impactOf(ArmSelected, 1, 1), impactOf(ArmSelected, 1), impactOf(ArmStrace, 2)} {
		m.Keep(m.Workload("disk"), more)
	}
	if w := m.Workload("disk"); len(m.Workloads) != 1 || w.Rounds != 3 || len(w.Ways[ArmSelected].Pairs) != 3 || len(w.Ways[ArmStrace].Pairs) != 1 {
		t.Fatal(m)
	}
	if err := Write(dir, File[Impact]{Name: ImpactName, Short: true, Result: m}); err != nil {
		t.Fatal(err)
	}
	text, ok, err := ImpactSection(dir)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, part := range []string{"count for nothing", "| disk | 2.0 | 0.00 (0.00 to 0.00) | yes |", "2 of 4", "| disk | request | 1000000 | 4 | 0.616 | 0.000 | `b` 3, `a` 1 |"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
	drawn(t, dir, PlotImpact, "impact-cpu.svg", "impact-time.svg")
}

// drawn draws into a new directory, in which these files are to be then.
func drawn(t *testing.T, dir string, plot func(dir, figures string) error, names ...string) {
	t.Helper()
	figures := t.TempDir()
	if err := plot(dir, figures); err != nil {
		t.Fatal(err)
	}
	var got []string
	entries, err := os.ReadDir(figures)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
		if raw, err := os.ReadFile(filepath.Join(figures, e.Name())); err != nil || !strings.Contains(string(raw), "</svg>") {
			t.Errorf("%s is no drawing: %v", e.Name(), err)
		}
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Error(diff)
	}
}
