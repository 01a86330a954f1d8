package model

import (
	"fmt"
	"slices"
	"time"
)

// Rule turns verdicts, in the order of time, into states. A [Decider] over [Verdict].Anomalous is one.
type Rule interface {
	// Reset forgets all units.
	Reset()
	// Observe takes the next unit's verdict and returns the state after it.
	Observe(v Verdict, lossy bool) State
}

// Judged is what was said of one unit, before any [Rule].
type Judged struct {
	Verdict
	Start int64 // nanoseconds; of its recording's own clock, or of one on which recordings are laid one after the other
	Lossy bool
	Fresh bool // the first of a recording that does not continue the one before
}

// Scale is how counts become coordinates, in a [Variant].
type Scale string

// The scales that can be compared.
const (
	// ScaleResiduals is [Scaling], as the daemon has it.
	ScaleResiduals Scale = "residuals"
	// ScaleLog is ln(1 + count), of single units, feature by feature.
	ScaleLog Scale = "log"
	// ScaleRaw is the count itself, of single units, feature by feature.
	ScaleRaw Scale = "raw"
)

// Variant is MethodDefault with something left out or replaced, to see what that adds. It is not safe for
// concurrent use.
type Variant struct {
	features []string
	judge    unitJudge
	profile  *Profile // nil but for ScaleResiduals
	alarms   float64
	units    int
}

// LearnVariant learns from train. The features are all that any recording of train or others has. Errors are those of [Evaluate].
func LearnVariant(engine Engine, scale Scale, train, others []Recording, o EvalOptions) (*Variant, error) {
	v, p, err := newVariant(engine, train, others, o)
	if err != nil {
		return nil, err
	}
	if err := v.learn(p, p.data, scale); err != nil {
		return nil, err
	}
	return v, nil
}

func newVariant(engine Engine, train, others []Recording, o EvalOptions) (*Variant, *pupil, error) {
	features := allFeatures(train, others)
	p, err := newPupil(engine, MethodDefault, features, train, o)
	if err != nil {
		return nil, nil, err
	}
	return &Variant{features: features, alarms: o.Decider.AlarmsPerDay}, p, nil
}

// learn learns from d.
func (v *Variant) learn(p *pupil, d Dataset, scale Scale) error {
	v.units = len(d.Rows)
	var err error
	switch scale {
	case ScaleResiduals:
		if v.profile, err = TrainTrimmed(p.engine, d, p.asked); err == nil {
			v.judge = profileJudge{v.profile.Sequence(v.alarms)}
		}
	case ScaleLog, ScaleRaw:
		v.judge, err = fitPlain(p.engine, d, scale, p.filled)
	default:
		return fmt.Errorf("learn: no scale %q", scale)
	}
	if err != nil {
		return fmt.Errorf("learn from %s: %w", p.from, err)
	}
	return nil
}

// TrainingUnits is how many units were learnt from.
func (v *Variant) TrainingUnits() int { return v.units }

// WithViews looks at units only through those views that keep says, the first one included whatever it says. Of a
// variant that has no views it is the variant itself.
func (v *Variant) WithViews(keep func(View) bool) *Variant {
	if v.profile == nil {
		return v
	}
	fewer := *v.profile
	fewer.Views = slices.Clone(v.profile.Views[:1])
	for _, view := range v.profile.Views[1:] {
		if keep(view) {
			fewer.Views = append(fewer.Views, view)
		}
	}
	fewer.shareColumns()
	w := *v
	w.profile, w.judge = &fewer, profileJudge{fewer.Sequence(v.alarms)}
	return &w
}

// WithOwnThreshold has the machine of single units, feature by feature, say by its own threshold, a decision value below 0, what is anomalous.
func (v *Variant) WithOwnThreshold() *Variant {
	w := *v.WithViews(func(View) bool { return false })
	w.judge = ownThreshold{w.judge}
	return &w
}

// ownThreshold judges by the machine's own threshold.
type ownThreshold struct{ unitJudge }

func (j ownThreshold) judge(row Row, lossy bool) (Verdict, error) {
	v, err := j.unitJudge.judge(row, lossy)
	v.Anomalous, v.evidence = v.Score < 0, v.Score
	return v, err
}

// Judge judges the whole units of recordings. Errors are those of [Evaluate].
func (v *Variant) Judge(recordings []Recording) ([]Judged, error) {
	samples, err := lay(v.features, recordings)
	if err != nil {
		return nil, err
	}
	return v.judgeAll(samples)
}

func (v *Variant) judgeAll(samples []sample) ([]Judged, error) {
	v.judge.forget()
	list := make([]Judged, 0, len(samples))
	for _, s := range samples {
		if s.fresh {
			v.judge.forget()
		}
		verdict, err := v.judge.judge(s.row, s.lossy)
		if err != nil {
			return nil, err
		}
		list = append(list, Judged{Verdict: verdict, Start: s.row.Start, Lossy: s.lossy, Fresh: s.fresh})
	}
	return list, nil
}

