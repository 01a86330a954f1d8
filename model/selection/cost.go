package selection

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// HitCost is what one hit of a trace point that is recorded costs the guest: measured on an LTTng-UST 2.13 trace point with 4 fields in
// discard mode, while the guest's thread makes it. Reading and judging costs the host something, too, but not the guest.
const HitCost = 154 * time.Nanosecond

// Feature is what can be chosen: columns that come together, and the events that must be enabled for them.
type Feature struct {
	Name    string
	Columns []int    // indices
	Events  []string // that the columns count
	Needs   []string // other events, without which the columns do not mean what they do
}

// Rates are hits a second: of each class by name, and of each event.
type Rates map[string]map[string]float64

// Cost is what some events cost the guest.
type Cost struct {
	HitsPerSecond      float64 `json:"hits_per_second"` // mean over the classes
	Share              float64 `json:"share"`           // of the guest's time: mean over the classes
	WorstHitsPerSecond float64 `json:"worst_hits_per_second"`
	WorstShare         float64 `json:"worst_share"`
	WorstClass         string  `json:"worst_class"`
}

// Cost returns what events cost, each once. Of an event without a rate it is nothing.
func (r Rates) Cost(events []string) Cost {
	events = slices.Compact(slices.Sorted(slices.Values(events)))
	c := Cost{WorstHitsPerSecond: -1}
	for _, class := range sortedKeys(r) {
		hits := 0.0
		for _, e := range events {
			hits += r[class][e]
		}
		c.HitsPerSecond += hits / float64(len(r))
		if hits > c.WorstHitsPerSecond {
			c.WorstHitsPerSecond, c.WorstClass = hits, class
		}
	}
	c.WorstHitsPerSecond = max(c.WorstHitsPerSecond, 0)
	c.Share, c.WorstShare = c.HitsPerSecond*HitCost.Seconds(), c.WorstHitsPerSecond*HitCost.Seconds()
	return c
}

func sortedKeys(r Rates) []string {
	var keys []string
	for k := range r {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// check says whether all rates are numbers.
func (r Rates) check() error {
	for _, class := range sortedKeys(r) {
		for e, v := range r[class] {
			if !(v >= 0 && v <= math.MaxFloat64) {
				return fmt.Errorf("class %q, event %q: %v hits a second is no rate", class, e, v)
			}
		}
	}
	return nil
}

// Events returns all events that features need, in alphabetical order.
func Events(features []Feature) []string {
	var list []string
	for _, f := range features {
		list = append(append(list, f.Events...), f.Needs...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
