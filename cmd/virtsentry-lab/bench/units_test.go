package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUnitsSection(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := UnitsSection(dir); ok || err != nil {
		t.Fatal(ok, err)
	}
	var u Units
	for round := range 3 {
		for n := 1; n <= 2; n++ {
			for i, way := range UnitsWays {
				u.Trials = append(u.Trials, UnitsTrial{
					Guests: n, Way: way, Round: round, CPU: 0.003 * float64(i+1) * float64(round+1), Elapsed: 0.5, Units: 4, Lossy: round,
				})
			}
		}
	}
	if u.Rounds() != 3 {
		t.Error(u.Rounds())
	}
	if err := Write(dir, File[Units]{Name: UnitsName, Result: u}); err != nil {
		t.Fatal(err)
	}
	text, ok, err := UnitsSection(dir)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, part := range []string{
		"| 2 | selected probes (virtsentryd) | 6.0 (3.0 to 9.0) | 3.00 | 500 (500 to 500) | 3 of 24 |", "at most 5: no", "| 6.00 | 3.00 | 0.50 | yes |",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
	if strings.Contains(text, "count for nothing") {
		t.Error("said to be short")
	}
	drawn(t, dir, PlotUnits, "units-cpu.svg", "units-elapsed.svg")
	if err := Write(dir, File[Units]{Name: UnitsName}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := UnitsSection(dir); err == nil {
		t.Error("nothing measured: no error")
	}
}

func TestUnitsIn(t *testing.T) {
	in := newUnitsIn(2)
	if _, err := in.trial(time.Second, time.Second); err == nil {
		t.Error("nothing: no error")
	}
	for start, late := range []time.Duration{100, 300, 200} {
		in.add(int64(start), late*time.Millisecond, 0)
		in.add(int64(start), 50*time.Millisecond, uint64(start))
	}
	in.add(9, time.Hour, 0) // not of both
	got, err := in.trial(10*time.Millisecond, 4*time.Second)
	want := UnitsTrial{CPU: 0.005, Elapsed: 0.2, Units: 3, Lossy: 2}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(diff, err)
	}
}
