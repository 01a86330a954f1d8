package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/model/selection"
)

// shippedSets are the feature sets of the programme, in the order in which a unit file's columns are looked for.
var shippedSets = []string{catalogue.DefaultSet, catalogue.WideSet, catalogue.CountsSet, catalogue.PaperSet}

func featuresCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "features",
		Short: "Look at feature sets, and choose one for what is to be told apart",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(featuresListCommand(), featuresShowCommand(), featuresSelectCommand())
	return c
}

// What can be chosen.
const (
	byEvent  = "event"
	byColumn = "column"
)

// featuresFlags are what features select is asked.
type featuresFlags struct {
	classes   []string
	reference string
	features  string
	by        string
	scale     string
	size      int
	maxCost   guestShare
	weight    float64
	anyEvent  bool
	compare   []string
	write     string
}

func featuresSelectCommand() *cobra.Command {
	var f featuresFlags
	c := &cobra.Command{
		Use:   "select --class NAME=FILE --class NAME=FILE ...",
		Short: "Choose the features that tell labelled units apart, by what they tell and cost",
		Long: "Choose the features that tell each class of units from the reference by linear discriminant analysis, as Paundu et al. chose their trace points\n" +
			"(ICICS 2015, 3.2 and 4.1: idle against stress of memory, disk, I/O and network). FILE is a unit file (CSV, as replay writes them) or a\n" +
			"directory with CTF traces; those of the same NAME are one class. Units that are partial or lost events are left out.\n\n" +
			"J is Fisher's criterion, the squared distance of both classes' means over the sum of their variances along the direction that tells them apart\n" +
			"best. SCORE is J/(J+2), with what chance gives taken off: 0 tells nothing, 1 all. It is what R's subselect calls ccr1.2 or tau.2, and the paper's\n" +
			"Table 1 \"LDA score\". HELD OUT is the score of what is learnt from one half of the units on the other half (the choice was made\n" +
			"on both: few of very many columns are better judged by another recording). Of several classes the mean counts.\n" +
			"ALONE is the score of a feature by itself, ADDS what it adds to those above it (or to all that were chosen), and LOSES what the selection\n" +
			"loses without it. --scale log compares log(1+count), as the daemon's model does; raw compares counts, as the paper did.\n\n" +
			"A hit costs the guest 154 ns. An event's hits cost the same for one of its columns as for all. --max-cost bounds the share of the guest's time in the\n" +
			"class where it is highest; --cost-weight W has 1 % of its time, as a mean over the classes, be worth a score of W. Where queues are told apart, the\n" +
			"events that tell them are enabled, too. Hits are counted in traces; those of a unit file are what its columns say.\n\n" +
			"--features names the set by which traces are cut, and which knows the columns of unit files (default: the one of default, wide, counts, paper that\n" +
			"knows most). Columns that it does not know are left out, and named; with --any-event those whose name is an event's take part, as its count.\n\n" +
			"--write FILE writes a feature set for the daemon ([lttng] features) and replay. An event always has all its columns; for --by column it has the\n" +
			"families that the chosen ones belong to, since one bucket of sizes cannot be counted alone.",
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.classes, "class", nil, "`NAME=FILE` or trace: units with a label")
	flags.StringVar(&f.reference, "reference", "idle", "`NAME` of the class that all others are told from")
	flags.StringVar(&f.features, "features", "", "`SET` of features to choose from: default, wide, counts, paper or a set's file")
	flags.StringVar(&f.by, "by", byEvent, "choose an `event` with all its columns, or each column")
	flags.StringVar(&f.scale, "scale", string(selection.Log), "compare `log` or raw counts")
	flags.IntVar(&f.size, "size", 0, "how many features (default: as many as add to the score)")
	flags.Var(&f.maxCost, "max-cost", "most of the guest's time that it may cost, such as 0.1%")
	flags.Float64Var(&f.weight, "cost-weight", 0.1, "score that 1 % of the guest's time must be worth")
	flags.BoolVar(&f.anyEvent, "any-event", false, "also choose from events that the set does not have")
	flags.StringSliceVar(&f.compare, "compare", nil, "also tell of these `SETS`, such as paper,default")
	flags.StringVar(&f.write, "write", "", "`FILE` to write the feature set to, - for standard output alone")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		report, set, err := f.run(c.Context())
		if err != nil {
			return err
		}
		if f.write != "" {
			if err := writeUnits(f.write, c.OutOrStdout(), func(w io.Writer) error { _, err := w.Write(set); return err }); err != nil || f.write == "-" {
				return err
			}
		}
		if *format == "json" {
			return writeJSON(c.OutOrStdout(), report)
		}
		return writeSelection(c.OutOrStdout(), report)
	}
	return c
}

