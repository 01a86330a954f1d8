package evaluation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/virtsentry/virtsentry/model"
)

// Tables are the tables of the page, by name, as Markdown.
func (r *Results) Tables() map[string]string {
	t := map[string]string{
		"recordings": r.recordingsTable(), "summary": r.summaryTable(), "curves": r.curvesTable(), "arms": r.armsTable(),
		"relearning": r.relearningTable(), "relearnt-scenarios": r.relearntTable(), "false-alarms": r.falseAlarmsTable(),
		"everyday": r.everydayTable(), "everyday-alarms": r.everydayAlarmsTable(), "everyday-jobs": r.everydayJobsTable(),
		"ablation": r.ablationTable(), "decisions": r.decisionsTable(), "decisions-raised": r.raisedTable(),
		"transfer": r.transferTable(), "explanations": r.explanationsTable(),
		"sources": r.sourcesTable(), "sources-f": r.sourceScenarioTable(false, byUnit), "sources-sequence": r.sourceScenarioTable(false, bySequence),
		"sources-again-f": r.sourceScenarioTable(true, byUnit), "sources-again-sequence": r.sourceScenarioTable(true, bySequence),
		"sources-prices": r.sourcePricesTable(),
	}
	for _, strength := range strengths {
		t["f-"+strength] = r.scenarioTable(strength, func(s model.ScenarioResult) string { return figure(s.FMeasure) }, byUnit)
		t["sequence-"+strength] = r.scenarioTable(strength, func(s model.ScenarioResult) string { return figure(s.SequenceFMeasure) }, bySequence)
		t["auc-"+strength] = r.scenarioTable(strength, func(s model.ScenarioResult) string { return figure(s.AUC) }, auc)
		t["alarm-"+strength] = r.scenarioTable(strength, toAlarm, nil)
	}
	return t
}

func toAlarm(s model.ScenarioResult) string {
	if s.UnitsToAlarm == nil {
		return "none"
	}
	return strconv.Itoa(*s.UnitsToAlarm)
}

func (r *Results) recordingsTable() string {
	t := &table{header: []string{"recording", "kind", "rate", "seed", "seconds", "units", "lossy"}}
	for _, x := range r.Recordings {
		rate := ""
		if x.Rate > 0 {
			rate = fmt.Sprintf("%d %s", x.Rate, x.RateUnit)
		}
		seed := ""
		if x.Seed > 0 {
			seed = strconv.FormatUint(x.Seed, 10)
		}
		t.add("`"+x.Name+"`", x.Kind, rate, seed, strconv.FormatFloat(x.Seconds, 'f', -1, 64), strconv.Itoa(x.Units), strconv.Itoa(x.Lossy))
	}
	return t.String()
}

func (r *Results) curvesTable() string {
	t := &table{header: []string{"learnt from"}}
	var sizes []int
	for _, c := range r.Curves {
		t.header = append(t.header, fmt.Sprintf("%s, %s, method `%s`", c.Data, source(c.Set), c.Method))
		for _, p := range c.Points {
			if !slices.Contains(sizes, p.Units) {
				sizes = append(sizes, p.Units)
			}
		}
	}
	slices.Sort(sizes)
	for _, size := range sizes {
		row := []string{strconv.Itoa(size) + " units"}
		for _, c := range r.Curves {
			text := "–"
			for _, p := range c.Points {
				if p.Units == size && p.Blocks > 0 {
					text = percent(*p.FalsePositiveRate)
					if p.Blocks > 1 {
						text += fmt.Sprintf("; %d blocks: %s (%s to %s)", p.Blocks, percent(*p.Mean), percent(*p.Least), percent(*p.Most))
					}
				}
			}
			row = append(row, text)
		}
		t.rows = append(t.rows, row)
	}
	return t.String()
}

