package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ScoreName is the benchmark of what judging a unit costs.
const ScoreName = "score"

// scoreMost is what judging a unit may take, microseconds.
const scoreMost = 20

// runtimes is how many allocations a unit the runtime makes by itself, at most, now and then.
const runtimes = 0.05

// Scoring is what the benchmark found.
type Scoring struct {
	Profiles []ScoredProfile `json:"profiles"`
}

// ScoredProfile is what judging by one profile costs.
type ScoredProfile struct {
	Profile TrainedProfile `json:"profile"`
	Kinds   []ScoredKind   `json:"kinds"`
}

// ScoredKind is what judging units of one kind costs.
type ScoredKind struct {
	Kind        string    `json:"kind"`
	Units       int       `json:"units"` // of each round
	Unusual     float64   `json:"unusual"`
	Seconds     []float64 `json:"seconds"` // CPU time of a unit, by round
	Allocations float64   `json:"allocations"`
}

// ScoreSection is the benchmark's table.
func ScoreSection(dir string) (string, bool, error) {
	f, ok, err := Read[Scoring](dir, ScoreName)
	if !ok || err != nil {
		return "", ok, err
	}
	var b strings.Builder
	b.WriteString("| profile | views | support vectors | units | anomalous | CPU time of a unit | allocations |\n|---|--:|--:|---|--:|--:|--:|\n")
	worst, garbage := 0.0, false
	for i, p := range f.Result.Profiles {
		for _, k := range p.Kinds {
			median := 1e6 * alarmQuantile(k.Seconds, 0.5)
			if i == 0 {
				worst = max(worst, median)
			}
			garbage = garbage || k.Allocations > runtimes
			fmt.Fprintf(&b, "| %s | %d | %d | %s | %.1f %% | **%.1f µs** (%.1f to %.1f) | %.2f |\n", p.Profile.Name, p.Profile.Views, p.Profile.Vectors, k.Kind, 100*k.Unusual,
				median, 1e6*slices.Min(k.Seconds), 1e6*slices.Max(k.Seconds), k.Allocations)
		}
	}
	holds := map[bool]string{true: "holds", false: "**does not hold**"}
	fmt.Fprintf(&b, "\nA unit of the day's guest must be judged in less than %d µs, whatever it is (%s), and no unit may leave garbage (%s). Medians of %d rounds; a unit is judged by all views.\n",
		scoreMost, holds[worst < scoreMost], holds[!garbage], len(f.Result.Profiles[0].Kinds[0].Seconds))
	if f.Short {
		b.WriteString("\nThis was a short run, which only shows that all of it works: its figures count for nothing.\n")
	}
	fmt.Fprintf(&b, "\n`virtsentry-lab bench score`, %s, %s.\n", f.Begin.Format(time.DateOnly), f.Machine)
	return b.String(), true, nil
}
