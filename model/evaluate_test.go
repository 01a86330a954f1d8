package model

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// evaluated is a guest, learnt, left alone and attacked.
func evaluated() (train, normal []Recording, anomalies []Scenario) {
	g := newGuest(1, 0.5)
	train = []Recording{g.recording("train", 120, 1)}
	normal = []Recording{g.recording("normal", 60, 1)}
	anomalies = []Scenario{
		{"flood", []Recording{g.recording("flood", 30, 16)}},
		{"nothing", []Recording{g.recording("nothing", 30, 1)}},
		{"busy", []Recording{g.recording("busy", 30, 3)}},
	}
	return train, normal, anomalies
}

// The same as learning and judging by hand.
func TestEvaluate(t *testing.T) {
	train, normal, anomalies := evaluated()
	got, err := Evaluate(smo{}, MethodDefault, train, normal, anomalies, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rows := func(r Recording) (list []Row) {
		for _, u := range r.Units {
			list = append(list, Row{Start: u.Start, Values: Align(r.Features, r.Features).Apply(nil, u.Counts)})
		}
		return list
	}
	p, err := Train(smo{}, Dataset{Features: guestFeatures(), Rows: rows(train[0])}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	judge := func(r Recording) (flagged, alarmed, first int) {
		d, _ := NewDecider(DeciderConfig{})
		sequence := p.Sequence(0)
		for i, u := range rows(r) {
			v, err := sequence.Judge(u.Start, u.Values, nil)
			if err != nil {
				t.Fatal(err)
			}
			flagged += int(count(v.Anomalous))
			if d.Observe(v.Anomalous, false) == Anomalous {
				if alarmed++; first == 0 {
					first = i + 1
				}
			}
		}
		return flagged, alarmed, first
	}
	wrong, _, _ := judge(normal[0])
	if got.NormalUnits != 60 || got.TrainingUnits != 120 || got.FalsePositives != wrong || got.FalseAlarms != 0 || got.Paper != nil {
		t.Errorf("%+v, want %d false positives", got, wrong)
	}
	for i, s := range got.Scenarios {
		flagged, alarmed, first := judge(anomalies[i].Recordings[0])
		if s.Name != anomalies[i].Name || s.Units != 30 || s.Sensitivity != float64(flagged)/30 || s.Alarmed != (alarmed > 0) {
			t.Errorf("%+v, want %d units positive", s, flagged)
		}
		sequence := Confusion{TruePositive: alarmed, FalseNegative: 30 - alarmed, TrueNegative: 60}.FMeasure()
		if s.SequenceFMeasure != sequence || s.Alarmed && *s.UnitsToAlarm != first || !s.Alarmed && s.UnitsToAlarm != nil {
			t.Errorf("%+v, want %d units in state anomalous from unit %d on", s, alarmed, first)
		}
	}
	flood := got.Scenarios[0]
	if flood.FMeasure < 0.99 || flood.AUC < 0.99 || flood.UnitsToAlarm == nil || *flood.UnitsToAlarm != 3 {
		t.Errorf("flood: %+v", flood)
	}
	if nothing := got.Scenarios[1]; nothing.AUC < 0.3 || nothing.AUC > 0.7 || nothing.Alarmed {
		t.Errorf("nothing: %+v", nothing)
	}
	if *got.MinFMeasure != got.Scenarios[1].FMeasure || *got.MedianFMeasure != got.Scenarios[2].FMeasure {
		t.Errorf("median %v, least %v of %+v", *got.MedianFMeasure, *got.MinFMeasure, got.Scenarios)
	}
}

// What programs read.
func TestEvaluationJSON(t *testing.T) {
	three := 3
	for _, tc := range []struct {
		e    Evaluation
		want string
	}{
		{Evaluation{Method: MethodPaper, Scenarios: []ScenarioResult{}, TrainingUnits: 5}, `{"method":"paper","false_positive_rate":0,"false_alarms":0,"normal_units":0,"scenarios":[],` +
			`"median_f_measure":null,"min_f_measure":null,"median_sequence_f_measure":null,"min_sequence_f_measure":null}`},
		{Evaluation{Method: MethodDefault, NormalUnits: 80, Scenarios: []ScenarioResult{{Name: "a", Units: 4, AUC: 0.5, Alarmed: true, UnitsToAlarm: &three}, {Name: "b"}}},
			`{"method":"default","false_positive_rate":0,"false_alarms":0,"normal_units":80,"scenarios":[` +
				`{"name":"a","units":4,"sensitivity":0,"precision":0,"f_measure":0,"auc":0.5,"alarmed":true,"units_to_alarm":3,"sequence_f_measure":0},` +
				`{"name":"b","units":0,"sensitivity":0,"precision":0,"f_measure":0,"auc":0,"alarmed":false,"units_to_alarm":null,"sequence_f_measure":0}],` +
				`"median_f_measure":null,"min_f_measure":null,"median_sequence_f_measure":null,"min_sequence_f_measure":null}`},
	} {
		got, err := json.Marshal(tc.e)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, string(got)); diff != "" {
			t.Error(diff)
		}
	}
}

// limit is a judge to which the first count is the score, and what is below the limit anomalous.
type limit float64

func (limit) forget() {}

func (l limit) judge(row Row, _ bool) (Verdict, error) {
	return Verdict{Score: row.Values[0], Anomalous: row.Values[0] < float64(l), evidence: row.Values[0]}, nil
}

// The measures against their definitions, for any counts.
func TestMeasures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Uint64Range(0, 9), 1, 40)
		normal, attacked := values.Draw(t, "normal"), values.Draw(t, "attacked")
		below := float64(rapid.IntRange(0, 10).Draw(t, "limit"))
		outcomes := make([]outcome, 2)
		for i, v := range [][]uint64{normal, attacked} {
			var err error
			if outcomes[i], err = judgeRecordings(limit(below), DeciderConfig{}, []string{"x"}, []Recording{counts("r", "x", 0, v...)}); err != nil {
				t.Fatal(err)
			}
		}
		r := compare("a", outcomes[0], outcomes[1])
		share := func(v []uint64) (s float64) {
			for _, u := range v {
				s += count(float64(u) < below)
			}
			return s / float64(len(v))
		}
		tpr, fpr := share(attacked), share(normal)
		precision := 0.0
		if tpr+fpr > 0 {
			precision = tpr / (tpr + fpr)
		}
		f := 0.0
		if tpr > 0 {
			f = 2 / (1/precision + 1/tpr)
		}
		for _, pair := range [][2]float64{{r.Sensitivity, tpr}, {r.Precision, precision}, {r.FMeasure, f}} {
			if math.Abs(pair[0]-pair[1]) > 1e-12 {
				t.Errorf("%+v, want sensitivity %v, precision %v, F %v", r, tpr, precision, f)
			}
		}
		if r.AUC < 0 || r.AUC > 1 || r.SequenceFMeasure < 0 || r.SequenceFMeasure > 1 || r.Alarmed != (r.UnitsToAlarm != nil) {
			t.Errorf("%+v", r)
		}
		// Three of five raise the alarm, so that it comes no sooner than with the third positive unit.
		if r.Alarmed && (*r.UnitsToAlarm < 3 || share(attacked[:*r.UnitsToAlarm])*float64(*r.UnitsToAlarm) < 3) {
			t.Errorf("alarm after %d units", *r.UnitsToAlarm)
		}
	})
}

