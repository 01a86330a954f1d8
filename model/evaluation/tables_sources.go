package evaluation

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/virtsentry/virtsentry/model"
)

// withinUST is how much less than UST tap + functions may find.
const withinUST = 0.02

// labWords name a lab's QEMU.
var labWords = map[string]string{
	"ust": "QEMU with UST", "stock": "stock QEMU", "ust" + Again: "QEMU with UST, second recording", "stock" + Again: "stock QEMU, second recording",
}

func (a SourceArm) lab() string {
	if words, ok := labWords[a.Lab]; ok {
		return words
	}
	return a.Lab
}

func (r *Results) sourcesTable() string {
	t := &table{header: []string{
		"lab", "source", "columns", "F by unit: median, least", "by sequence: median, least", "false positives by unit", "false alarms", "lossy units",
		"hits/s", "µs in the kernel a unit",
	}}
	for _, a := range r.Sources {
		e := a.Result
		row := []string{a.lab(), a.Name, strconv.Itoa(a.Columns), "–", "–"}
		if e.MedianFMeasure != nil {
			row[3] = figure(*e.MedianFMeasure) + ", " + figure(*e.MinFMeasure)
			row[4] = figure(*e.MedianSequenceFMeasure) + ", " + figure(*e.MinSequenceFMeasure)
		}
		row = append(row, fmt.Sprintf("%d of %d: %s", e.FalsePositives, e.NormalUnits, percent(e.FalsePositiveRate)), strconv.Itoa(e.FalseAlarms), strconv.Itoa(a.Lossy), a.Cost.hits())
		if a.Cost.NanosecondsPerUnit == nil {
			row = append(row, "–")
		} else {
			row = append(row, fmt.Sprintf("%.0f", *a.Cost.NanosecondsPerUnit/1000))
		}
		t.rows = append(t.rows, row)
	}
	return t.String()
}

func (c ArmCost) hits() string {
	if c.OthersPerSecond < 0.5 {
		return fmt.Sprintf("%.0f", c.HitsPerSecond)
	}
	return fmt.Sprintf("%.0f, and %.0f of others", c.HitsPerSecond, c.OthersPerSecond)
}

// sourceScenarioTable has a figure of each scenario by lab and source, of the first recordings or the second.
func (r *Results) sourceScenarioTable(again bool, of func(model.ScenarioResult) float64) string {
	t := &table{header: []string{"scenario"}}
	arms := slices.DeleteFunc(slices.Clone(r.Sources), func(a SourceArm) bool { return strings.HasSuffix(a.Lab, Again) != again })
	for _, a := range arms {
		lab, _, _ := strings.Cut(a.lab(), ",")
		t.header = append(t.header, lab+": "+a.Name)
	}
	var lists = make([][]float64, len(arms))
	for i, name := range prefixed("weak", attackNames) {
		row, any := []string{attackNames[i]}, false
		for j, a := range arms {
			text := "–"
			if s := (Arm{Result: a.Result}).scenario(name); s != nil {
				text, any = figure(of(*s)), true
				lists[j] = append(lists[j], of(*s))
			}
			row = append(row, text)
		}
		if any {
			t.rows = append(t.rows, row)
		}
	}
	if len(t.rows) == 0 {
		return nothing
	}
	middle, least := []string{"**median**"}, []string{"**least**"}
	for _, list := range lists {
		middle, least = append(middle, orDash(list, median)), append(least, orDash(list, slices.Min[[]float64]))
	}
	t.rows = append(t.rows, middle, least)
	return t.String()
}

func (r *Results) sourcePricesTable() string {
	t := &table{header: []string{"lab", "workload", "observed by", "rate to that without", "95 % interval", "rounds"}}
	for _, p := range r.SourcePrices {
		name := p.Arm
		if name == SetDefault {
			name = armUST
		}
		t.add(SourceArm{Lab: p.Lab}.lab(), p.Workload, name, figure(p.Ratio.Median), figure(p.Ratio.Low)+" to "+figure(p.Ratio.High), strconv.Itoa(p.Rounds))
	}
	return t.String()
}

// sourceBars says whether what a stock QEMU's host sees is as good as UST, by the second recordings, which nothing was chosen by: in the same ones where they have both, and in
// those of a stock QEMU.
func (r *Results) sourceBars(t *table) {
	ust := r.sourceResult("ust"+Again, armUST)
	if ust == nil || ust.Result.MedianFMeasure == nil {
		return
	}
	for _, lab := range []string{"ust", "stock"} {
		joined := r.sourceResult(lab+Again, armJoined)
		if joined == nil || joined.Result.MedianFMeasure == nil {
			continue
		}
		what := "tap + functions, " + map[string]string{"ust": "the same recordings", "stock": "recorded on stock QEMU"}[lab]
		for _, by := range []struct {
			name      string
			ust, have float64
		}{
			{"median F by unit", *ust.Result.MedianFMeasure, *joined.Result.MedianFMeasure},
			{"least F by unit", *ust.Result.MinFMeasure, *joined.Result.MinFMeasure},
			{"median F by sequence", *ust.Result.MedianSequenceFMeasure, *joined.Result.MedianSequenceFMeasure},
			{"least F by sequence", *ust.Result.MinSequenceFMeasure, *joined.Result.MinSequenceFMeasure},
		} {
			// Rounded, so that what the page shows decides.
			less := math.Round(1000*by.ust) - math.Round(1000*by.have)
			t.add(what+": "+by.name, fmt.Sprintf("within %.2f of UST (%s)", withinUST, figure(by.ust)), figure(by.have), verdict(less <= 1000*withinUST))
		}
	}
}