// scenarioTable has a figure of each scenario and arm, and, where number is not nil, its median and least.
func (r *Results) scenarioTable(strength string, text func(model.ScenarioResult) string, number func(model.ScenarioResult) float64) string {
	t := &table{header: []string{"scenario"}}
	for _, a := range r.Arms {
		t.header = append(t.header, fmt.Sprintf("%s, `%s`", source(a.Set), a.Method))
	}
	for i, name := range prefixed(strength, attackNames) {
		row, any := []string{attackNames[i]}, false
		for _, a := range r.Arms {
			if s := a.scenario(name); s != nil {
				row, any = append(row, text(*s)), true
			} else {
				row = append(row, "–")
			}
		}
		if any {
			t.rows = append(t.rows, row)
		}
	}
	if len(t.rows) == 0 || number == nil {
		return t.String()
	}
	for _, end := range []struct {
		name string
		of   func([]float64) float64
	}{{"**median**", median}, {"**least**", slices.Min[[]float64]}} {
		row := []string{end.name}
		for _, a := range r.Arms {
			row = append(row, orDash(a.values(strength, number), end.of))
		}
		t.rows = append(t.rows, row)
	}
	return t.String()
}

// orDash is a figure of values, or a dash where there are none.
func orDash(values []float64, of func([]float64) float64) string {
	if len(values) == 0 {
		return "–"
	}
	return figure(of(values))
}

func (r *Results) armsTable() string {
	t := &table{header: []string{
		"source", "method", "paper: median F (sensitivity)", "ν, γ found", "false positives by unit", "false alarms",
		"weak: median F (sensitivity)", "strong: median F (sensitivity)",
	}}
	for _, a := range r.Arms {
		said, found := "", ""
		if p, ok := published[a.Set]; ok && a.Method == model.MethodPaper {
			said = fmt.Sprintf("%.2f (%.2f)", p.FMeasure, p.Sensitivity)
		}
		if a.Paper != nil {
			found = fmt.Sprintf("%.2f, %.2f", a.Paper.Nu, a.Paper.Gamma)
		}
		row := []string{
			source(a.Set), "`" + string(a.Method) + "`", said, found,
			fmt.Sprintf("%d of %d: %s", a.Result.FalsePositives, a.Result.NormalUnits, percent(a.Result.FalsePositiveRate)), strconv.Itoa(a.Result.FalseAlarms),
		}
		for _, strength := range strengths {
			f, s := a.values(strength, byUnit), a.values(strength, sensitivity)
			if len(f) == 0 {
				row = append(row, "–")
				continue
			}
			row = append(row, fmt.Sprintf("%.2f (%.2f)", median(f), median(s)))
		}
		t.rows = append(t.rows, row)
	}
	return t.String()
}

func (r *Results) relearningTable() string {
	t := &table{header: []string{"source", "method", "peak units judged", "flagged before", "flagged after", "alarms before, after", "ordinary load flagged before, after"}}
	for _, x := range r.Relearning {
		t.add(source(x.Set), "`"+string(x.Method)+"`", strconv.Itoa(x.Units), percent(x.Before), percent(x.After),
			fmt.Sprintf("%d, %d", x.AlarmsBefore, x.AlarmsAfter),
			percent(x.NormalBefore.FalsePositiveRate)+", "+percent(x.NormalAfter.FalsePositiveRate))
	}
	if len(t.rows) > 0 {
		t.add("the paper's five", "paper, as published", "", percent(publishedPeakBefore), percent(publishedPeakAfter), "", "")
	}
	return t.String()
}

func (r *Results) relearntTable() string {
	t := &table{header: []string{"scenario", "F before", "F after", "sequence F before", "after", "units to alarm before", "after"}}
	for _, x := range r.Relearning {
		if x.Set != SetDefault {
			continue
		}
		for i, before := range x.NormalBefore.Scenarios {
			after := x.NormalAfter.Scenarios[i]
			t.add(before.Name, figure(before.FMeasure), figure(after.FMeasure), figure(before.SequenceFMeasure), figure(after.SequenceFMeasure), toAlarm(before), toAlarm(after))
		}
	}
	return t.String()
}

