package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

const (
	explainFeatures = 5 // features that a report explains
	sentenceParts   = 3 // of them, in words
	// unknownAfter is how many lossy units in a row that show no anomaly make a state unknown.
	unknownAfter = 3
)

// judge learns one domain's profile, judges its units by it and decides on its state. Not safe for concurrent use.
type judge struct {
	domain libvirt.Domain
	cfg    config.Domain
	engine model.Engine
	store  *model.Store

	set      *catalogue.Set
	features []string          // the set's
	runsOn   model.Fingerprint // the zero value: not known yet
	profile  *model.Profile    // nil: learning
	trained  model.Dataset
	wanted   int
	dropped  int
	note     *control.Reason // why there is no profile, when that needs saying
	decider  *model.Decider
	lossy    int    // lossy units in a row
	why      string // what the newest anomalous unit was about
}

// newJudge loads the domain's profile. A profile that is not there or cannot be used means learning.
func newJudge(d libvirt.Domain, cfg config.Domain, set *catalogue.Set, engine model.Engine, store *model.Store) (*judge, error) {
	j := &judge{domain: d, cfg: cfg, engine: engine, store: store, set: set, features: set.Names(), wanted: cfg.Learning.Units}
	decider, err := model.NewDecider(cfg.Judging.Decider())
	if err != nil {
		return nil, err
	}
	j.decider = decider
	j.trained.Features = j.features
	p, err := store.Load(d.UUID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		j.note = because(reasonProfile, err.Error())
	case p.Catalogue != set.Version() || !slices.Equal(p.Features, j.features):
		j.note = because(reasonProfile, fmt.Sprintf("the profile was learnt with the feature set %s, this is %s", p.Catalogue, set.Version()))
	default:
		j.profile = p
	}
	return j, nil
}

// relearn throws the profile away and gathers so many units for a new one (0: as configured).
// The old profile's file stays until the new one replaces it.
func (j *judge) relearn(units int) {
	if units == 0 {
		units = j.cfg.Learning.Units
	}
	j.profile, j.wanted, j.note = nil, units, nil
	j.trained.Rows, j.dropped, j.lossy = nil, 0, 0
	j.decider.Reset()
}

// fit says in words what differs between what the profile was learnt on and what the domain runs on now. Where something does, the
// profile is out of force, and another one is learnt; its file stays until then.
func (j *judge) fit(now model.Fingerprint) []string {
	j.runsOn = now
	if j.profile == nil {
		return nil
	}
	diff := j.profile.Fingerprint.Diff(now)
	if len(diff) > 0 {
		j.relearn(0)
		j.note = because(reasonProfile, "the profile was learnt on something else: "+strings.Join(diff, "; "))
	}
	return diff
}

// state is what the units so far amount to.
func (j *judge) state() (string, *control.Reason) {
	switch {
	case j.profile == nil && j.lossy >= unknownAfter:
		return stateLearning, because(reasonEventsLost, fmt.Sprintf("events were lost in the last %d units; they are not learnt from", j.lossy))
	case j.profile == nil && j.note != nil:
		return stateLearning, j.note
	case j.profile == nil:
		return stateLearning, because(reasonGathering, fmt.Sprintf("gathering %d units of two seconds for the first profile", j.wanted))
	}
	switch s := j.decider.State(); {
	case s == model.Anomalous:
		return stateAnomalous, because(reasonAnomaly, j.why)
	case j.lossy >= unknownAfter:
		return stateUnknown, because(reasonEventsLost, fmt.Sprintf("events were lost in the last %d units", j.lossy))
	case s == model.Suspect:
		return stateSuspect, because(reasonSuspicion, j.why)
	}
	return stateNormal, nil
}

// configure puts other settings in force; a profile that is there stays.
func (j *judge) configure(cfg config.Domain) error {
	if cfg.Judging.Decider() != j.cfg.Judging.Decider() {
		decider, err := model.NewDecider(cfg.Judging.Decider())
		if err != nil {
			return err
		}
		j.decider = decider
	}
	if j.wanted == j.cfg.Learning.Units {
		j.wanted = cfg.Learning.Units
	}
	j.cfg = cfg
	return nil
}