// HoldOut judges blocks of recordings by what is learnt from the others, as [CrossValidate] does: a list for each of changes, which are made to
// what was learnt. The first unit of each block is Fresh.
func HoldOut(engine Engine, scale Scale, recordings []Recording, folds int, o EvalOptions, changes ...func(*Variant) *Variant) ([][]Judged, error) {
	v, p, err := newVariant(engine, recordings, nil, o)
	if err != nil {
		return nil, err
	}
	samples, err := lay(v.features, recordings)
	if err != nil {
		return nil, err
	}
	if folds < 2 || folds > len(samples) {
		return nil, fmt.Errorf("hold out: %d blocks of %d units, want 2 or more blocks of at least one unit", folds, len(samples))
	}
	all := make([][]Judged, len(changes))
	for f := range folds {
		from, to := f*len(samples)/folds, (f+1)*len(samples)/folds
		learnt := *v
		if err := learnt.learn(p, without(v.features, samples, from, to, p.filled), scale); err != nil {
			return nil, fmt.Errorf("hold out block %d of %d: %w", f+1, folds, err)
		}
		for i, change := range changes {
			block, err := change(&learnt).judgeAll(samples[from:to])
			if err != nil {
				return nil, fmt.Errorf("hold out block %d of %d: %w", f+1, folds, err)
			}
			block[0].Fresh = true
			all[i] = append(all[i], block...)
		}
	}
	return all, nil
}

// JudgedScenario is what was said of the units of a [Scenario].
type JudgedScenario struct {
	Name  string
	Units []Judged
}

// Decide compares what a rule makes of normal units with what it makes of scenarios'. The evaluation's Method is empty.
func Decide(rule Rule, normal []Judged, scenarios []JudgedScenario) *Evaluation {
	calm := observe(rule, normal)
	e := &Evaluation{
		NormalUnits: len(calm.scores), FalseAlarms: calm.alarms, FalsePositives: calm.flagged,
		FalsePositiveRate:         ratio(float64(calm.flagged), float64(len(calm.scores))),
		SequenceFalsePositiveRate: ratio(float64(calm.alarmed), float64(len(calm.scores))),
		Scenarios:                 []ScenarioResult{},
	}
	for _, s := range scenarios {
		e.Scenarios = append(e.Scenarios, compare(s.Name, calm, observe(rule, s.Units)))
	}
	e.summarise()
	return e
}

// Count says how often a rule is wrong about normal units that were held out in so many blocks.
func Count(rule Rule, normal []Judged, folds int) CrossValidation {
	o := observe(rule, normal)
	return newCrossValidation(folds, len(normal), o.flagged, o.alarms)
}

// NewCount has the rates, the interval and the bound of normal units that were judged by what was learnt before them: one block.
func NewCount(units, falsePositives, falseAlarms int) CrossValidation {
	return newCrossValidation(1, units, falsePositives, falseAlarms)
}

// Pool adds up what was found on sets of normal units that have none in common.
func Pool(parts ...CrossValidation) CrossValidation {
	var folds, units, flagged, alarms int
	for _, p := range parts {
		folds, units, flagged, alarms = folds+p.Folds, units+p.Units, flagged+p.FalsePositives, alarms+p.FalseAlarms
	}
	return newCrossValidation(folds, units, flagged, alarms)
}

func newCrossValidation(folds, units, flagged, alarms int) CrossValidation {
	v := CrossValidation{
		Folds: folds, Units: units, FalsePositives: flagged, FalseAlarms: alarms,
		FalsePositiveRate: ratio(float64(flagged), float64(units)), Hours: (time.Duration(units) * Width).Hours(),
	}
	v.Low, v.High = BinomialInterval(flagged, units, Confidence)
	v.AlarmsPerDayBound = ratio(PoissonBound(alarms, Confidence)*24, v.Hours)
	return v
}

// observe is judgeSamples for a rule, over verdicts that are there.
func observe(rule Rule, units []Judged) outcome {
	rule.Reset()
	var o outcome
	state := Normal
	for _, u := range units {
		if u.Fresh {
			rule.Reset()
			state = Normal
		}
		o.scores = append(o.scores, u.evidence)
		before := state
		state = rule.Observe(u.Verdict, u.Lossy)
		if u.Anomalous {
			o.flagged++
		}
		if state != Anomalous {
			continue
		}
		o.alarmed++
		if before != Anomalous {
			o.alarms++
		}
		if o.first == 0 {
			o.first = len(o.scores)
		}
	}
	return o
}
