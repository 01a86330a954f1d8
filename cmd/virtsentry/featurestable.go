package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/virtsentry/virtsentry/model/selection"
)

const (
	tableWidth = 120 // characters of a line
	gutter     = 2   // between columns
	leastText  = 24  // characters for the last column
	mostOthers = 12  // features that were not chosen, in the table
	mostNames  = 12  // of a list in a note
)

// tableOf lays lines out in columns. The text of the last one goes on below where the line is full, as long as there is room for words.
func tableOf(w io.Writer, lines [][]string) error {
	var widths []int
	for _, cells := range lines {
		for i, cell := range cells[:len(cells)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, cells := range lines {
		line, last := "", len(cells)-1
		for i, cell := range cells[:last] {
			line += cell + strings.Repeat(" ", widths[i]+gutter-utf8.RuneCountInString(cell))
		}
		indent := utf8.RuneCountInString(line)
		for _, text := range wrapped(cells[last], max(tableWidth-indent, leastText)) {
			b.WriteString(strings.TrimRight(line+text, " ") + "\n")
			line = strings.Repeat(" ", indent)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrapped divides a text into lines of at most so many characters; a longer word is not divided.
func wrapped(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// writeSelection writes the report for people.
func writeSelection(w io.Writer, r *selectionReport) error {
	for i, part := range []func(*selectionReport) [][]string{aboutLines, selectedLines, pairLines, comparedLines, noteLines} {
		lines := part(r)
		if len(lines) == 0 {
			continue
		}
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := tableOf(w, lines); err != nil {
			return err
		}
	}
	return nil
}

func aboutLines(r *selectionReport) [][]string {
	lines := [][]string{{"Chosen from", fmt.Sprintf("%s, by %s, %s counts", r.Features, r.By, r.Scale)}}
	for _, c := range r.Classes {
		what := "Class"
		if c.Name == r.Reference {
			what = "Reference"
		}
		text := fmt.Sprintf("%s: %d units", oneLine(c.Name), c.Units)
		if c.LeftOut > 0 {
			text += fmt.Sprintf(" (%d partial or lossy ones left out)", c.LeftOut)
		}
		lines = append(lines, []string{what, text})
	}
	lines = append(lines, []string{"Score", fmt.Sprintf("%.4f (least %.4f)", r.Score.Mean, r.Score.Least)}, []string{"Cost", costText(r.Cost)})
	if len(r.TellQueues) > 0 {
		lines = append(lines, []string{"Also enabled", "to tell queues apart: " + strings.Join(r.TellQueues, ", ")})
	}
	return lines
}

func costText(c selection.Cost) string {
	return fmt.Sprintf("%s hits/s, %s of the guest's time; most in %s: %s hits/s, %s", rate(c.HitsPerSecond), costShare(c.Share),
		oneLine(c.WorstClass), rate(c.WorstHitsPerSecond), costShare(c.WorstShare))
}

// rate returns hits a second in few digits.
func rate(v float64) string {
	if v >= 99.95 || v == 0 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// costShare returns a small share of the guest's time with two digits that say something.
func costShare(s float64) string {
	s *= 100
	if s <= 0 {
		return "0 %"
	}
	digits := max(1-int(math.Floor(math.Log10(s))), 0)
	return strconv.FormatFloat(s, 'f', min(digits, 12), 64) + " %"
}

// scoreText returns a score, or a difference of two, with three digits.
func scoreText(v float64) string {
	if math.Abs(v) < 0.0005 {
		v = 0 // no -0.000
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// someOf lists names, not all of them where they are many.
func someOf(names []string) string {
	list := oneLine(strings.Join(names[:min(len(names), mostNames)], ", "))
	if n := len(names) - mostNames; n > 0 {
		list += fmt.Sprintf(" and %d more (-o json)", n)
	}
	return list
}

func selectedLines(r *selectionReport) [][]string {
	lines := [][]string{{"", strings.ToUpper(r.By), "HITS/S", "ALONE", "ADDS", "LOSES", "ADDS TO", "SUBSYSTEM", "MEANING"}}
	for i, f := range r.Selected {
		lines = append(lines, featureLine(fmt.Sprint(i+1), f, scoreText(f.Loses)))
	}
	for _, f := range r.Others[:min(len(r.Others), mostOthers)] {
		lines = append(lines, featureLine("-", f, ""))
	}
	if r.By == byColumn { // their names take the room
		for i := range lines {
			lines[i] = slices.Delete(lines[i], 6, 7)
		}
	}
	if n := len(r.Others) - mostOthers; n > 0 {
		lines = append(lines, []string{"", fmt.Sprintf("and %d more (-o json)", n)})
	}
	return lines
}

func featureLine(number string, f selectedReport, loses string) []string {
	return []string{
		number, shortened(oneLine(f.Name), 48), rate(f.HitsPerSecond), scoreText(f.Alone), scoreText(f.Adds), loses,
		shortened(oneLine(f.AddsTo), 16), f.Subsystem, oneLine(f.Meaning),
	}
}

func pairLines(r *selectionReport) [][]string {
	lines := [][]string{{strings.ToUpper(oneLine(r.Reference)) + " AGAINST", "J", "SCORE", "HELD OUT", "BEST " + strings.ToUpper(r.By), "J", "SCORE", "HITS/S"}}
	for i, p := range r.Score.Pairs {
		best := r.pairs[i]
		alone := best.Pairs.Pairs[i]
		line := []string{oneLine(p.Class), fmt.Sprintf("%.2f", p.J), fmt.Sprintf("%.4f", p.Score), heldOut(p)}
		if alone.Score > 0 {
			line = append(line, oneLine(best.Name), fmt.Sprintf("%.2f", alone.J), fmt.Sprintf("%.4f", alone.Score), rate(best.HitsPerSecond))
		} else {
			line = append(line, "none")
		}
		lines = append(lines, line)
	}
	return lines
}

func heldOut(p selection.PairScore) string {
	if p.HeldOut == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *p.HeldOut)
}

func comparedLines(r *selectionReport) [][]string {
	if len(r.Compared) == 0 {
		return nil
	}
	lines := [][]string{{"COMPARED", "EVENTS HIT", "SCORE", "LEAST", "HELD OUT", "HITS/S", "COST", "MOST", "IN"}}
	add := func(name, events string, s selection.Score, c selection.Cost) {
		lines = append(lines, []string{
			oneLine(name), events, fmt.Sprintf("%.4f", s.Mean), fmt.Sprintf("%.4f", s.Least), meanHeldOut(s),
			rate(c.HitsPerSecond), costShare(c.Share), costShare(c.WorstShare), oneLine(c.WorstClass),
		})
	}
	add("selection", fmt.Sprintf("%d of %d", r.events.hit, r.events.enabled), r.Score, r.Cost)
	for _, s := range r.Compared {
		add(s.Set, fmt.Sprintf("%d of %d", s.Events-len(s.Silent), s.Events), s.Score, s.Cost)
	}
	return lines
}

// meanHeldOut returns the mean of the held-out scores, if all are known.
func meanHeldOut(s selection.Score) string {
	mean := 0.0
	for _, p := range s.Pairs {
		if p.HeldOut == nil {
			return "-"
		}
		mean += *p.HeldOut / float64(len(s.Pairs))
	}
	return fmt.Sprintf("%.4f", mean)
}

func noteLines(r *selectionReport) [][]string {
	var lines [][]string
	note := func(format string, args ...any) { lines = append(lines, []string{fmt.Sprintf(format, args...)}) }
	if r.goal.Size > len(r.Selected) {
		note("Only %d of %d features: what is left costs more than --max-cost allows.", len(r.Selected), r.goal.Size)
	}
	for _, p := range r.Score.Pairs {
		if p.Score < untold {
			note("%s is hardly told from %s: these features hold nothing of it. Choose from others with --features or --any-event.",
				oneLine(p.Class), oneLine(r.Reference))
		}
	}
	for _, s := range r.Compared {
		if len(s.Silent) > 0 {
			note("%s: no hits are seen of %s", oneLine(s.Set), someOf(s.Silent))
		}
		if n := len(s.Missing); n > 0 {
			note("%s: %d of %d columns are not in the unit files, and tell nothing: give traces", oneLine(s.Set), n, s.Columns)
		}
	}
	if len(r.AtLeast) > 0 {
		note("Not all hits of these are in the unit files, so that their cost is too low: %s", someOf(r.AtLeast))
	}
	if n := len(r.Unknown); n > 0 {
		note("%d columns left out, which %s does not have (--features, --any-event): %s", n, r.Features, someOf(r.Unknown))
	}
	if r.Written != nil {
		note("Written: %s, %s, %d columns", oneLine(r.Written.File), r.Written.Version, r.Written.Columns)
	}
	return lines
}

// untold is the score below which a class is said not to be told from the reference.
const untold = 0.1