func (r *Results) falseAlarmsTable() string {
	t := &table{header: []string{"recordings", "in-sample", "hours", "units flagged", "95 % interval", "false alarms", "a day, at most (95 %)"}}
	for _, x := range r.FalseAlarms {
		chosen := "no"
		switch {
		case x.Chosen:
			chosen = "parameters were chosen by them"
		case strings.HasPrefix(x.Data, "all"):
			chosen = "in part"
		}
		t.add(x.Data, chosen, fmt.Sprintf("%.2f", x.Result.Hours), flagged(x.Result), interval(x.Result), strconv.Itoa(x.Result.FalseAlarms), fmt.Sprintf("%.0f", x.Result.AlarmsPerDayBound))
	}
	return t.String()
}

func flagged(v model.CrossValidation) string {
	return fmt.Sprintf("%d of %d: %s", v.FalsePositives, v.Units, percent(v.FalsePositiveRate))
}

func interval(v model.CrossValidation) string {
	return percent(v.Low) + " to " + percent(v.High)
}

func (r *Results) ablationTable() string {
	t := &table{header: []string{"left out or replaced"}}
	if len(r.Ablation) == 0 {
		return nothing
	}
	for _, x := range r.Ablation[0].Results {
		t.header = append(t.header, x.Corpus+": F median, least", "by sequence", "flagged; alarms")
	}
	if len(t.header) == 1 {
		return nothing
	}
	group := ""
	for _, a := range r.Ablation {
		if a.Group != group {
			group = a.Group
			row := make([]string, len(t.header))
			row[0] = "*" + group + "*"
			t.rows = append(t.rows, row)
		}
		row := []string{a.Name}
		for _, x := range a.Results {
			e := x.Result
			row = append(row, figure(*e.MedianFMeasure)+", "+figure(*e.MinFMeasure), figure(*e.MedianSequenceFMeasure)+", "+figure(*e.MinSequenceFMeasure),
				fmt.Sprintf("%s; %d", percent(e.FalsePositiveRate), e.FalseAlarms))
		}
		t.rows = append(t.rows, row)
	}
	return t.String()
}

// decisionsTable has the rules as they promise one false alarm a day.
func (r *Results) decisionsTable() string {
	t := &table{header: []string{"rule", "limit"}}
	everyday := false
	for i, d := range r.Decisions {
		row := []string{d.Name, "1 a day"}
		if d.Limit != nil {
			row[1] = fmt.Sprintf("%.2f", *d.Limit)
		}
		if d.Everyday != nil {
			everyday = true
			row = append(row, falseAlarms(*d.Everyday))
		}
		for _, x := range d.Results {
			if i == 0 {
				t.header = append(t.header, x.Corpus+": false alarms, held out", "sequence F median, least", "units to alarm median, most")
			}
			row = append(row, falseAlarms(x.HeldOut), figure(*x.Result.MedianSequenceFMeasure)+", "+figure(*x.Result.MinSequenceFMeasure), delays(x.Result))
		}
		t.rows = append(t.rows, row)
	}
	if everyday {
		t.header = slices.Insert(t.header, 2, "everyday: false alarms")
	}
	return t.String()
}

func falseAlarms(v model.CrossValidation) string {
	return fmt.Sprintf("%d in %.2f h", v.FalseAlarms, v.Hours)
}

