package main

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

func TestSourcesFlags(t *testing.T) {
	for _, args := range [][]string{
		{"sources"},
		{"sources", "-o", "x", "--rounds", "3"},
		{"sources", "-o", "x", "--price", "--short", "--each", "1s"},
		{"sources", "-o", "x", "more"},
	} {
		root := newRoot()
		root.SetArgs(append([]string{"--dir", t.TempDir() + "/virtsentry-lab-none"}, args...))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if root.Execute() == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestPrintSources(t *testing.T) {
	var b strings.Builder
	printSources(&b, lab.PlanProgress{Number: 1, Steps: 10}, lab.Recorded{Name: "train", Units: 3, Sources: map[string]lab.SourceCost{
		"default": {Hits: 400, Seconds: 4, LossyUnits: 1}, "tap": {Hits: 200, TimeNS: 60000, Seconds: 4}, "functions": {},
	}})
	_, got, _ := strings.Cut(b.String(), "1/10")
	want := " train: 3 units, with losses: 0\n  default: 100 hits/s; units with losses: 1\n  functions: 0 hits/s; units with losses: 0\n" +
		"  tap: 50 hits/s, 300 ns each in the kernel; units with losses: 0\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if err := printPrices(&b, []evaluation.Price{{Workload: "web", Unit: "requests/s", Arms: []string{evaluation.Off, "tap"}, Rates: [][]float64{{10, 9}}}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "0.900 (0.900 to 0.900)") {
		t.Error(b.String())
	}
}