// guestShare is a part of something, given as a number or in percent.
type guestShare float64

// String returns it in percent.
func (s *guestShare) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatFloat(100*float64(*s), 'g', 6, 64) + "%"
}

// Type is what help calls it.
func (s *guestShare) Type() string { return "SHARE" }

// Set reads "0.1%" or "0.001".
func (s *guestShare) Set(text string) error {
	number, isPercent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if isPercent {
		v /= 100
	}
	if err != nil || !(v > 0 && v <= 1) {
		return errors.New("want a share of the guest's time, such as 0.1%")
	}
	*s = guestShare(v)
	return nil
}

// selectionReport is what features select writes as JSON.
type selectionReport struct {
	Features  string           `json:"features"` // the set chosen from, with its version
	By        string           `json:"by"`
	Scale     selection.Scale  `json:"scale"`
	Reference string           `json:"reference"`
	HitCostNS int64            `json:"hit_cost_ns"`
	Classes   []classReport    `json:"classes"`
	Score     selection.Score  `json:"score"`
	Cost      selection.Cost   `json:"cost"`
	Selected  []selectedReport `json:"selected"`
	Others    []selectedReport `json:"others"`
	// TellQueues are enabled only because they tell queues apart.
	TellQueues []string         `json:"tell_queues"`
	Compared   []comparedSet    `json:"compared,omitempty"`
	Unknown    []string         `json:"unknown_columns"` // left out: the set does not have them
	AtLeast    []string         `json:"at_least"`        // events whose hits the unit files do not count, or not all
	Written    *writtenReport   `json:"written,omitempty"`
	goal       selection.Goal   // what was asked for
	pairs      []selectedReport // for each class but the reference: what tells it best alone
	events     struct{ hit, enabled int }
}

// classReport says what was read of a class.
type classReport struct {
	Name    string   `json:"name"`
	Files   []string `json:"files"`
	Units   int      `json:"units"`
	LeftOut int      `json:"left_out"` // partial units, and those that lost events
}

// selectedReport is a feature that can be chosen.
type selectedReport struct {
	selection.Value
	Subsystem string   `json:"subsystem"`
	Meaning   string   `json:"meaning"`
	Events    []string `json:"events"`
}

// writtenReport says what is in the set that is written.
type writtenReport struct {
	File    string `json:"file"`
	Version string `json:"version"`
	Columns int    `json:"columns"`
}

