package model

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// deciderRule is the daemon's decision as a rule.
type deciderRule struct{ *Decider }

func (r deciderRule) Observe(v Verdict, lossy bool) State {
	return r.Decider.Observe(v.Anomalous, lossy)
}

func newDeciderRule(t *testing.T) deciderRule {
	t.Helper()
	d, err := NewDecider(DeciderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return deciderRule{d}
}

// Nothing left out, the verdicts and a rule over them give what Evaluate does.
func TestDecideAsEvaluate(t *testing.T) {
	train, normal, anomalies := evaluated()
	want, err := Evaluate(smo{}, MethodDefault, train, normal, anomalies, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := LearnVariant(smo{}, ScaleResiduals, train, normal, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	calm, err := v.Judge(normal)
	if err != nil {
		t.Fatal(err)
	}
	var attacked []JudgedScenario
	for _, s := range anomalies {
		units, err := v.Judge(s.Recordings)
		if err != nil {
			t.Fatal(err)
		}
		attacked = append(attacked, JudgedScenario{Name: s.Name, Units: units})
	}
	got := Decide(newDeciderRule(t), calm, attacked)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Evaluation{}, "Method", "TrainingUnits")); diff != "" {
		t.Error(diff)
	}
	if v.TrainingUnits() != want.TrainingUnits {
		t.Errorf("learnt from %d units, want %d", v.TrainingUnits(), want.TrainingUnits)
	}
}

// Held out and counted is cross-validated.
func TestHoldOutAsCrossValidate(t *testing.T) {
	train, normal, _ := evaluated()
	all := slices.Concat(train, normal)
	want, err := CrossValidate(smo{}, MethodDefault, all, 5, EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same := func(v *Variant) *Variant { return v }
	first := func(v *Variant) *Variant { return v.WithViews(func(View) bool { return false }) }
	units, err := HoldOut(smo{}, ScaleResiduals, all, 5, EvalOptions{}, same, first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*want, Count(newDeciderRule(t), units[0], 5)); diff != "" {
		t.Error(diff)
	}
	if len(units[1]) != len(units[0]) {
		t.Errorf("%d units with all views, %d with the first", len(units[0]), len(units[1]))
	}
	pooled := Pool(*want, *want)
	if pooled.Units != 2*want.Units || pooled.Hours != 2*want.Hours || pooled.AlarmsPerDayBound > want.AlarmsPerDayBound && want.FalseAlarms == 0 {
		t.Errorf("pooled with itself: %+v, from %+v", pooled, want)
	}
}

// Each variant tells a flood from what is usual; the machine's own threshold flags more than the tail does.
func TestVariants(t *testing.T) {
	train, normal, anomalies := evaluated()
	flagged := map[string]int{}
	for name, learn := range map[string]func() (*Variant, error){
		"log":    func() (*Variant, error) { return LearnVariant(smo{}, ScaleLog, train, normal, EvalOptions{}) },
		"raw":    func() (*Variant, error) { return LearnVariant(smo{}, ScaleRaw, train, normal, EvalOptions{}) },
		"single": func() (*Variant, error) { return LearnVariant(smo{}, ScaleResiduals, train, normal, EvalOptions{}) },
		"own": func() (*Variant, error) {
			v, err := LearnVariant(smo{}, ScaleResiduals, train, normal, EvalOptions{})
			if err != nil {
				return nil, err
			}
			return v.WithOwnThreshold(), nil
		},
	} {
		v, err := learn()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "single" {
			v = v.WithViews(func(View) bool { return false })
		}
		units, err := v.Judge(append(append([]Recording(nil), normal...), anomalies[0].Recordings...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := 0
		for i, u := range units {
			switch {
			case !u.Anomalous:
			case i < 60:
				flagged[name]++
			default:
				found++
			}
			if u.Units != 1 {
				t.Errorf("%s: unit %d was judged with %d", name, i, u.Units)
			}
		}
		if found < 29 {
			t.Errorf("%s: %d of 30 units of a flood were found", name, found)
		}
	}
	if flagged["own"] <= flagged["single"] {
		t.Errorf("flagged: %v, want more by the own threshold", flagged)
	}
	if _, err := LearnVariant(smo{}, "sqrt", train, normal, EvalOptions{}); err == nil {
		t.Error("an unknown scale is taken")
	}
	if _, err := LearnVariant(smo{}, ScaleLog, []Recording{counts("few", "a", 0, 1, 2, 3)}, nil, EvalOptions{}); err == nil {
		t.Error("three units are enough")
	}
}
