package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/judging"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// sentenceParts is how many features the state element explains: those of the sentence.
const sentenceParts = judging.SentenceParts

// judge learns one domain's profile and has its units judged by it. Not safe for concurrent use, but for looked.
type judge struct {
	domain libvirt.Domain
	cfg    config.Domain
	engine model.Engine
	store  *model.Store

	counted  *features
	features []string          // their names
	runsOn   model.Fingerprint // the zero value: not known yet
	profile  *model.Profile    // nil: learning
	shelved  *model.Profile    // out of force, as the domain runs on something else than it was learnt on
	gathered unitLog           // to learn from
	plan     plan
	dropped  int
	lossy    int             // lossy units in a row, while there is no profile
	note     *control.Reason // why there is no profile, when that needs saying
	decider  *judging.Judge
	promise  promise
	meter    Meter

	unkept func() error // keeps the profile that is in force and could not be kept; nil: it is kept
	owed   int          // units since that was last tried

	thrown  bool        // the profile was thrown away, and is still to be taken out of the domain's metadata
	looked  atomic.Bool // it is settled which profile the domain has brought along; until then nothing is written over it
	arrival func()      // settles that, once it is known what the domain runs on
}

// newJudge loads the domain's profile. A profile that is not there or cannot be used means learning.
func newJudge(d libvirt.Domain, cfg config.Domain, counted *features, engine model.Engine, store *model.Store) (*judge, error) {
	j := &judge{domain: d, cfg: cfg, engine: engine, store: store, plan: newPlan(cfg.Learning, 0), meter: noMeter{}}
	decider, err := judging.New(cfg.Judging.Decider(), j)
	if err != nil {
		return nil, err
	}
	j.decider = decider
	j.observeBy(counted)
	return j, nil
}

// observeBy has units of these features judged from now on, by the stored profile if it was learnt from such.
func (j *judge) observeBy(counted *features) {
	if j.counted != nil && j.counted.Version() == counted.Version() {
		return
	}
	j.counted, j.features = counted, counted.Names()
	j.gather(0)
	j.decider.Reset()
	j.shelved = nil
	p, err := j.store.Load(j.domain.UUID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		j.note = because(reasonProfile, err.Error())
	case p.Catalogue != counted.Version() || !slices.Equal(p.Features, j.features):
		j.note = because(reasonProfile, fmt.Sprintf("the profile was learnt with the feature set %s, this is %s", p.Catalogue, counted.Version()))
	default:
		j.profile = p
	}
}

// Describe says what a feature is, judging.Describer.
func (j *judge) Describe(name string) (subsystem, words string) { return j.counted.Describe(name) }

// relearn throws the profile away and gathers so many units for a new one (0: as configured). The old profile can be rolled back to. After an error
// nothing has changed.
func (j *judge) relearn(units int) error {
	if err := j.store.Retire(j.domain.UUID); err != nil {
		return err
	}
	j.discard(units)
	return nil
}

// discard is relearn of a profile whose file is not there any more.
func (j *judge) discard(units int) {
	j.gather(units)
	j.decider.Reset()
	j.shelved, j.arrival, j.thrown = nil, nil, true
	j.looked.Store(true) // what the domain has brought along is not wanted either
}

// gather begins to learn from so many units (0: as configured).
func (j *judge) gather(units int) {
	j.profile, j.plan, j.note, j.unkept = nil, newPlan(j.cfg.Learning, units), nil, nil
	j.dropped, j.lossy = 0, 0
	j.gathered.clear()
}

// fit takes note of what the domain runs on now, and says in words what differs from what the profile in force was learnt on. Where something does,
// the profile is shelved, and another one is learnt; its file stays until then. It is in force again as soon as the domain runs on that again. Units
// that were gathered for a profile on something else are dropped.
func (j *judge) fit(now model.Fingerprint) (diff []string) {
	var changed []string
	if j.runsOn.Catalogue != "" {
		changed = j.runsOn.Diff(now)
	}
	j.runsOn = now
	switch {
	case j.profile != nil:
		if diff = j.profile.Fingerprint.Diff(now); len(diff) > 0 {
			j.shelve(diff)
		}
	case j.shelved != nil && len(j.shelved.Fingerprint.Diff(now)) == 0:
		p := j.shelved
		j.gather(0)
		j.profile, j.shelved = p, nil
		j.gap() // an alarm from before stands
	case len(changed) > 0:
		j.startOver(changed)
	}
	if f := j.arrival; f != nil {
		j.arrival = nil
		f()
	}
	return diff
}

// shelve puts the profile out of force.
func (j *judge) shelve(diff []string) {
	p := j.profile
	j.gather(0)
	j.shelved = p
	j.note = because(reasonProfile, "the profile was learnt on something else: "+strings.Join(diff, "; "))
}

// startOver drops the units that were gathered on other hardware than the domain has now.
func (j *judge) startOver(changed []string) {
	n := j.gathered.length
	j.dropped, j.lossy = 0, 0
	j.gathered.clear()
	j.plan.restart(j.cfg.Learning)
	code, text := reasonGathering, fmt.Sprintf("gathering %d units of two seconds", j.plan.wanted)
	if j.shelved != nil {
		code, text = reasonProfile, "the profile was learnt on something else: "+strings.Join(j.shelved.Fingerprint.Diff(j.runsOn), "; ")
	}
	if n > 0 {
		text += fmt.Sprintf("; the %d gathered before are of other hardware and dropped: %s", n, strings.Join(changed, "; "))
	}
	if damaged := j.note != nil && j.note.Code == reasonProfile && j.shelved == nil; (n > 0 || j.shelved != nil) && !damaged {
		j.note = because(code, text)
	}
}

