package monitor

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// What is remembered is what was added: all of it, or the newest.
func TestUnitLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := unitLog{keep: rapid.SampledFrom([]int{0, 1, 7, 100, 200}).Draw(t, "keep")}
		var want []unit.Unit
		width := 5
		for range rapid.IntRange(0, 300).Draw(t, "units") {
			if rapid.IntRange(0, 99).Draw(t, "another feature set") == 0 {
				width = rapid.IntRange(0, 600).Draw(t, "width")
			}
			u := unit.Unit{Start: rapid.Int64().Draw(t, "start"), Duration: int64(unit.Width), Counts: make([]uint64, width)}
			for range min(3, width) {
				u.Counts[rapid.IntRange(0, width-1).Draw(t, "column")] = rapid.Uint64().Draw(t, "count")
			}
			l.add(u)
			if want = append(want, u); l.keep > 0 && len(want) > l.keep {
				want = want[1:]
			}
			if l.last != u.Start || l.length != len(want) {
				t.Fatalf("last %d of %d units, want %d of %d", l.last, l.length, u.Start, len(want))
			}
		}
		var got []unit.Unit
		l.all(func(u unit.Unit) { got = append(got, u) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if l.clear(); l.length != 0 || len(l.chunks) != 0 {
			t.Fatal("not empty")
		}
	})
}

// What was counted by other sources, before the domain was attached to anew, keeps its names.
func TestPastUnitKeepsItsFeatures(t *testing.T) {
	p := pastUnit{counts: lone(unit.Unit{Counts: []uint64{1, 0, 3}}), features: []string{"a", "b", "c"}}
	if got, want := p.whole().Counts, map[string]uint64{"a": 1, "c": 3}; !maps.Equal(got, want) {
		t.Errorf("counts %v; want %v", got, want)
	}
}