func TestMiddle(t *testing.T) {
	for want, values := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 7: {7}} {
		before := slices.Clone(values)
		if got := *middle(values); got != want || !slices.Equal(values, before) {
			t.Errorf("median of %v: %v", values, got)
		}
	}
}

// Each recording has a state machine of its own, unless it goes on where the one before ended.
func TestStateMachineBeginsAnew(t *testing.T) {
	low := []uint64{0, 0}
	judge := func(recordings ...Recording) outcome {
		o, err := judgeRecordings(limit(5), DeciderConfig{}, []string{"x"}, recordings)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	first, next, later := counts("a", "x", 0, low...), counts("b", "x", 2*tick, low...), counts("c", "x", 100*tick, low...)
	if o := judge(first, next); o.alarms != 1 || o.first != 3 || o.alarmed != 2 {
		t.Errorf("continued: %+v", o)
	}
	if o := judge(first, later); o.alarms != 0 || o.first != 0 {
		t.Errorf("apart: %+v", o)
	}
	if o := judge(counts("a", "x", 0, 0, 0, 0), counts("b", "x", 0, 0, 0, 0)); o.alarms != 2 || o.first != 3 || o.alarmed != 2 || o.flagged != 6 {
		t.Errorf("two alarms: %+v", o)
	}
}

// The order of columns, and columns that a file leaves out because the feature never fired, make no difference.
func TestColumns(t *testing.T) {
	train, normal, anomalies := evaluated()
	want, err := Evaluate(smo{}, MethodDefault, train, normal, anomalies, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	turn := func(r *Recording) {
		slices.Reverse(r.Features)
		for _, u := range r.Units {
			slices.Reverse(u.Counts)
		}
	}
	turn(&normal[0])
	turn(&anomalies[0].Recordings[0])
	silent := &anomalies[2].Recordings[0]
	for i, name := range silent.Features {
		if name == "never_a" {
			silent.Features = slices.Delete(silent.Features, i, i+1)
			for j := range silent.Units {
				silent.Units[j].Counts = slices.Delete(silent.Units[j].Counts, i, i+1)
			}
			break
		}
	}
	got, err := Evaluate(smo{}, MethodDefault, train, normal, anomalies, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// An event that occurs only during an attack counts, though it was never seen in training.
	quiet := &anomalies[1].Recordings[0]
	quiet.Features = append(quiet.Features, "new")
	for i := range quiet.Units {
		quiet.Units[i].Counts = append(quiet.Units[i].Counts, 1e6)
	}
	if got, err = Evaluate(smo{}, MethodDefault, train, normal, anomalies, EvalOptions{}); err != nil {
		t.Fatal(err)
	}
	if got.FalsePositives != want.FalsePositives || got.Scenarios[1].Sensitivity < 0.9 {
		t.Errorf("%d false positives, %+v", got.FalsePositives, got.Scenarios[1])
	}
}

// Units that were not seen as a whole are left alone; those with losses are not learnt from, and are positive only if they are anomalous whatever they lost.
func TestPartialAndLossy(t *testing.T) {
	train, normal, anomalies := evaluated()
	want, err := Evaluate(smo{}, MethodDefault, train, normal, nil, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(r Recording, change func(*Observation)) Recording {
		u := Observation{Start: r.Units[len(r.Units)-1].Start + tick, Counts: make([]uint64, len(r.Features))}
		change(&u)
		r.Units = append(slices.Clone(r.Units), u)
		return r
	}
	partial := func(u *Observation) { u.Partial = true }
	lossy := func(u *Observation) { u.Lossy = true }
	train[0] = spoil(spoil(train[0], partial), lossy)
	normal[0] = spoil(spoil(normal[0], partial), lossy) // an ordinary unit that lost all
	got, err := Evaluate(smo{}, MethodDefault, train, normal, nil, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.TrainingUnits != want.TrainingUnits || got.NormalUnits != want.NormalUnits+1 || got.FalsePositives != want.FalsePositives {
		t.Errorf("%+v, without %+v", got, want)
	}
	flood := anomalies[:1]
	for i := range flood[0].Recordings[0].Units {
		lossy(&flood[0].Recordings[0].Units[i])
	}
	if got, err = Evaluate(smo{}, MethodDefault, train, normal, flood, EvalOptions{}); err != nil || got.Scenarios[0].Sensitivity < 0.9 {
		t.Errorf("a flood with losses: %+v, %v", got, err)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	train, normal, anomalies := evaluated()
	short := []Recording{newGuest(1, 0).recording("short", 20, 1)}
	empty := []Recording{{Name: "empty"}}
	for _, tc := range []struct {
		name          string
		engine        Engine
		method        Method
		train, normal []Recording
		anomalies     []Scenario
		want          error
		says          string
	}{
		{"no method", smo{}, "svdd", train, normal, anomalies, ErrMethod, "svdd"},
		{"no engine", nil, MethodDefault, train, normal, anomalies, nil, "engine"},
		{"nothing to learn from", smo{}, MethodDefault, nil, normal, anomalies, ErrRecording, "learn"},
		{"nothing normal", smo{}, MethodDefault, train, nil, anomalies, ErrRecording, "normal"},
		{"too few", smo{}, MethodDefault, short, normal, anomalies, nil, "short: "},
		{"too few for the paper", smo{}, MethodPaper, short, normal, anomalies, nil, "short: "},
		{"empty", smo{}, MethodDefault, train, empty, anomalies, ErrRecording, "empty: "},
		{"empty scenario", smo{}, MethodDefault, train, normal, []Scenario{{"flood", empty}}, ErrRecording, "empty: "},
		{"scenario of nothing", smo{}, MethodDefault, train, normal, []Scenario{{Name: "flood"}}, ErrRecording, "flood"},
		{"uncertified", failing{}, MethodDefault, train, normal, anomalies, ErrUncertified, "train: "},
		{"uncertified for the paper", failing{}, MethodPaper, train, normal, anomalies, ErrUncertified, "train: "},
	} {
		_, err := Evaluate(tc.engine, tc.method, tc.train, tc.normal, tc.anomalies, EvalOptions{})
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := Evaluate(smo{}, MethodDefault, train, normal, anomalies, EvalOptions{Decider: DeciderConfig{Window: 65}}); err == nil {
		t.Error("a window of 65 units")
	}
}
