package lab

import (
	"fmt"
	"slices"
	"time"
)

// Kinds of recordings of a plan.
const (
	KindTrain   = "train"   // ordinary load, to learn from
	KindNormal  = "normal"  // ordinary load with other visits, to judge false alarms by
	KindAnomaly = "anomaly" // ordinary load and an attack
	KindPeak    = "peak"    // load three times the ordinary one, normal but never seen
	KindStress  = "stress"  // one part of the guest under stress, or none, without load
)

// Strengths of attacks.
const (
	Weak   = "weak"   // a fifth to an eighth of the lab's rates, some two thirds for slow HTTP
	Strong = "strong" // the lab's rates
)

// weakRates are what hides best in the load.
var weakRates = map[string]AttackRate{
	"synflood":   {Target: 150, Source: 80},
	"bruteforce": {Target: 1, Source: 1},
	"slowhttp":   {Target: 40, Source: 40},
	"portscan":   {Target: 25, Source: 25},
}

// Step is one recording of a plan.
type Step struct {
	Name     string        // unique in the plan, fit for a directory
	Kind     string        // one of the kinds above
	Scenario string        // see [Scenarios]
	Strength string        // of an attack: Weak or Strong
	Rate     int           // of an attack, in RateUnit
	RateUnit string        // see [AttackRate]
	For      time.Duration // span of the trace
	Load     Load          // the zero value in steps without load
}

// Spans are how long a plan's recordings are.
type Spans struct {
	Normal time.Duration // of each recording of normal load; the one to train from is twice as long
	Each   time.Duration // of each attack and stress; peak load is half as long again
}

// Spans of a plan: as the project's evaluation has them, and for a test that all of
// it works.
var (
	FullSpans  = Spans{Normal: 10 * time.Minute, Each: 4 * time.Minute}
	ShortSpans = Spans{Normal: 15 * time.Second, Each: 10 * time.Second}
)

const (
	shortest     = 10 * time.Second // gives two units at least
	swingPeriod  = 5 * time.Minute
	usual        = 6         // visitors of the ordinary load
	peakSessions = 3 * usual // of the peak load, all the time
)

// EvaluationPlan is what the evaluation of Paundu et al. (ICICS 2015, sections
// 4.2, 4.3 and 5.2) needs, in the order of recording. It is the same each time:
// each recording has a seed of its own that is fixed.
//
// The ordinary load swings between a quarter and all of its visitors, once in
// five minutes or, in a shorter recording, once in its span: each sees all of
// the swing.
func EvaluationPlan(s Spans) ([]Step, error) {
	for _, d := range []time.Duration{s.Normal, s.Each} {
		if d < shortest || d > MaxFor/4 {
			return nil, fmt.Errorf("span %v of a recording: want %v to %v", d, shortest, MaxFor/4)
		}
	}
	normal := func(name, kind string, d time.Duration, seed uint64) Step {
		return Step{Name: name, Kind: kind, Scenario: "normal", For: d, Load: ordinaryLoad(d, seed)}
	}
	steps := []Step{
		normal("train", KindTrain, 2*s.Normal, 11),
		normal("judge-1", KindNormal, s.Normal, 12),
	}
	steps = append(steps, attackSteps(Weak, s.Each, 21)...)
	steps = append(steps, normal("judge-2", KindNormal, s.Normal, 13))
	steps = append(steps, attackSteps(Strong, s.Each, 31)...)
	for _, kind := range []string{"idle", "memory", "io", "disk", "network"} {
		name := "stress_" + kind
		if kind == "idle" {
			name = kind
		}
		steps = append(steps, Step{Name: name, Kind: KindStress, Scenario: name, For: s.Each})
	}
	for i := range 2 {
		steps = append(steps, Step{
			Name: fmt.Sprintf("peak-%d", i+1), Kind: KindPeak, Scenario: "normal", For: s.Each * 3 / 2,
			Load: Load{Sessions: peakSessions, Seed: 41 + uint64(i), Shape: "constant"},
		})
	}
	for _, step := range steps {
		if !slices.Contains(Scenarios(), step.Scenario) {
			return nil, fmt.Errorf("plan of the evaluation: there is no scenario %s", step.Scenario)
		}
	}
	return steps, nil
}

func attackSteps(strength string, d time.Duration, seed uint64) []Step {
	var steps []Step
	for _, name := range []string{"synflood", "bruteforce", "slowhttp", "portscan"} {
		rates := RateOf(name)
		unit := rates.Unit
		if strength == Weak {
			rates = weakRates[name]
		}
		for _, side := range []Side{Target, Source} {
			rate := rates.Target
			if side == Source {
				rate = rates.Source
			}
			scenario := name + "_" + string(side)
			steps = append(steps, Step{
				Name: strength + "-" + scenario, Kind: KindAnomaly, Scenario: scenario,
				Strength: strength, Rate: rate, RateUnit: unit, For: d, Load: ordinaryLoad(d, seed),
			})
			seed++
		}
	}
	return steps
}

func ordinaryLoad(d time.Duration, seed uint64) Load {
	return Load{Sessions: usual, Seed: seed, Shape: fmt.Sprintf("swing:0.25:1:%v", min(swingPeriod, d))}
}
