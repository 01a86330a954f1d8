package evaluation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

func TestJoinUnits(t *testing.T) {
	a := model.Recording{Features: []string{"a", "b"}, Units: []model.Observation{
		{Start: 2, Counts: []uint64{1, 2}}, {Start: 4, Counts: []uint64{3}}, {Start: 8, Counts: []uint64{5, 6}, Lossy: true},
	}}
	b := model.Recording{Features: []string{"c"}, Units: []model.Observation{
		{Start: 0, Counts: []uint64{9}}, {Start: 2, Counts: []uint64{10}, Lossy: true}, {Start: 4, Counts: []uint64{11}}, {Start: 6, Counts: []uint64{12}}, {Start: 8, Counts: []uint64{13}, Partial: true},
	}}
	want := model.Recording{Name: "r", Features: []string{"a", "b", "c"}, Units: []model.Observation{
		{Start: 2, Counts: []uint64{1, 2, 10}, Lossy: true}, {Start: 4, Counts: []uint64{3, 0, 11}}, {Start: 8, Counts: []uint64{5, 6, 13}, Lossy: true, Partial: true},
	}}
	if diff := cmp.Diff(want, joinUnits("r", []model.Recording{a, b})); diff != "" {
		t.Error(diff)
	}
	short := joinUnits("r", []model.Recording{b, a})
	if len(short.Units) != 3 {
		t.Errorf("joined the other way round there are %d units", len(short.Units))
	}
}

func TestSources(t *testing.T) {
	d := &Data{Engine: libsvmgo.Engine{}, SourceLabs: []SourceLab{syntheticLab("ust", SetDefault, SetTap, SetFunctions, SetSyscalls), syntheticLab("stock", SetTap)}}
	d.OfHeaders = func(column string) bool { return column == SetTap+":rare" }
	var r Results
	if err := d.sources(&r); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range r.Sources {
		got = append(got, a.Lab+" "+a.Name)
	}
	want := []string{"ust UST", "ust tap", "ust tap with headers", "ust functions", "ust tap + functions", "ust system calls", "ust all", "stock tap", "stock tap with headers", "stock all"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n, all := r.sourceResult("ust", "tap").Columns, r.sourceResult("ust", "tap with headers").Columns; n != 5 || all != 6 {
		t.Errorf("%d columns without headers, %d with", n, all)
	}
	if ns := r.sourceResult("ust", armUST).Cost.NanosecondsPerUnit; ns != nil {
		t.Errorf("the time of UST is not known, and yet it is %v", *ns)
	}
	// 2 x 50 us in 300 s, of two sources
	if ns := r.sourceResult("ust", armJoined).Cost.NanosecondsPerUnit; ns == nil || *ns < 1333 || *ns > 1334 {
		t.Errorf("nanoseconds a unit: %v", ns)
	}
	if c := r.sourceResult("ust", "system calls").Cost; c.HitsPerSecond < 50 || c.OthersPerSecond != 0 {
		t.Errorf("system calls: %+v", c) // more than the programs ran, which cannot be
	}
	for name := range d.SourceLabs[0].Costs {
		c := d.SourceLabs[0].Costs[name][SetSyscalls]
		c.Hits = 1e6
		d.SourceLabs[0].Costs[name][SetSyscalls] = c
	}
	if c := d.SourceLabs[0].cost([]string{SetSyscalls}); c.OthersPerSecond < 5000 || !strings.Contains(c.hits(), "of others") {
		t.Errorf("system calls of others: %+v", c)
	}
	delete(d.SourceLabs[0].Sets[SetTap], "judge")
	if err := d.sources(&r); err == nil || !strings.Contains(err.Error(), "judge lacks tap") {
		t.Errorf("a source that lacks a recording: %v", err)
	}
}

func TestSignTest(t *testing.T) {
	// So many on either side are outside that each tail of the binomial distribution has 2.5 % at most.
	for n, want := range map[int]int{1: 0, 5: 0, 6: 0, 8: 0, 9: 1, 11: 1, 12: 2, 20: 5} {
		if got := signTest(n); got != want {
			t.Errorf("%d values: %d outside on either side, want %d", n, got, want)
		}
	}
}

func TestPrice(t *testing.T) {
	p := Price{Arms: []string{"tap", Off}, Rates: [][]float64{{9, 10}, {8, 10}, {19, 20}}}
	if diff := cmp.Diff(Ratio{Median: 0.9, Low: 0.8, High: 0.95}, p.Ratio("tap")); diff != "" {
		t.Error(diff)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]Price{
		"nothing": {}, "no off": {Arms: []string{"tap"}, Rates: [][]float64{{1}}}, "no round": {Arms: []string{Off}},
		"too few": {Arms: []string{Off, "tap"}, Rates: [][]float64{{1}}}, "none": {Arms: []string{Off}, Rates: [][]float64{{}}}, "zero": {Arms: []string{Off}, Rates: [][]float64{{0}}},
	} {
		if bad.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