// run reads and chooses. set is the feature set's file.
func (f *featuresFlags) run(ctx context.Context) (report *selectionReport, set []byte, err error) {
	if f.by != byEvent && f.by != byColumn {
		return nil, nil, fmt.Errorf("--by %q is neither %s nor %s", f.by, byEvent, byColumn)
	}
	if scale := selection.Scale(f.scale); scale != selection.Log && scale != selection.Raw {
		return nil, nil, fmt.Errorf("--scale %q is neither %s nor %s", f.scale, selection.Log, selection.Raw)
	}
	data, err := readLabelled(ctx, f.classes, f.features)
	if err != nil {
		return nil, nil, err
	}
	pool := newCandidates(data, f.by == byColumn, f.anyEvent)
	if len(pool.features) == 0 {
		return nil, nil, fmt.Errorf("feature set %s has none of the columns (%s): name the one they were cut by with --features, or use --any-event",
			data.set.Version(), shortened(strings.Join(pool.unknown, ", "), 200))
	}
	problem, err := selection.New(pool.columns, data.rows(pool.columns), f.reference, selection.Scale(f.scale))
	if err != nil {
		return nil, nil, f.explain(err)
	}
	goal := selection.Goal{Size: f.size, MaxCost: float64(f.maxCost), Price: f.weight}
	chosen, err := problem.Select(pool.features, data.rates(pool.events()), goal)
	if err != nil {
		return nil, nil, f.explain(err)
	}
	report = f.report(data, pool, problem, chosen)
	report.goal = goal
	if report.Compared, err = data.compare(ctx, f.compare, f.reference, selection.Scale(f.scale)); err != nil {
		return nil, nil, err
	}
	set, err = pool.setFile(chosen, setName(f.write), f.about(report))
	if err != nil {
		return nil, nil, err
	}
	if f.write != "" {
		written, err := catalogue.Parse(set)
		if err != nil {
			return nil, nil, err
		}
		report.Written = &writtenReport{File: f.write, Version: written.Version(), Columns: len(written.Names())}
	}
	return report, set, nil
}

// explain names the flags that can help.
func (f *featuresFlags) explain(err error) error {
	switch {
	case errors.Is(err, selection.ErrClasses):
		return fmt.Errorf("%w (--class NAME=FILE, --reference NAME)", err)
	case errors.Is(err, selection.ErrGoal):
		return fmt.Errorf("%w (--size, --max-cost, --cost-weight, --features)", err)
	}
	return err
}

func (f *featuresFlags) report(data *labelled, pool *candidates, problem *selection.Problem, chosen []int) *selectionReport {
	rates := data.rates(pool.events())
	r := problem.Report(pool.features, rates, chosen)
	report := &selectionReport{
		Features: data.set.Version(), By: f.by, Scale: selection.Scale(f.scale), Reference: f.reference, HitCostNS: selection.HitCost.Nanoseconds(),
		Score: r.Score, Cost: r.Cost, Selected: []selectedReport{}, Others: []selectedReport{}, TellQueues: pool.tellers(chosen), Unknown: pool.unknown,
	}
	for _, c := range data.classes {
		report.Classes = append(report.Classes, c.report())
	}
	for _, v := range r.Selected {
		report.Selected = append(report.Selected, pool.describe(v))
	}
	for _, v := range r.Others {
		report.Others = append(report.Others, pool.describe(v))
	}
	all := slices.Concat(report.Selected, report.Others)
	for i := range r.Score.Pairs {
		report.pairs = append(report.pairs, slices.MaxFunc(all, func(a, b selectedReport) int {
			return cmp.Compare(a.Pairs.Pairs[i].Score, b.Pairs.Pairs[i].Score)
		}))
	}
	var features []selection.Feature
	for _, i := range chosen {
		features = append(features, pool.features[i])
	}
	for _, e := range selection.Events(features) {
		report.events.enabled++
		if rates.Cost([]string{e}).HitsPerSecond > 0 {
			report.events.hit++
		}
	}
	report.AtLeast = data.atLeast(selection.Events(pool.features))
	return report
}

// about says in a set's file where it comes from.
func (f *featuresFlags) about(r *selectionReport) string {
	var others []string
	for _, c := range r.Classes {
		if c.Name != f.reference {
			others = append(others, c.Name)
		}
	}
	return oneLine(fmt.Sprintf("Chosen from %s by %s to tell %s from %s: score %.3f, %.0f hits/s.",
		r.Features, f.by, shortened(strings.Join(others, ", "), 300), shortened(f.reference, 60), r.Score.Mean, r.Cost.HitsPerSecond))
}

// setName returns the name of a set that is written to a file.
func setName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	_, err := catalogue.Parse([]byte("name = " + strconv.Quote(name) + "\nversion = 1\nbase = \"paper\"\n"))
	if err != nil || slices.Contains(shippedSets, name) {
		return "selected"
	}
	return name
}
