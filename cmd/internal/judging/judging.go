// Package judging says what a domain's units amount to. The daemon and the replay of a trace both ask it, so that they say the same of the same
// units.
package judging

import (
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

const (
	explainFeatures = 5 // features that a report explains
	// SentenceParts is how many of them make a sentence.
	SentenceParts = 3
	// UnknownAfter is how many lossy units in a row that show no anomaly make a state unknown.
	UnknownAfter = 3
)

// State is what the units so far say of a domain that has a profile.
type State string

// The states, as they are shown.
const (
	Unjudged  State = "starting"  // no unit has told anything yet
	Normal    State = "normal"    // as its profile knows it
	Suspect   State = "suspect"   // some unusual units, not yet enough
	Anomalous State = "anomalous" // unusual for several units
	Unknown   State = "unknown"   // events were lost: may be normal, may be not
)

// Judge judges one domain's full units, in the order of time, and decides on its state. It is not safe for concurrent use.
type Judge struct {
	names    Describer
	decider  *model.Decider
	alarms   float64 // a day that are accepted
	profile  *model.Profile
	sequence *model.Sequence // judges by profile
	seen     int             // units that have told something since the last gap
	lossy    int             // lossy units in a row
	why      string          // what the newest anomalous unit was about
}

// Describer says in words what a feature is, such as a feature set.
type Describer interface {
	Describe(feature string) (subsystem, words string)
}

// New returns a judge that has seen nothing. The error is that of [model.DeciderConfig.Validate].
func New(cfg model.DeciderConfig, names Describer) (*Judge, error) {
	decider, err := model.NewDecider(cfg)
	if err != nil {
		return nil, err
	}
	return &Judge{names: names, decider: decider, alarms: cfg.AlarmsPerDay}, nil
}

// Configure puts other numbers in force and keeps what is known, [model.Decider.Configure].
func (j *Judge) Configure(cfg model.DeciderConfig) error {
	if err := j.decider.Configure(cfg); err != nil {
		return err
	}
	if j.alarms != cfg.AlarmsPerDay {
		j.alarms, j.sequence = cfg.AlarmsPerDay, nil
	}
	return nil
}

// Reset forgets all units: those to come are of another life, or judged by another profile.
func (j *Judge) Reset() {
	j.decider.Reset()
	j.seen, j.lossy, j.why, j.sequence = 0, 0, "", nil
}

// Gap says that the units to come do not follow on those before, as after a time in which nothing was seen. An alarm stands until usual units
// end it, but that all was usual before is no evidence for now.
func (j *Judge) Gap() { j.seen, j.lossy, j.sequence = 0, 0, nil }

// Seen is how many units have told something since the last Reset or Gap. A lossy unit that shows no anomaly tells nothing.
func (j *Judge) Seen() int { return j.seen }

// Lossy is how many units in a row, up to now, have lost events.
func (j *Judge) Lossy() int { return j.lossy }

// Why says in words what the newest anomalous unit was about.
func (j *Judge) Why() string { return j.why }

// State is what the units so far amount to. It is never Normal where no unit has shown that.
func (j *Judge) State() State {
	switch s := j.decider.State(); {
	case s == model.Anomalous:
		return Anomalous
	case j.lossy >= UnknownAfter:
		return Unknown
	case s == model.Suspect:
		return Suspect
	case j.seen == 0:
		return Unjudged
	}
	return Normal
}

// Observe judges a unit's counts, in the order of the profile's features, and fills in its report: all that follows from its verdict but the state.
// report.Lost says whether it is lossy, and lostIn in which columns (none: in any). The error is that of [model.Profile.Judge], and the unit then counts for nothing.
func (j *Judge) Observe(p *model.Profile, values []float64, lostIn []unit.Columns, report *control.UnitReport) error {
	lossy := report.Lost > 0
	columns := model.LossyColumns(lossy, len(values))
	if lossy && len(lostIn) > 0 {
		columns = columns[:0]
		for _, c := range lostIn {
			columns = append(columns, model.Columns(c))
		}
	}
	if j.sequence == nil || j.profile != p {
		j.profile, j.sequence = p, p.Sequence(j.alarms)
	}
	verdict, err := j.sequence.Judge(report.Start.UnixNano(), values, columns)
	if err != nil {
		return err
	}
	j.decider.Observe(verdict.Anomalous, lossy)
	if lossy {
		j.lossy++
	} else {
		j.lossy = 0
	}
	if verdict.Anomalous || !lossy {
		j.seen++
	}
	report.Judged, report.Score, report.PValue, report.Anomalous = true, verdict.Score, verdict.PValue, verdict.Anomalous
	if !verdict.Anomalous {
		return nil // there is nothing to explain, and it would be most of what a unit costs
	}
	list := j.sequence.Explain(verdict, values)
	if report.Sentence = model.Sentence(list, SentenceParts, j.names.Describe); report.Sentence == "" {
		report.Sentence = "an unusual combination of usual counts"
	}
	j.why = report.Sentence
	told, _ := model.Telling(list, explainFeatures, j.names.Describe)
	for _, c := range told {
		subsystem, words := j.names.Describe(c.Feature)
		report.Explain = append(report.Explain, control.Variable{
			Feature: c.Feature, Seconds: (time.Duration(c.Units) * model.Width).Seconds(), Subsystem: subsystem, Words: words,
			Observed: c.Observed, Typical: c.Typical, UsualLow: c.UsualLow, UsualHigh: c.UsualHigh, Deviation: c.Deviation,
		})
	}
	return nil
}
