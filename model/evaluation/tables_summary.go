package evaluation

import (
	"fmt"
	"slices"

	"github.com/virtsentry/virtsentry/model"
)

// summaryTable holds what was to be shown against what was found.
func (r *Results) summaryTable() string {
	t := &table{header: []string{"what must hold", "bar", "found", ""}}
	r.curveBars(t)
	for _, a := range r.Arms {
		if a.Set != SetDefault {
			continue
		}
		t.add("false positives by unit, ordinary load", "at most 1 %", percent(a.Result.FalsePositiveRate), verdict(a.Result.FalsePositiveRate <= 0.01))
		t.add("false alarms, ordinary load", "none", fmt.Sprint(a.Result.FalseAlarms), verdict(a.Result.FalseAlarms == 0))
		for _, strength := range strengths {
			f, s := a.values(strength, byUnit), a.values(strength, bySequence)
			if len(f) == 0 {
				continue
			}
			t.add(strength+" attacks: F by unit", "median 0.97, none under 0.60", figure(median(f))+", "+figure(slices.Min(f)), verdict(median(f) >= 0.97 && slices.Min(f) >= 0.6))
			t.add(strength+" attacks: F by sequence", "median 0.98, none under 0.90", figure(median(s))+", "+figure(slices.Min(s)), verdict(median(s) >= 0.98 && slices.Min(s) >= 0.9))
		}
	}
	for _, x := range r.Relearning {
		if x.Set != SetDefault {
			continue
		}
		t.add("peak load flagged after it was learnt", "at most 1 %", percent(x.After)+" (before: "+percent(x.Before)+")", verdict(x.After <= 0.01))
		fall, name := 0.0, "none falls"
		for i, before := range x.NormalBefore.Scenarios {
			if f := before.FMeasure - x.NormalAfter.Scenarios[i].FMeasure; f > fall {
				fall, name = f, fmt.Sprintf("%.3f, %s", f, before.Name)
			}
		}
		t.add("greatest fall of an F by relearning", "at most 0.02", name, verdict(fall <= 0.02))
	}
	r.sourceBars(t)
	for _, x := range r.Everyday {
		found := "not contradicted"
		if x.Result.FalseAlarms > 0 {
			found = "**more than that**"
		}
		t.add("false alarms in everyday traffic, learnt from "+x.LearntFrom, "1 a day",
			fmt.Sprintf("%d in %.2f hours; fewer than %.0f a day", x.Result.FalseAlarms, x.Result.Hours, x.Result.AlarmsPerDayBound), found)
	}
	return t.String()
}

// curveBars are those of the learning curves of the default method.
func (r *Results) curveBars(t *table) {
	for _, c := range r.Curves {
		if c.Set != SetDefault || c.Method != model.MethodDefault {
			continue
		}
		for _, p := range c.Points {
			bar := map[int]float64{100: 0.05, 300: 0.01}[p.Units]
			if bar == 0 || p.Blocks == 0 {
				continue
			}
			t.add(fmt.Sprintf("false positives after %d units of %s", p.Units, c.Data), fmt.Sprintf("at most %.0f %%", 100*bar),
				fmt.Sprintf("the first %d: %s; mean over blocks: %s (%d)", p.Units, percent(*p.FalsePositiveRate), percent(*p.Mean), p.Blocks), verdict(*p.FalsePositiveRate <= bar && *p.Mean <= bar))
		}
	}
}

func verdict(holds bool) string {
	if holds {
		return "holds"
	}
	return "**does not hold**"
}