// rowOf is a unit as the model takes it.
func rowOf(u unit.Unit) []float64 {
	values := make([]float64, len(u.Counts))
	for i, n := range u.Counts {
		values[i] = float64(n)
	}
	return values
}

// observe takes a full unit: learns it, or judges it and fills in its report.
func (j *judge) observe(u unit.Unit, report *control.UnitReport) error {
	values := rowOf(u)
	if u.Lost > 0 {
		j.lossy++
	} else {
		j.lossy = 0
	}
	if j.profile == nil {
		return j.learn(u, values)
	}
	judged := values
	if u.Lost > 0 {
		// Counts of a lossy unit are lower bounds: what is anomalous in the most ordinary unit that it may have been is anomalous.
		var err error
		if judged, err = j.profile.Complete(values); err != nil {
			return err
		}
	}
	verdict, err := j.profile.Judge(judged)
	if err != nil {
		return err
	}
	j.decider.Observe(verdict.Anomalous, u.Lost > 0)
	report.Judged, report.Score, report.PValue, report.Anomalous = true, verdict.Score, verdict.PValue, verdict.Anomalous
	return j.explain(values, verdict, report)
}

func (j *judge) learn(u unit.Unit, values []float64) error {
	if u.Lost > 0 {
		j.dropped++
		return nil
	}
	if n := len(j.trained.Rows); n > 0 && u.Start <= j.trained.Rows[n-1].Start {
		// A new session after the host's clock was set back: the units before it are of another time.
		j.dropped += n
		j.trained.Rows = nil
	}
	j.trained.Rows = append(j.trained.Rows, model.Row{Start: u.Start, Values: values})
	if len(j.trained.Rows) < j.wanted {
		return nil
	}
	p, err := model.Train(j.engine, j.trained, model.Options{
		Domain:    model.Domain{UUID: j.domain.UUID, Name: j.domain.Name},
		Catalogue: j.set.Version(), Fingerprint: j.runsOn,
		Created: time.Now(),
		Dropped: j.dropped,
		Nu:      j.cfg.Judging.Nu,
		Gamma:   j.cfg.Judging.Gamma,
		Level:   j.cfg.Judging.Level,
	})
	if err != nil {
		// Other units may do; until then the domain is not judged, and says so.
		n := len(j.trained.Rows)
		j.dropped += n
		j.trained.Rows = nil
		j.note = because(reasonRefused, err.Error())
		return fmt.Errorf("train domain %s on %d units: %w", j.domain.UUID, n, err)
	}
	rows := j.trained.Rows
	j.profile, j.note, j.trained.Rows = p, nil, nil
	j.decider.Reset()
	if err := keepProfile(j.store, p, rows); err != nil {
		return fmt.Errorf("keep profile of domain %s (it is in force, but will be learnt again after a restart): %w", j.domain.UUID, err)
	}
	return nil
}

func (j *judge) explain(values []float64, verdict model.Verdict, report *control.UnitReport) error {
	list, err := j.profile.Explain(values)
	if err != nil {
		return err
	}
	if verdict.Anomalous {
		if report.Sentence = model.Sentence(list, sentenceParts, j.set.Describe); report.Sentence == "" {
			report.Sentence = "an unusual combination of usual counts"
		}
		j.why = report.Sentence
	}
	for _, c := range list[:min(explainFeatures, len(list))] {
		subsystem, words := j.set.Describe(c.Feature)
		report.Explain = append(report.Explain, control.Variable{
			Feature: c.Feature, Subsystem: subsystem, Words: words,
			Observed: c.Observed, Typical: c.Typical, UsualLow: c.UsualLow, UsualHigh: c.UsualHigh, Deviation: c.Deviation,
		})
	}
	return nil
}
