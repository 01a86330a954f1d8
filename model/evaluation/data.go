package evaluation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/virtsentry/virtsentry/model"
)

// Recordings are recordings by their names.
type Recordings map[string]model.Recording

// The feature sets of the plan's recordings.
const (
	SetDefault  = "default"
	SetPaper    = "paper"
	SetCounts   = "counts"
	SetSyscalls = "syscalls"
)

// Recorded says how a recording of the plan was made.
type Recorded struct {
	Name     string
	Kind     string // train, normal, anomaly, peak or stress
	Scenario string
	Strength string // of an attack: weak or strong
	Rate     int
	RateUnit string
	Seconds  float64
	Seed     uint64
	Units    int
	Lossy    int
}

// Everyday is a long recording of a server's normal days.
type Everyday struct {
	Recording model.Recording
	Jobs      []Job
}

// Job is something that the guest did by itself.
type Job struct {
	Name     string
	From, To time.Time
}

// Guest is one of another kind, with recordings of one feature set or several.
type Guest struct {
	Name string
	Sets map[string]Recordings // normal, normal2 and scenarios, by set
}

// Data is all that is evaluated.
type Data struct {
	Engine   model.Engine
	Describe model.Describe // of the columns of SetDefault
	// Swing are own recordings by which the method's parameters were chosen.
	Swing Recordings
	// Plan are the recordings of the paper's evaluation, in the order of recording, and their units by set.
	Plan []Recorded
	Sets map[string]Recordings
	// Everyday is nil where it was not recorded.
	Everyday *Everyday
	Guests   []Guest
	// SourceLabs are recordings of all sources of the host's kernel beside UST. OfHeaders says which columns of SetTap only packets' headers tell.
	SourceLabs []SourceLab
	OfHeaders  func(column string) bool
	// SimulatedDays is how long the limits of rules are tried; 0: a hundred days.
	SimulatedDays int
}

// engine is one that starts no further problem once the context has ended.
type engine struct {
	context.Context
	model.Engine
}

// OneClass implements model.Engine.
func (e engine) OneClass(x [][]float64, nu, gamma float64) (model.Solution, error) {
	if err := e.Err(); err != nil {
		return model.Solution{}, err
	}
	return e.Engine.OneClass(x, nu, gamma)
}

// names are the plan's recordings of a kind and, for attacks, a strength ("" for the others) that have units of a set.
func (d *Data) names(set, kind, strength string) []string {
	var list []string
	for _, r := range d.Plan {
		if _, ok := d.Sets[set][r.Name]; ok && r.Kind == kind && r.Strength == strength {
			list = append(list, r.Name)
		}
	}
	return list
}

// recordings are the plan's recordings of a kind.
func (d *Data) recordings(set, kind string) []model.Recording {
	return d.Sets[set].of(d.names(set, kind, "")...)
}

// of returns the named recordings that are there.
func (r Recordings) of(names ...string) []model.Recording {
	var list []model.Recording
	for _, name := range names {
		if recording, ok := r[name]; ok {
			list = append(list, recording)
		}
	}
	return list
}

// scenarios are the named recordings, each a scenario by itself.
func (r Recordings) scenarios(names ...string) []model.Scenario {
	var list []model.Scenario
	for _, name := range names {
		if recording, ok := r[name]; ok {
			list = append(list, model.Scenario{Name: name, Recordings: []model.Recording{recording}})
		}
	}
	return list
}

// attackNames are the paper's eight scenarios, as its Fig. 4 has them.
var attackNames = []string{
	"synflood_target", "synflood_source", "bruteforce_target", "bruteforce_source",
	"slowhttp_target", "slowhttp_source", "portscan_target", "portscan_source",
}

// strengths of attacks.
var strengths = []string{"weak", "strong"}

// prefixed puts a strength before each name.
func prefixed(strength string, names []string) []string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = strength + "-" + name
	}
	return list
}

// corpus is a set of normal recordings and attacks of one guest, in SetDefault.
type corpus struct {
	Name    string
	Chosen  bool // the method's parameters were chosen by it
	train   []model.Recording
	judge   []model.Recording
	attacks []model.Scenario
}

// corpora are those that are complete enough to be judged.
func (d *Data) corpora() []corpus {
	var list []corpus
	if c := (corpus{
		Name: "swing, weak", Chosen: true, train: d.Swing.of("normal-1"), judge: d.Swing.of("normal-2"),
		attacks: d.Swing.scenarios(prefixed("weak", attackNames)...),
	}); c.complete() {
		list = append(list, c)
	}
	for _, strength := range strengths {
		c := corpus{
			Name: "plan, " + strength, train: d.recordings(SetDefault, "train"), judge: d.recordings(SetDefault, "normal"),
			attacks: d.Sets[SetDefault].scenarios(prefixed(strength, attackNames)...),
		}
		if c.complete() {
			list = append(list, c)
		}
	}
	return list
}

func (c corpus) complete() bool { return len(c.train) > 0 && len(c.judge) > 0 && len(c.attacks) > 0 }

// all are the recordings of attacks.
func recordingsOf(scenarios []model.Scenario) []model.Recording {
	var list []model.Recording
	for _, s := range scenarios {
		list = append(list, s.Recordings...)
	}
	return list
}

// judgeScenarios has a variant judge scenarios.
func judgeScenarios(v *model.Variant, scenarios []model.Scenario) ([]model.JudgedScenario, error) {
	list := make([]model.JudgedScenario, 0, len(scenarios))
	for _, s := range scenarios {
		units, err := v.Judge(s.Recordings)
		if err != nil {
			return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
		}
		list = append(list, model.JudgedScenario{Name: s.Name, Units: units})
	}
	return list, nil
}

// median of at least one value; of an even number the mean of the middle two.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
