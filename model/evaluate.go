package model

import (
	"errors"
	"fmt"
	"slices"
)

// Method is a way to learn and to judge.
type Method string

// The methods that can be compared.
const (
	// MethodDefault is [Train] and [Profile.Judge], as the daemon learns and judges.
	MethodDefault Method = "default"
	// MethodPaper is the paper's (see [SearchPaper]).
	MethodPaper Method = "paper"
)

// ErrMethod means that there is no such [Method].
var ErrMethod = errors.New("unknown method")

// EvalOptions say how to evaluate. The zero value means the daemon's defaults.
type EvalOptions struct {
	Train   Options       // MethodPaper uses MinUnits, MaxRows and Guard only
	Decider DeciderConfig // of either method
	// Paper is what an earlier grid search chose, for MethodPaper; nil: search on the units to learn
	// from. The paper searched once and used the result throughout its evaluation.
	Paper *PaperParameters
}

// Scenario is what was recorded while a guest was attacked in one way.
type Scenario struct {
	Name       string
	Recordings []Recording
}

// Evaluation says how well a method tells anomalous units from normal ones. Every rate
// lies between 0 and 1.
//
// Partial units are not judged. A lossy one is positive only if it is
// anomalous whatever it lost ([Profile.Complete]) and negative otherwise;
// MethodPaper knows nothing of losses and takes counts as they are.
//
// By unit, positive is what the method itself says of each unit. By sequence, the
// verdicts go through a [Decider], and a unit is positive if the state after it is
// [Anomalous]. The state machine begins anew with each scenario, and with each
// recording unless it continues the one before (its first unit starts within two
// units of the other's last one's start). The paper
// proposes to judge sequences (its 5.1) but gives no rule, so that the figures by
// sequence of MethodPaper are those of the same state machine over the SVM's decisions.
type Evaluation struct {
	Method            Method           `json:"method"`
	FalsePositiveRate float64          `json:"false_positive_rate"` // share of all normal units, by unit
	FalseAlarms       int              `json:"false_alarms"`        // how often the state became anomalous in normal recordings
	NormalUnits       int              `json:"normal_units"`        // judged, of all normal recordings
	Scenarios         []ScenarioResult `json:"scenarios"`           // in the order given

	// Over the scenarios, nil without any. The median of an even number is the
	// mean of the middle two.
	MedianFMeasure         *float64 `json:"median_f_measure"`
	MinFMeasure            *float64 `json:"min_f_measure"`
	MedianSequenceFMeasure *float64 `json:"median_sequence_f_measure"`
	MinSequenceFMeasure    *float64 `json:"min_sequence_f_measure"`

	TrainingUnits             int              `json:"-"` // whole ones without losses
	FalsePositives            int              `json:"-"` // normal units, by unit
	SequenceFalsePositiveRate float64          `json:"-"` // share of normal units in state anomalous
	Paper                     *PaperParameters `json:"-"` // what the grid search chose; nil for other methods
}

// ScenarioResult says how well one scenario's units are told from all normal ones. Precision
// and F-measures are as if there were as many normal units as there are of the scenario.
type ScenarioResult struct {
	Name        string  `json:"name"`
	Units       int     `json:"units"`       // judged
	Sensitivity float64 `json:"sensitivity"` // share of its units that are positive
	Precision   float64 `json:"precision"`
	FMeasure    float64 `json:"f_measure"`
	// AUC is of how improbable units are ([Verdict].Tail, not cut off at 1), or of MethodPaper's scores
	// ([Verdict].Score), which order units as its decision value does but can tell far ones apart.
	AUC     float64 `json:"auc"`
	Alarmed bool    `json:"alarmed"` // the state became anomalous
	// UnitsToAlarm is the number of judged units up to the first alarm, the one with which the state
	// became anomalous included, counted through its recordings; nil without an alarm.
	UnitsToAlarm     *int    `json:"units_to_alarm"`
	SequenceFMeasure float64 `json:"sequence_f_measure"`
}

