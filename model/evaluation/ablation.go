package evaluation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/model"
)

// Ablated is the default method with something taken away.
type Ablated struct {
	Group, Name string
	Results     []AblatedResult
}

// AblatedResult is what is left on one corpus.
type AblatedResult struct {
	Corpus string
	Result *model.Evaluation
}

// parts of the default set.
func receivedSizes(name string) bool {
	return strings.HasPrefix(name, "virtqueue_fill:net.rx") || strings.HasPrefix(name, "received:")
}
func sentSizes(name string) bool { return strings.HasPrefix(name, "sent:") }
func diskSizes(name string) bool { return strings.HasPrefix(name, "blk_co_") }
func queues(name string) bool {
	return strings.HasPrefix(name, "virtio_queue_notify") || strings.HasPrefix(name, "virtio_notify") ||
		strings.HasPrefix(name, "virtqueue_fill") && !receivedSizes(name)
}

// event is a column's event, of which it is a part.
func event(name string) string {
	event, _, _ := strings.Cut(name, ":")
	return event
}

// summed counts the columns of a family event by event.
func summed(family func(string) bool) func(string) string {
	return func(name string) string {
		if family(name) {
			return event(name)
		}
		return name
	}
}

// dropped leaves out a family.
func dropped(family func(string) bool) func(string) string {
	return func(name string) string {
		if family(name) {
			return ""
		}
		return name
	}
}

// regroup adds up the columns that get the same name; those that get none are left out.
func regroup(r model.Recording, name func(string) string) model.Recording {
	out := model.Recording{Name: r.Name, Units: slices.Clone(r.Units)}
	place := map[string]int{}
	target := make([]int, len(r.Features))
	for j, f := range r.Features {
		to := name(f)
		at, ok := place[to]
		switch {
		case to == "":
			at = -1
		case !ok:
			at = len(out.Features)
			place[to] = at
			out.Features = append(out.Features, to)
		}
		target[j] = at
	}
	for i, u := range r.Units {
		counts := make([]uint64, len(out.Features))
		for j, x := range u.Counts {
			if target[j] >= 0 {
				counts[target[j]] += x
			}
		}
		out.Units[i].Counts = counts
	}
	return out
}

func regroupAll(list []model.Recording, name func(string) string) []model.Recording {
	if name == nil {
		return list
	}
	out := make([]model.Recording, len(list))
	for i, r := range list {
		out[i] = regroup(r, name)
	}
	return out
}

// ablations in the order of the table.
var ablations = []struct {
	group, name string
	regroup     func(string) string // nil: the features as they are
	scale       model.Scale
	change      func(*model.Variant) *model.Variant
	rule        func() model.Rule
}{
	{"", "**everything**", nil, model.ScaleResiduals, everything, ours},
	{"features", "received packets: counts without sizes", summed(receivedSizes), model.ScaleResiduals, everything, ours},
	{"features", "sent packets: counts without sizes", summed(sentSizes), model.ScaleResiduals, everything, ours},
	{"features", "disk requests: counts without sizes", summed(diskSizes), model.ScaleResiduals, everything, ours},
	{"features", "no queues, no doorbells", dropped(queues), model.ScaleResiduals, everything, ours},
	{"features", "only sizes of received packets", dropped(func(name string) bool { return !receivedSizes(name) }), model.ScaleResiduals, everything, ours},
	{"features", "only a count of each event", event, model.ScaleResiduals, everything, ours},
	{"windows", "1 and 6 units", nil, model.ScaleResiduals, views(func(v model.View) bool { return v.Units <= 6 }), ours},
	{"windows", "single units", nil, model.ScaleResiduals, singles, ours},
	{"octaves", "feature by feature only", nil, model.ScaleResiduals, views(func(v model.View) bool { return !v.Octaves }), ours},
	{"scaling, of single units feature by feature", "residuals, whitened", nil, model.ScaleResiduals, fine, ours},
	{"scaling, of single units feature by feature", "logarithms", nil, model.ScaleLog, everything, ours},
	{"scaling, of single units feature by feature", "raw counts", nil, model.ScaleRaw, everything, ours},
	{"threshold, of single units feature by feature", "the SVM's own instead of the held-out tail", nil, model.ScaleResiduals, (*model.Variant).WithOwnThreshold, ours},
	{"decision over the sequence", "none: a unit's verdict is the state", nil, model.ScaleResiduals, everything, func() model.Rule { return &unitRule{} }},
	{"decision over the sequence", "3 of 5 without gathered evidence", nil, model.ScaleResiduals, everything, func() model.Rule { return &votes{need: 3, of: 5} }},
	{"decision over the sequence", "gathered evidence without 3 of 5", nil, model.ScaleResiduals, everything,
		func() model.Rule { return newDecided(model.DeciderConfig{Window: 64, Alarm: 64, Suspect: 64}) }},
}

func everything(v *model.Variant) *model.Variant { return v }

func views(keep func(model.View) bool) func(*model.Variant) *model.Variant {
	return func(v *model.Variant) *model.Variant { return v.WithViews(keep) }
}

var (
	singles = views(func(v model.View) bool { return v.Units == 1 })
	fine    = views(func(model.View) bool { return false })
)

// ablation judges all corpora by each variant.
func (d *Data) ablation(r *Results) error {
	list := make([]Ablated, len(ablations))
	learnt := map[string]*model.Variant{}
	for i, a := range ablations {
		list[i] = Ablated{Group: a.group, Name: a.name}
		for _, c := range d.corpora() {
			others := append(slices.Clone(c.judge), recordingsOf(c.attacks)...)
			key := c.train[0].Name + " " + string(a.scale)
			if a.regroup != nil {
				key += " " + a.name
			}
			if learnt[key] == nil {
				v, err := model.LearnVariant(d.Engine, a.scale, regroupAll(c.train, a.regroup), regroupAll(others, a.regroup), model.EvalOptions{})
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.Name, a.name, err)
				}
				learnt[key] = v
			}
			e, err := judgeCorpus(a.change(learnt[key]), a.rule(), c, a.regroup)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.Name, a.name, err)
			}
			list[i].Results = append(list[i].Results, AblatedResult{Corpus: c.Name, Result: e})
		}
	}
	r.Ablation = list
	return nil
}

// judgeCorpus judges normal units and attacks by a variant and a rule.
func judgeCorpus(v *model.Variant, rule model.Rule, c corpus, name func(string) string) (*model.Evaluation, error) {
	normal, err := v.Judge(regroupAll(c.judge, name))
	if err != nil {
		return nil, err
	}
	attacks := make([]model.Scenario, len(c.attacks))
	for i, s := range c.attacks {
		attacks[i] = model.Scenario{Name: s.Name, Recordings: regroupAll(s.Recordings, name)}
	}
	attacked, err := judgeScenarios(v, attacks)
	if err != nil {
		return nil, err
	}
	return model.Decide(rule, normal, attacked), nil
}
