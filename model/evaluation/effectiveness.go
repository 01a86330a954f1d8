package evaluation

import (
	"fmt"

	"github.com/virtsentry/virtsentry/model"
)

// Arm is a source of units with a method: one series of the paper's Fig. 4.
type Arm struct {
	Set    string
	Method model.Method
	Paper  *model.PaperParameters
	Result *model.Evaluation // of all attacks, weak and strong
}

// arms in the order of the tables.
var arms = []struct {
	set    string
	method model.Method
}{
	{SetPaper, model.MethodPaper},
	{SetCounts, model.MethodPaper},
	{SetSyscalls, model.MethodPaper},
	{SetPaper, model.MethodDefault},
	{SetCounts, model.MethodDefault},
	{SetSyscalls, model.MethodDefault},
	{SetDefault, model.MethodDefault},
}

// source names a set as the paper would.
func source(set string) string {
	switch set {
	case SetPaper:
		return "selected probes"
	case SetCounts:
		return "all probes"
	case SetSyscalls:
		return "system calls"
	}
	return "`" + set + "` set"
}

// paper is feasibility and effectiveness, which share the paper's search of parameters.
func (d *Data) paper(r *Results) error {
	for _, a := range arms {
		train, judge := d.recordings(a.set, "train"), d.recordings(a.set, "normal")
		if len(train) == 0 || len(judge) == 0 {
			continue
		}
		var attacks []model.Scenario
		for _, strength := range strengths {
			attacks = append(attacks, d.Sets[a.set].scenarios(prefixed(strength, attackNames)...)...)
		}
		e, err := model.Evaluate(d.Engine, a.method, train, judge, attacks, model.EvalOptions{})
		if err != nil {
			return fmt.Errorf("set %s, method %s: %w", a.set, a.method, err)
		}
		r.Arms = append(r.Arms, Arm{Set: a.set, Method: a.method, Paper: e.Paper, Result: e})
		if err := d.curve(r, a.set, a.method, e.Paper); err != nil {
			return fmt.Errorf("set %s, method %s: %w", a.set, a.method, err)
		}
	}
	return nil
}

// scenario is an arm's result for one scenario, nil without one.
func (a Arm) scenario(name string) *model.ScenarioResult {
	for i := range a.Result.Scenarios {
		if a.Result.Scenarios[i].Name == name {
			return &a.Result.Scenarios[i]
		}
	}
	return nil
}

// values are one figure of all scenarios of a strength.
func (a Arm) values(strength string, figure func(model.ScenarioResult) float64) []float64 {
	var list []float64
	for _, name := range prefixed(strength, attackNames) {
		if s := a.scenario(name); s != nil {
			list = append(list, figure(*s))
		}
	}
	return list
}

// Figures of a scenario.
func byUnit(s model.ScenarioResult) float64      { return s.FMeasure }
func bySequence(s model.ScenarioResult) float64  { return s.SequenceFMeasure }
func sensitivity(s model.ScenarioResult) float64 { return s.Sensitivity }
func auc(s model.ScenarioResult) float64         { return s.AUC }