// Evaluate learns from train, and judges normal and anomalies by it. Train and normal have at least one
// recording each; every recording has at least one whole unit. The features are
// all that any recording has; where one lacks a feature, it is 0. Errors name the
// recording; they wrap [ErrRecording], [ErrMethod], or are those of [Train] and [SearchPaper].
// The same input gives the same result.
func Evaluate(engine Engine, method Method, train, normal []Recording, anomalies []Scenario, o EvalOptions) (*Evaluation, error) {
	groups := [][]Recording{train, normal}
	for _, s := range anomalies {
		groups = append(groups, s.Recordings)
	}
	features := allFeatures(groups...)
	learnt, err := newPupil(engine, method, features, train, o)
	if err != nil {
		return nil, err
	}
	judge, err := learnt.learn(learnt.data)
	if err != nil {
		return nil, err
	}
	calm, err := judgeRecordings(judge, o.Decider, features, normal)
	if err != nil {
		return nil, fmt.Errorf("normal units: %w", err)
	}
	e := &Evaluation{
		Method: method, NormalUnits: len(calm.scores), FalseAlarms: calm.alarms, FalsePositives: calm.flagged,
		FalsePositiveRate:         ratio(float64(calm.flagged), float64(len(calm.scores))),
		SequenceFalsePositiveRate: ratio(float64(calm.alarmed), float64(len(calm.scores))),
		TrainingUnits:             len(learnt.data.Rows), Paper: learnt.paper, Scenarios: []ScenarioResult{},
	}
	for _, s := range anomalies {
		attacked, err := judgeRecordings(judge, o.Decider, features, s.Recordings)
		if err != nil {
			return nil, fmt.Errorf("scenario %q: %w", s.Name, err)
		}
		e.Scenarios = append(e.Scenarios, compare(s.Name, calm, attacked))
	}
	e.summarise()
	return e, nil
}

// compare sets what was said of a scenario's units beside what was said of normal ones.
func compare(name string, normal, attacked outcome) ScenarioResult {
	units := confusion(attacked.flagged, len(attacked.scores), normal.flagged, len(normal.scores))
	r := ScenarioResult{
		Name: name, Units: len(attacked.scores),
		Sensitivity: units.Sensitivity(), Precision: units.Precision(), FMeasure: units.FMeasure(),
		AUC:              AUC(normal.scores, attacked.scores),
		Alarmed:          attacked.alarms > 0,
		SequenceFMeasure: confusion(attacked.alarmed, len(attacked.scores), normal.alarmed, len(normal.scores)).FMeasure(),
	}
	if r.Alarmed {
		r.UnitsToAlarm = &attacked.first
	}
	return r
}

func confusion(found, anomalous, alarmed, normal int) Confusion {
	return Confusion{TruePositive: found, FalseNegative: anomalous - found, FalsePositive: alarmed, TrueNegative: normal - alarmed}
}

// summarise fills in the medians and least values.
func (e *Evaluation) summarise() {
	if len(e.Scenarios) == 0 {
		return
	}
	var units, sequence []float64
	for _, s := range e.Scenarios {
		units, sequence = append(units, s.FMeasure), append(sequence, s.SequenceFMeasure)
	}
	e.MedianFMeasure, e.MinFMeasure = middle(units), new(slices.Min(units))
	e.MedianSequenceFMeasure, e.MinSequenceFMeasure = middle(sequence), new(slices.Min(sequence))
}

// middle is the median, of an even number of values the mean of the middle two.
func middle(values []float64) *float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	m := (sorted[(n-1)/2] + sorted[n/2]) / 2
	return &m
}

// outcome is what was said of the units of some recordings.
type outcome struct {
	scores  []float64 // one for each judged unit
	flagged int       // units that are positive by themselves
	alarmed int       // units after which the state was anomalous
	alarms  int       // how often the state became so
	first   int       // units up to the first time, that one included
}

// judgeRecordings judges the whole units of recordings.
func judgeRecordings(judge unitJudge, c DeciderConfig, features []string, recordings []Recording) (outcome, error) {
	samples, err := lay(features, recordings)
	if err != nil {
		return outcome{}, err
	}
	return judgeSamples(judge, c, samples)
}

// judgeSamples judges units in the order of time.
func judgeSamples(judge unitJudge, c DeciderConfig, samples []sample) (outcome, error) {
	decider, err := NewDecider(c)
	if err != nil {
		return outcome{}, err
	}
	var o outcome
	for _, s := range samples {
		if s.fresh {
			decider.Reset()
			judge.forget()
		}
		verdict, err := judge.judge(s.row, s.lossy)
		if err != nil {
			return outcome{}, err
		}
		o.scores = append(o.scores, verdict.evidence)
		before := decider.State()
		after := decider.Observe(verdict.Anomalous, s.lossy)
		if verdict.Anomalous {
			o.flagged++
		}
		if after != Anomalous {
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
	return o, nil
}
