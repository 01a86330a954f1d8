package monitor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	// calmUnits is how many units in a row a domain must have stayed below half its budget before all events are recorded again all the time.
	calmUnits = 15
	// sliceLeast and sliceMost bound for how long of each unit events that are over the budget are recorded.
	sliceLeast = 20 * time.Millisecond
	sliceMost  = 500 * time.Millisecond
)

// recordable is what a budget needs of a session.
type recordable interface {
	Disable(events []string) error
	Enable(events []string) error
}

// budget keeps a domain that floods its trace points from costing its host more than so many events a second: then the events that are hit most are recorded for
// a slice of each unit only, long enough to tell that the flood goes on. What is counted of them is a lower bound, and the units say so (LostIn): such a unit may be
// anomalous, and is never normal. QEMU is not held up at any time. A nil budget limits nothing. One goroutine uses it.
type budget struct {
	session recordable
	limit   float64 // events a second
	groups  []group // not changed

	reduced []group // recorded in slices; none: all is recorded
	since   int64   // units that end after it are reduced, in the units' time
	slice   time.Duration
	calm    int
	ended   int64 // units that begin before it were still reduced; 0: none
	was     []group
}

// group is one event of a feature set.
type group struct {
	event   string // as the session has it
	columns []unit.Columns
}

// newBudget is nil where there is no limit.
func newBudget(session recordable, groups []group, limit uint64) *budget {
	if limit == 0 {
		return nil
	}
	return &budget{session: session, limit: float64(limit), groups: groups}
}

// groupsOf are the events of a feature set with their columns. Nobody changes them, so that one list serves all domains.
func groupsOf(set *catalogue.Set) (groups []group) {
	entries, names := set.Entries(), set.TracePoints()
	for i := range entries {
		to := len(set.Names())
		if i+1 < len(entries) {
			to = entries[i+1].Base
		} else if p := set.Pairs(); p != nil {
			to = p.Base
		}
		columns := unit.Columns{From: entries[i].Base, To: to}
		at := slices.IndexFunc(groups, func(g group) bool { return unit.FeatureName(g.event) == entries[i].Event })
		if at >= 0 {
			groups[at].columns = append(groups[at].columns, columns)
			continue
		}
		name := slices.IndexFunc(names, func(n string) bool { return unit.FeatureName(n) == entries[i].Event })
		if name >= 0 {
			groups = append(groups, group{event: names[name], columns: []unit.Columns{columns}})
		}
	}
	return groups
}

// hits is how often the event was hit in a unit, as far as its columns tell.
func (g group) hits(u unit.Unit) (n float64) {
	for _, c := range g.columns {
		for _, v := range u.Counts[c.From:c.To] {
			n += float64(v)
		}
	}
	return n
}

func events(groups []group) []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.event)
	}
	return names
}

// observe takes the next units, marks those of which events were recorded in slices only, and records more or less from now on. now is the units' time.
func (b *budget) observe(ctx context.Context, units []unit.Unit, now func() int64) error {
	if b == nil {
		return nil
	}
	for i := range units {
		b.mark(&units[i])
	}
	var last *unit.Unit
	for i := range units {
		if units[i].Full() {
			last = &units[i]
		}
	}
	switch {
	case last == nil && len(b.reduced) > 0:
		return b.sample(ctx)
	case last == nil:
		return nil
	case len(b.reduced) == 0:
		return b.reduce(*last, now)
	}
	return b.proceed(ctx, *last, now)
}

// mark says of a unit what was recorded in slices only.
func (b *budget) mark(u *unit.Unit) {
	if b == nil {
		return
	}
	groups := b.reduced
	switch end := u.Start + u.Duration; {
	case len(groups) > 0 && end > b.since:
	case b.ended > 0 && u.Start < b.ended:
		groups = b.was
	default:
		return
	}
	if u.Lost > 0 && len(u.LostIn) == 0 {
		return // it is lossy as a whole
	}
	var lost []unit.Columns
	for _, g := range groups {
		lost = append(lost, g.columns...)
	}
	slices.SortFunc(lost, func(x, y unit.Columns) int { return cmp.Compare(x.From, y.From) })
	u.Lost, u.LostIn = u.Lost+1, lost
}

// reduce looks whether a unit was over the budget.
func (b *budget) reduce(u unit.Unit, now func() int64) error {
	seconds := time.Duration(u.Duration).Seconds()
	rate := 0.0
	for _, g := range b.groups {
		rate += g.hits(u) / seconds
	}
	if rate <= b.limit {
		return nil
	}
	order := slices.Clone(b.groups)
	slices.SortStableFunc(order, func(x, y group) int { return cmp.Compare(y.hits(u), x.hits(u)) })
	var noisy []group
	for _, g := range order {
		if rate <= b.limit/2 {
			break
		}
		noisy = append(noisy, g)
		rate -= g.hits(u) / seconds
	}
	b.reduced, b.since, b.calm, b.slice = noisy, now(), 0, sliceLeast
	return b.session.Disable(events(noisy))
}

// proceed looks, by what a slice has shown, whether the flood goes on.
func (b *budget) proceed(ctx context.Context, u unit.Unit, now func() int64) error {
	rate, rest := 0.0, 0.0
	for _, g := range b.groups {
		if slices.ContainsFunc(b.reduced, func(r group) bool { return r.event == g.event }) {
			rate += g.hits(u) / b.slice.Seconds()
		} else {
			rest += g.hits(u) / time.Duration(u.Duration).Seconds()
		}
	}
	if b.calm++; rate+rest > b.limit/2 {
		b.calm = 0
	}
	if b.calm >= calmUnits {
		b.was, b.ended, b.reduced = b.reduced, now(), nil
		return b.session.Enable(events(b.was))
	}
	// As long as half the budget allows.
	b.slice = sliceMost
	if rate > 0 {
		share := b.limit / 2 / rate
		b.slice = min(max(time.Duration(share*float64(unit.Width)), sliceLeast), sliceMost)
	}
	return b.sample(ctx)
}

// sample records for a slice what is reduced.
func (b *budget) sample(ctx context.Context) error {
	if err := b.session.Enable(events(b.reduced)); err != nil {
		return err
	}
	t := time.NewTimer(b.slice)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return b.session.Disable(events(b.reduced))
}

// over says in words what is recorded in slices only; empty: nothing.
func (b *budget) over() string {
	if b == nil || len(b.reduced) == 0 {
		return ""
	}
	return fmt.Sprintf("more than %.0f events a second (lttng.domain_events_per_second): %v recorded for %v of each unit only", b.limit, events(b.reduced), b.slice.Round(time.Millisecond))
}
