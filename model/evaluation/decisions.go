package evaluation

import (
	"fmt"
	"math"
	"time"

	"github.com/virtsentry/virtsentry/model"
)

// Decision is a rule for sequences.
type Decision struct {
	Name    string
	Limit   *float64 // nil where the rule has none of this kind
	Results []DecisionResult
	// Everyday has the false alarms of the everyday recording after its first twenty minutes, which were learnt; nil without one.
	Everyday *model.CrossValidation
}

// DecisionResult is what a rule made of a corpus.
type DecisionResult struct {
	Corpus  string
	HeldOut model.CrossValidation // normal units
	Result  *model.Evaluation
	// Raised is the same with the limit raised, where need be, to above all that held-out normal units reached; nil where there is no limit
	// to be raised, and of a corpus by which the method's parameters were chosen.
	Raised *model.Evaluation
	Limit  float64 // then
}

// sequences are the rules that are compared. All but the last see single units.
var sequences = []struct {
	name string
	new  func() statistic
}{
	{"one unit", func() statistic { return last{} }},
	{"3 of 5 units", func() statistic { return &kth{k: 3, n: 5} }},
	{"6 of 15 units", func() statistic { return &kth{k: 6, n: 15} }},
	{"CUSUM, mean 2", func() statistic { return &cusum{mean: 2} }},
	{"CUSUM, mean 4", func() statistic { return &cusum{mean: 4} }},
	{"EWMA, weight 0.2", func() statistic { return &ewma{weight: 0.2} }},
	{"EWMA, weight 0.05", func() statistic { return &ewma{weight: 0.05} }},
}

// sight is how units are looked at: single ones only, or all views.
type sight struct {
	heldOut, normal []model.Judged
	attacked        []model.JudgedScenario
}

// decisions compares rules over the same verdicts, and cross-validates the default ones.
func (d *Data) decisions(r *Results) error {
	if len(d.corpora()) == 0 {
		return nil
	}
	limits := make([]float64, len(sequences))
	for i, s := range sequences {
		limits[i] = limitFor(s.new(), d.SimulatedDays)
		r.Decisions = append(r.Decisions, Decision{Name: s.name, Limit: &limits[i]})
	}
	r.Decisions = append(r.Decisions, Decision{Name: "state machine, of single units"}, Decision{Name: "**state machine and windows**"})
	heldOut := map[string][][]model.Judged{} // by what was learnt from, for corpora share it
	var pooled []model.CrossValidation
	for _, c := range d.corpora() {
		key := c.train[0].Name
		normals := append(append([]model.Recording(nil), c.train...), c.judge...)
		if heldOut[key] == nil {
			streams, err := model.HoldOut(d.Engine, model.ScaleResiduals, normals, heldOutBlocks, model.EvalOptions{}, singles, everything)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
			heldOut[key] = streams
			count := model.Count(ours(), streams[1], heldOutBlocks)
			r.FalseAlarms = append(r.FalseAlarms, HeldOut{Data: recordingNames(normals), Chosen: c.Chosen, Result: count})
			pooled = append(pooled, count)
		}
		v, err := model.LearnVariant(d.Engine, model.ScaleResiduals, c.train, append(append([]model.Recording(nil), c.judge...), recordingsOf(c.attacks)...), model.EvalOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		single, err := look(singles(v), c, heldOut[key][0])
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		full, err := look(v, c, heldOut[key][1])
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		for i, s := range sequences {
			r.Decisions[i].Results = append(r.Decisions[i].Results, single.compare(c, s.new, limits[i]))
		}
		for i, s := range []sight{single, full} {
			at := &r.Decisions[len(sequences)+i]
			at.Results = append(at.Results, DecisionResult{
				Corpus: c.Name, HeldOut: model.Count(ours(), s.heldOut, heldOutBlocks), Result: model.Decide(ours(), s.normal, s.attacked),
			})
		}
	}
	if err := d.everydayDecisions(r, limits); err != nil {
		return err
	}
	if len(pooled) > 1 {
		r.FalseAlarms = append(r.FalseAlarms, HeldOut{Data: "all of them", Result: model.Pool(pooled...)})
	}
	return nil
}

func look(v *model.Variant, c corpus, heldOut []model.Judged) (sight, error) {
	normal, err := v.Judge(c.judge)
	if err != nil {
		return sight{}, err
	}
	attacked, err := judgeScenarios(v, c.attacks)
	return sight{heldOut: heldOut, normal: normal, attacked: attacked}, err
}

// compare tries a statistic with a limit, and with one that no held-out normal unit reaches.
func (s sight) compare(c corpus, statistic func() statistic, limit float64) DecisionResult {
	rule := &above{statistic: statistic(), limit: limit}
	result := DecisionResult{
		Corpus: c.Name, HeldOut: model.Count(rule, s.heldOut, heldOutBlocks), Result: model.Decide(rule, s.normal, s.attacked), Limit: limit,
	}
	if c.Chosen {
		return result
	}
	free := &above{statistic: statistic(), limit: math.Inf(1)}
	model.Count(free, s.heldOut, heldOutBlocks)
	result.Limit = max(limit, math.Nextafter(free.peak, math.Inf(1)))
	result.Raised = model.Decide(&above{statistic: statistic(), limit: result.Limit}, s.normal, s.attacked)
	return result
}

// everydayDecisions counts the false alarms of each rule in the everyday recording.
func (d *Data) everydayDecisions(r *Results, limits []float64) error {
	if d.Everyday == nil {
		return nil
	}
	learnt, rest := split(d.Everyday.Recording, 20*time.Minute)
	if len(rest.Units) == 0 {
		return nil
	}
	v, err := model.LearnVariant(d.Engine, model.ScaleResiduals, []model.Recording{learnt}, nil, model.EvalOptions{})
	if err != nil {
		return fmt.Errorf("everyday: %w", err)
	}
	for i := range r.Decisions {
		seen, rule := singles(v), ours()
		switch {
		case i < len(sequences):
			rule = &above{statistic: sequences[i].new(), limit: limits[i]}
		case i > len(sequences):
			seen = v
		}
		units, err := seen.Judge([]model.Recording{rest})
		if err != nil {
			return fmt.Errorf("everyday: %w", err)
		}
		count := model.Count(rule, units, 1)
		r.Decisions[i].Everyday = &count
	}
	return nil
}

// split divides a recording after a time.
func split(r model.Recording, after time.Duration) (before, rest model.Recording) {
	before, rest = r, r
	at := len(r.Units)
	for i, u := range r.Units {
		if u.Start-r.Units[0].Start >= int64(after) {
			at = i
			break
		}
	}
	before.Units, rest.Units = r.Units[:at], r.Units[at:]
	return before, rest
}

// recordingNames lists recordings.
func recordingNames(list []model.Recording) string {
	text := ""
	for i, r := range list {
		if i > 0 {
			text += ", "
		}
		text += "`" + r.Name + "`"
	}
	return text
}
