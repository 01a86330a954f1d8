package monitor

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/price"
)

// What an action of a group enables is what its price is made of.
func TestGroupsArePriced(t *testing.T) {
	c := newIdleBench(t, testConfig(t), testSet).closer
	groups := 0
	for _, name := range c.names {
		if !actions.IsGroup(name) {
			continue
		}
		groups++
		enabled := c.events(name)
		if c.tells(name) {
			enabled = append(enabled, c.companions()...)
		}
		slices.Sort(enabled)
		priced := slices.Sorted(slices.Values(price.GroupEvents(name[len(actions.GroupPrefix):])))
		if diff := cmp.Diff(slices.Compact(enabled), priced); diff != "" {
			t.Errorf("%s: enabled and priced:\n%s", name, diff)
		}
		if price.CheckSources([]string{name}) != nil {
			t.Errorf("%s has no price", name)
		}
	}
	if groups != len(price.Groups()) {
		t.Errorf("%d groups, %d have prices", groups, len(price.Groups()))
	}
}
