package monitor

import (
	"errors"
	"slices"
	"testing"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// fakeRecording counts a constant rate of each event's hits, for as long as they are enabled.
type fakeRecording struct {
	off      map[string]bool
	switches int
	fail     error
}

func (f *fakeRecording) Disable(events []string) error {
	f.switches++
	for _, e := range events {
		f.off[e] = true
	}
	return f.fail
}

func (f *fakeRecording) Enable(events []string) error {
	f.switches++
	for _, e := range events {
		delete(f.off, e)
	}
	return f.fail
}

func TestBudget(t *testing.T) {
	set, err := catalogue.Load("counts")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeRecording{off: map[string]bool{}}
	b := newBudget(f, groupsOf(set), 1000)
	if len(b.groups) == 0 {
		t.Fatal("no events")
	}
	noisy, quiet := b.groups[0], b.groups[1]
	start := int64(0)
	// next is a unit in which noisy is hit so often a second, where it is recorded.
	next := func(rate float64) unit.Unit {
		u := unit.Unit{Start: start, Duration: int64(unit.Width), Counts: make([]uint64, len(set.Names()))}
		recorded := unit.Width
		if len(b.reduced) > 0 {
			recorded = b.slice
		}
		u.Counts[noisy.columns[0].From] = uint64(rate * recorded.Seconds())
		u.Counts[quiet.columns[0].From] = 20
		start += int64(unit.Width)
		return u
	}
	observe := func(u unit.Unit) unit.Unit {
		units := []unit.Unit{u}
		if err := b.observe(t.Context(), units, func() int64 { return start }); err != nil {
			t.Fatal(err)
		}
		return units[0]
	}
	if u := observe(next(900)); u.Lost > 0 || b.over() != "" || f.switches > 0 {
		t.Errorf("within the budget: lost %d, %q", u.Lost, b.over())
	}
	if u := observe(next(100_000)); u.Lost > 0 || !f.off[noisy.event] || f.off[quiet.event] || b.over() == "" {
		t.Errorf("over the budget: lost %d, off: %v, %q", u.Lost, f.off, b.over())
	}
	for range 5 {
		u := observe(next(100_000))
		if u.Lost == 0 || !slices.Equal(u.LostIn, noisy.columns) {
			t.Errorf("reduced: lost %d in %v", u.Lost, u.LostIn)
		}
		if u.Counts[noisy.columns[0].From] < 2*100 {
			t.Errorf("the flood does not show: %d hits", u.Counts[noisy.columns[0].From])
		}
		if !f.off[noisy.event] || b.slice < sliceLeast || b.slice > sliceMost {
			t.Errorf("recorded all the time: %v, %v", f.off, b.slice)
		}
	}
	lossy := next(100_000)
	lossy.Lost = 7
	if u := observe(lossy); u.Lost != 7 || u.LostIn != nil {
		t.Errorf("lossy as a whole: %d in %v", u.Lost, u.LostIn)
	}
	for i := range calmUnits {
		if b.over() == "" {
			t.Fatalf("calm after %d units", i)
		}
		observe(next(10))
	}
	if len(f.off) > 0 || b.over() != "" {
		t.Errorf("calm again: off: %v, %q", f.off, b.over())
	}
	start -= int64(unit.Width) // a unit in which the last slice was
	if u := observe(next(10)); u.Lost == 0 {
		t.Error("the last reduced unit is not marked")
	}
	if u := observe(next(10)); u.Lost > 0 || u.LostIn != nil {
		t.Errorf("all is recorded: lost %d in %v", u.Lost, u.LostIn)
	}
	// Nothing of a unit is not nothing of a domain.
	if err := b.observe(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
	f.fail = errors.New("gone")
	if err := b.observe(t.Context(), []unit.Unit{next(1e6)}, func() int64 { return start }); err == nil {
		t.Error("a failure is not told")
	}
	var none *budget
	if err := none.observe(t.Context(), []unit.Unit{next(1e9)}, nil); err != nil || none.over() != "" || newBudget(f, groupsOf(set), 0) != nil {
		t.Error("no budget limits something")
	}
}
