package evaluation

import (
	"fmt"
	"slices"

	"github.com/virtsentry/virtsentry/model"
)

// The sources of the host's kernel, as sets of units; [SetSyscalls] is the third.
const (
	SetTap       = "tap"
	SetFunctions = "functions"
)

// SourceCost is what a source cost the host in a recording.
type SourceCost struct {
	Hits    uint64
	TimeNS  uint64 // in the kernel's programs; 0: not known
	Seconds float64
}

// SourceLab are recordings of several sources of one guest, all of the same time.
type SourceLab struct {
	Name   string // of its QEMU: ust or stock; with [Again], the second recording
	Plan   []Recorded
	Sets   map[string]Recordings            // by source; SetDefault is UST
	Costs  map[string]map[string]SourceCost // by recording and source
	Prices []Price
}

// Again ends the names of labs in which everything was recorded a second time, with other seeds, after a choice was made by the first.
const Again = "-again"

// SourceArm is a source, or several whose units are joined, by which a guest is judged.
type SourceArm struct {
	Lab     string
	Name    string
	Columns int // that any recording has a hit in
	Lossy   int // units
	Result  *model.Evaluation
	Cost    ArmCost
}

// ArmCost is what an arm's sources cost in the normal recordings.
type ArmCost struct {
	HitsPerSecond float64 // by the guest
	// OthersPerSecond is how often the programs ran for other processes of the host, which they pass over: every system call is one.
	OthersPerSecond    float64
	NanosecondsPerUnit *float64 // in the programs, for others too; nil where it is not known of each source
}

// SourcePrice is a workload's rate while a source observes it, to that without.
type SourcePrice struct {
	Lab, Workload, Arm string
	Rounds             int
	Ratio              Ratio
}

// sourceArm says which sources are joined.
type sourceArm struct {
	name    string
	sets    []string
	headers bool // those columns of tap that only packets' headers tell
}

// Names of arms that others are compared with.
const (
	armUST    = "UST"
	armJoined = "tap + functions"
)

// sourceArms are those that have a row in the page.
var sourceArms = []sourceArm{
	{name: armUST, sets: []string{SetDefault}},
	{name: "tap", sets: []string{SetTap}},
	{name: "tap with headers", sets: []string{SetTap}, headers: true},
	{name: "functions", sets: []string{SetFunctions}},
	{name: armJoined, sets: []string{SetTap, SetFunctions}},
	{name: "system calls", sets: []string{SetSyscalls}},
	{name: "all", sets: []string{SetDefault, SetTap, SetFunctions, SetSyscalls}, headers: true},
}

// sources judges each lab's recordings by each source and by several together.
func (d *Data) sources(r *Results) error {
	for _, l := range d.SourceLabs {
		for _, a := range sourceArms {
			arm, err := d.sourceArm(l, a)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", l.Name, a.name, err)
			}
			if arm != nil {
				r.Sources = append(r.Sources, *arm)
			}
		}
		for _, p := range l.Prices {
			for _, arm := range p.Arms {
				if arm != Off {
					r.SourcePrices = append(r.SourcePrices, SourcePrice{Lab: l.Name, Workload: p.Workload, Arm: arm, Rounds: len(p.Rates), Ratio: p.Ratio(arm)})
				}
			}
		}
	}
	return nil
}

