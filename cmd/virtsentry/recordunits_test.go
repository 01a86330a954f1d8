package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

func TestGatheredUnits(t *testing.T) {
	var g gathered
	for i, counts := range []map[string]uint64{{"b": 1}, {}, {"a": 2, "c": 3}, {"b": 4}} {
		g.add(control.UnitReport{Start: time.Unix(int64(2*i), 0), Duration: 2, Lost: uint64(i), Counts: counts})
	}
	want := unit.File{Features: []string{"a", "b", "c"}}
	for i, counts := range [][]uint64{{0, 1, 0}, {0, 0, 0}, {2, 0, 3}, {0, 4, 0}} {
		want.Units = append(want.Units, unit.Unit{Start: int64(i) * int64(unit.Width), Duration: int64(unit.Width), Lost: uint64(i), Counts: counts})
	}
	if diff := cmp.Diff(want, g.file()); diff != "" {
		t.Error(diff)
	}
}
