package evaluation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (r *Results) everydayTable() string {
	t := &table{header: []string{"learnt from", "hours judged", "units flagged", "95 % interval", "false alarms", "a day", "a day, at most (95 %)"}}
	for _, x := range r.Everyday {
		v := x.Result
		t.add(x.LearntFrom, fmt.Sprintf("%.2f", v.Hours), flagged(v), interval(v), strconv.Itoa(v.FalseAlarms),
			fmt.Sprintf("%.1f", float64(v.FalseAlarms)*24/v.Hours), fmt.Sprintf("%.0f", v.AlarmsPerDayBound))
	}
	return t.String()
}

func (r *Results) everydayAlarmsTable() string {
	t := &table{header: []string{"learnt from", "after", "what it says", "what ran, or had ended in the minute before"}}
	for _, x := range r.Everyday {
		for _, a := range x.Alarms {
			jobs := slices.Clone(a.Jobs)
			slices.Sort(jobs)
			t.add(x.LearntFrom, a.After.Round(time.Second).String(), cell(a.Sentence), strings.Join(slices.Compact(jobs), ", "))
		}
	}
	if len(t.rows) == 0 && len(r.Everyday) > 0 {
		return "No false alarm."
	}
	return t.String()
}

func (r *Results) everydayJobsTable() string {
	t := &table{header: []string{"job"}}
	var names []string
	for _, x := range r.Everyday {
		t.header = append(t.header, x.LearntFrom+": runs", "units flagged during them", "false alarms in them or the minute after")
		for _, j := range x.Jobs {
			if !slices.Contains(names, j.Name) {
				names = append(names, j.Name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		row := []string{name}
		for _, x := range r.Everyday {
			at := slices.IndexFunc(x.Jobs, func(j JobCount) bool { return j.Name == name })
			if at < 0 {
				row = append(row, "0", "–", "–")
				continue
			}
			j := x.Jobs[at]
			row = append(row, strconv.Itoa(j.Runs), fmt.Sprintf("%d of %d", j.Flagged, j.Units), strconv.Itoa(j.Alarms))
		}
		t.rows = append(t.rows, row)
	}
	return t.String()
}