// raisedTable has the rules with limits that no held-out normal unit reaches.
func (r *Results) raisedTable() string {
	t := &table{header: []string{"rule"}}
	for _, d := range r.Decisions {
		row := []string{d.Name}
		for i, x := range d.Results {
			if r.Decisions[0].Results[i].Raised == nil {
				continue // in-sample
			}
			limit, e := fmt.Sprintf("%.2f", x.Limit), x.Raised
			if d.Limit == nil {
				limit, e = "as it is", x.Result
			}
			if d.Limit == nil && x.HeldOut.FalseAlarms > 0 {
				row = append(row, "–", "–", "–") // it has no limit to be raised
				continue
			}
			row = append(row, limit, figure(*e.MedianSequenceFMeasure)+", "+figure(*e.MinSequenceFMeasure), delays(e))
		}
		if len(row) > 1 {
			t.rows = append(t.rows, row)
		}
	}
	if len(t.rows) == 0 {
		return nothing
	}
	for _, x := range r.Decisions[0].Results {
		if x.Raised != nil {
			t.header = append(t.header, x.Corpus+": limit", "sequence F median, least", "units to alarm median, most")
		}
	}
	return t.String()
}

// delays are the median and the greatest number of units to an alarm, and how many scenarios raised none.
func delays(e *model.Evaluation) string {
	var units []float64
	missed := 0
	for _, s := range e.Scenarios {
		if s.UnitsToAlarm == nil {
			missed++
			continue
		}
		units = append(units, float64(*s.UnitsToAlarm))
	}
	text := ""
	if len(units) > 0 {
		text = fmt.Sprintf("%g, %g", median(units), slices.Max(units))
	}
	if missed > 0 {
		text += fmt.Sprintf(" (%d without)", missed)
	}
	return strings.TrimSpace(text)
}

func (r *Results) transferTable() string {
	t := &table{header: []string{
		"guest", "set", "learnt from", "own profile: flagged", "false alarms", "scenarios", "F median, least", "by sequence", "least by unit in",
		"carried over: flagged", "false alarms", "AUC median",
	}}
	for _, x := range r.Transfers {
		row := []string{x.Guest, "`" + x.Set + "`", fmt.Sprintf("%d units", x.Own.TrainingUnits), fmt.Sprintf("%d of %d: %s", x.Own.FalsePositives, x.Own.NormalUnits, percent(x.Own.FalsePositiveRate)),
			strconv.Itoa(x.Own.FalseAlarms), strconv.Itoa(len(x.Own.Scenarios))}
		if x.Own.MedianFMeasure != nil {
			row = append(row, figure(*x.Own.MedianFMeasure)+", "+figure(*x.Own.MinFMeasure), figure(*x.Own.MedianSequenceFMeasure)+", "+figure(*x.Own.MinSequenceFMeasure), leastOf(x.Own))
		} else {
			row = append(row, "–", "–", "–")
		}
		if c := x.Carried; c != nil {
			var areas []float64
			for _, s := range c.Scenarios {
				areas = append(areas, s.AUC)
			}
			row = append(row, fmt.Sprintf("%d of %d: %s", c.FalsePositives, c.NormalUnits, percent(c.FalsePositiveRate)), strconv.Itoa(c.FalseAlarms), orDash(areas, median))
		} else {
			row = append(row, "–", "–", "–")
		}
		t.rows = append(t.rows, row)
	}
	return t.String()
}

// leastOf names the scenario of the least F by unit, if it is below that of the others.
func leastOf(e *model.Evaluation) string {
	name := ""
	for _, s := range e.Scenarios {
		if s.FMeasure == *e.MinFMeasure && s.FMeasure < *e.MedianFMeasure {
			name = s.Name
		}
	}
	return name
}

func (r *Results) explanationsTable() string {
	t := &table{header: []string{"recording", "first alarm", "what it says", "names device and direction"}}
	for _, x := range r.Explanations {
		if x.Unit == 0 {
			t.add("`"+x.Recording+"`", "none", "", "")
			continue
		}
		right := "no: wanted " + x.Wanted
		switch {
		case x.Wanted == "":
			right = "–"
		case x.Right:
			right = "yes: " + x.Wanted
		}
		t.add("`"+x.Recording+"`", fmt.Sprintf("unit %d, %d s looked at", x.Unit, x.Seconds), cell(x.Sentence), right)
	}
	return t.String()
}
