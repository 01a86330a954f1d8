package evaluation

import (
	"fmt"

	"github.com/virtsentry/virtsentry/model"
)

// Relearning is the paper's 5.2: peak load before and after it was learnt.
type Relearning struct {
	Set           string
	Method        model.Method
	Units         int     // of the peak load that is judged
	Before, After float64 // share of them that is flagged by unit
	AlarmsBefore  int     // how often the state became anomalous
	AlarmsAfter   int
	// NormalBefore and NormalAfter have the attacks and the ordinary load.
	NormalBefore, NormalAfter *model.Evaluation
}

// relearning learns peak-1 with the ordinary load and judges peak-2.
func (d *Data) relearning(r *Results) error {
	for _, a := range []struct {
		set    string
		method model.Method
	}{{SetDefault, model.MethodDefault}, {SetPaper, model.MethodPaper}} {
		train, normal := d.recordings(a.set, "train"), d.recordings(a.set, "normal")
		learnt, peak := d.Sets[a.set].of("peak-1"), d.Sets[a.set].of("peak-2")
		if len(train) == 0 || len(normal) == 0 || len(learnt) == 0 || len(peak) == 0 {
			continue
		}
		var attacks []model.Scenario
		for _, strength := range strengths {
			attacks = append(attacks, d.Sets[a.set].scenarios(prefixed(strength, attackNames)...)...)
		}
		more := append(append([]model.Recording(nil), train...), learnt...)
		result := Relearning{Set: a.set, Method: a.method, Units: judged(peak)}
		var o model.EvalOptions
		for _, step := range []struct {
			train  []model.Recording
			share  *float64
			alarms *int
			normal **model.Evaluation
		}{{train, &result.Before, &result.AlarmsBefore, &result.NormalBefore}, {more, &result.After, &result.AlarmsAfter, &result.NormalAfter}} {
			e, err := model.Evaluate(d.Engine, a.method, step.train, normal, attacks, o)
			if err != nil {
				return fmt.Errorf("set %s: %w", a.set, err)
			}
			o.Paper = e.Paper // the paper searched once
			judgedPeak, err := model.Evaluate(d.Engine, a.method, step.train, peak, nil, o)
			if err != nil {
				return fmt.Errorf("set %s, peak load: %w", a.set, err)
			}
			*step.share, *step.alarms, *step.normal = judgedPeak.FalsePositiveRate, judgedPeak.FalseAlarms, e
		}
		r.Relearning = append(r.Relearning, result)
	}
	return nil
}