// gap says that the domain was not seen, or not judged, for a while: what was usual before says nothing of now.
func (j *judge) gap() { j.decider.Gap() }

// state is what the units so far amount to.
func (j *judge) state() (string, *control.Reason) {
	switch {
	case j.profile == nil && j.lossy >= judging.UnknownAfter:
		return stateLearning, because(reasonEventsLost, fmt.Sprintf("events were lost in the last %d units; they are not learnt from", j.lossy))
	case j.profile == nil && j.note != nil:
		return stateLearning, j.note
	case j.profile == nil:
		return stateLearning, because(reasonGathering, j.plan.words())
	}
	switch j.decider.State() {
	case judging.Anomalous:
		return stateAnomalous, because(reasonAnomaly, j.decider.Why())
	case judging.Unknown:
		return stateUnknown, because(reasonEventsLost, fmt.Sprintf("events were lost in the last %d units", j.decider.Lossy()))
	case judging.Suspect:
		return stateSuspect, because(reasonSuspicion, j.decider.Why())
	case judging.Unjudged:
		return stateStarting, because(reasonNoUnit, "no unit has been judged yet")
	}
	return stateNormal, nil
}

// configure puts other settings in force; a profile that is there stays, and so does what is known of the units so far.
func (j *judge) configure(cfg config.Domain) error {
	if err := j.decider.Configure(cfg.Judging.Decider()); err != nil {
		return err
	}
	j.plan.configure(j.cfg.Learning, cfg.Learning)
	j.cfg = cfg
	return nil
}

// rowOf is a unit's counts as the model takes them.
func rowOf(u unit.Unit) []float64 {
	values := make([]float64, len(u.Counts))
	for i, n := range u.Counts {
		values[i] = float64(n)
	}
	return values
}

// observe takes a full unit: learns it, or judges it and fills in its report.
func (j *judge) observe(u unit.Unit, report *control.UnitReport) error {
	if j.profile != nil {
		err := j.decider.Observe(j.profile, rowOf(u), u.LostIn, report)
		if err == nil {
			j.promise.observe(j.profile, u.Lost > 0, j.decider.State() == judging.Anomalous)
		}
		return err
	}
	if u.Lost > 0 {
		j.lossy++
		j.dropped++
		j.plan.lossy++
		return nil
	}
	j.lossy = 0
	return j.learn(u)
}

func (j *judge) learn(u unit.Unit) error {
	if n := j.gathered.length; n > 0 && u.Start <= j.gathered.last {
		// A new session after the host's clock was set back: the units before it are of another time.
		j.dropped += n
		j.gathered.clear()
		j.plan.restart(j.cfg.Learning)
	}
	if j.gathered.add(u); j.gathered.length < j.plan.wanted {
		return nil
	}
	trained := model.Dataset{Features: j.features}
	began, outcome := time.Now(), TrainingRefused
	defer func() { j.meter.Training(time.Since(began), outcome) }()
	j.gathered.all(func(u unit.Unit) { trained.Rows = append(trained.Rows, model.Row{Start: u.Start, Values: rowOf(u)}) })
	options := model.Options{
		Domain:    model.Domain{UUID: j.domain.UUID, Name: j.domain.Name},
		Catalogue: j.counted.Version(), Fingerprint: j.runsOn,
		Created: time.Now(),
		Dropped: j.dropped,
		Nu:      j.cfg.Judging.Nu,
		Gamma:   j.cfg.Judging.Gamma,
		Level:   j.cfg.Judging.Level,
		Trim:    model.TrimShare,
	}
	if found, err := model.Converge(j.engine, trained, options); err == nil { // training fails for the same reason, and says so
		if j.plan.goOn(found) {
			outcome = TrainingNotEnough
			return nil
		}
		if found.FarOut == nil {
			options.Convergence = &found
		}
	}
	p, err := model.Train(j.engine, trained, options)
	if err != nil {
		// Other units may do; until then the domain is not judged, and says so.
		n := j.gathered.length
		j.dropped += n
		j.gathered.clear()
		j.plan.restart(j.cfg.Learning)
		j.note = because(reasonRefused, err.Error())
		return fmt.Errorf("train domain %s on %d units: %w", j.domain.UUID, n, err)
	}
	outcome = TrainingLearnt
	rows := p.Training.Learnt(trained.Rows)
	j.profile, j.shelved, j.note = p, nil, nil
	j.gathered.clear()
	j.decider.Reset()
	return j.keep(func() error { return keepProfile(j.store, p, rows) })
}

// keepAgain is how many units pass before a profile that could not be kept is tried to be kept again: those of a minute.
const keepAgain = 30

// keep keeps the profile that is in force, or tries again later.
func (j *judge) keep(f func() error) error {
	j.unkept, j.owed = nil, 0
	err := f()
	if err == nil {
		return nil
	}
	j.unkept = f
	return fmt.Errorf("keep profile of domain %s (it is in force; it will be tried again, and after a restart before that the domain is learnt anew): %w", j.domain.UUID, err)
}

// keepOwed tries again to keep a profile, now and then. It says whether it was kept.
func (j *judge) keepOwed() bool {
	if j.unkept == nil {
		return false
	}
	if j.owed++; j.owed < keepAgain {
		return false
	}
	return j.keep(j.unkept) == nil // it was said why not
}