// sourceArm is nil where the lab has not recorded the sources. "all" are those that were.
func (d *Data) sourceArm(l SourceLab, a sourceArm) (*SourceArm, error) {
	sets := slices.DeleteFunc(slices.Clone(a.sets), func(set string) bool { return len(l.Sets[set]) == 0 })
	if len(sets) == 0 || len(sets) < len(a.sets) && a.name != "all" {
		return nil, nil
	}
	joined := Recordings{}
	for _, x := range l.Plan {
		var parts []model.Recording
		for _, set := range sets {
			part, ok := l.Sets[set][x.Name]
			if !ok {
				return nil, fmt.Errorf("recording %s lacks %s", x.Name, set)
			}
			if set == SetTap && !a.headers && d.OfHeaders != nil {
				part = regroup(part, dropped(d.OfHeaders))
			}
			parts = append(parts, part)
		}
		joined[x.Name] = joinUnits(x.Name, parts)
	}
	joined = hit(joined)
	arm := &SourceArm{Lab: l.Name, Name: a.name}
	kinds := map[string][]string{}
	for _, x := range l.Plan {
		kinds[x.Kind] = append(kinds[x.Kind], x.Name)
		arm.Columns = len(joined[x.Name].Features)
		for _, u := range joined[x.Name].Units {
			if u.Lossy {
				arm.Lossy++
			}
		}
	}
	train, judge := joined.of(kinds["train"]...), joined.of(kinds["normal"]...)
	if len(train) == 0 || len(judge) == 0 {
		return nil, nil
	}
	var err error
	arm.Result, err = model.Evaluate(d.Engine, model.MethodDefault, train, judge, joined.scenarios(prefixed("weak", attackNames)...), model.EvalOptions{})
	if err != nil {
		return nil, err
	}
	arm.Cost = l.cost(sets)
	return arm, nil
}

// cost adds up what sources cost in the normal recordings.
func (l SourceLab) cost(sets []string) ArmCost {
	var cost ArmCost
	nanoseconds, known := 0.0, true
	for _, set := range sets {
		var sum SourceCost
		counted, units := uint64(0), 0
		for _, x := range l.Plan {
			if x.Kind != "train" && x.Kind != "normal" {
				continue
			}
			c := l.Costs[x.Name][set]
			sum = SourceCost{sum.Hits + c.Hits, sum.TimeNS + c.TimeNS, sum.Seconds + c.Seconds}
			for _, u := range l.Sets[set][x.Name].Units {
				units++
				for _, n := range u.Counts {
					counted += n
				}
			}
		}
		if sum.Seconds == 0 || units == 0 {
			return ArmCost{}
		}
		hits := float64(sum.Hits) / sum.Seconds
		if set == SetSyscalls { // each is in one column
			own := float64(counted) / (float64(units) * model.Width.Seconds())
			cost.OthersPerSecond += max(0, hits-own)
			hits = own
		}
		cost.HitsPerSecond += hits
		nanoseconds += float64(sum.TimeNS) / sum.Seconds * model.Width.Seconds()
		known = known && (sum.TimeNS > 0 || sum.Hits == 0)
	}
	if known {
		cost.NanosecondsPerUnit = &nanoseconds
	}
	return cost
}

// joinUnits puts the columns of several sources of the same time side by side. A unit that one of them lacks is left out. One that lost something in one of
// them is lossy in all columns: the daemon knows in which, unit files do not.
func joinUnits(name string, parts []model.Recording) model.Recording {
	joined := model.Recording{Name: name}
	width := make([]int, len(parts))
	for i, p := range parts {
		joined.Features = append(joined.Features, p.Features...)
		width[i] = len(p.Features)
	}
	at := make([]int, len(parts)) // of the next unit
	for _, first := range parts[0].Units {
		u := model.Observation{Start: first.Start, Counts: make([]uint64, 0, len(joined.Features))}
		whole := true
		for i, p := range parts {
			for at[i] < len(p.Units) && p.Units[at[i]].Start < first.Start {
				at[i]++
			}
			if at[i] == len(p.Units) || p.Units[at[i]].Start != first.Start {
				whole = false
				break
			}
			part := p.Units[at[i]]
			u.Counts = append(u.Counts, part.Counts...)
			u.Counts = append(u.Counts, make([]uint64, width[i]-len(part.Counts))...)
			u.Lossy, u.Partial = u.Lossy || part.Lossy, u.Partial || part.Partial
		}
		if whole {
			joined.Units = append(joined.Units, u)
		}
	}
	return joined
}

// sourceResult is an arm of a lab, nil where there is none.
func (r *Results) sourceResult(lab, name string) *SourceArm {
	for i := range r.Sources {
		if r.Sources[i].Lab == lab && r.Sources[i].Name == name {
			return &r.Sources[i]
		}
	}
	return nil
}
