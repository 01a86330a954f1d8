package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// errInterrupted is not context.Canceled: without a result, eval has failed, whereas a watch that is interrupted is done.
var errInterrupted = errors.New("interrupted")

// evalFlags are what eval is asked.
type evalFlags struct {
	train, normal, anomaly []string
	method, features       string
	engine                 string
	folds                  int
	curve                  []int
}

// evalReport is what eval writes as JSON.
type evalReport struct {
	*model.Evaluation
	CrossValidation *model.CrossValidation `json:"cross_validation,omitempty"`
	Curve           []model.CurvePoint     `json:"curve,omitempty"`
}

func evalCommand() *cobra.Command {
	var f evalFlags
	c := &cobra.Command{
		Use:   "eval --train T --normal N [--anomaly NAME=A]",
		Short: "Measure how well attacks are told from normal operation",
		Long: "Learn from units of normal operation, and judge other normal ones and those of attacks. T, N and A are unit files (CSV, as replay writes\n" +
			"them) or directories with CTF traces. Each flag may be repeated; files of the same NAME are one scenario.\n\n" +
			"A feature that a file lacks is 0. Partial units are neither learnt from nor judged. Units that lost events are not learnt from; they are\n" +
			"judged as the daemon does: positive only if they are anomalous whatever they lost.\n\n" +
			"Methods: default learns and judges as the daemon does. paper is Paundu et al.'s (ICICS 2015): raw counts, a one-class SVM with RBF kernel, nu and\n" +
			"gamma from 0.01 to 0.10 by grid search for the fewest false positives over five random subsets of the training units (of at most 500 of\n" +
			"them), and the SVM's own threshold, a decision value below 0. The two found for T are used throughout.\n\n" +
			"Figures by unit: sensitivity is the share of a scenario's units that are judged anomalous, the false-positive rate (FPR) that of all normal\n" +
			"units. Precision is sensitivity/(sensitivity+FPR), and F the harmonic mean of sensitivity and precision, both as if there were as many normal\n" +
			"units as attacked ones, and 0 where they would be 0/0. AUC is the probability that an attacked unit scores lower than a normal one.\n\n" +
			"Figures by sequence: the verdicts go through the state machine of the daemon, with its default settings, and a unit counts as anomalous if the state\n" +
			"after it is. A false alarm is the state becoming anomalous in a normal file. Units to alarm are those up to the first alarm, the one that\n" +
			"raised it included. The state machine begins anew with each scenario, and with each file unless that starts within two units of the start of the last\n" +
			"unit of the file before. The paper has no such decision; for its method it is the same state machine over the SVM's decisions.\n\n" +
			"--cross-validate K pools the units to learn from with the normal ones, splits them in the order of time into K blocks and judges each by what\n" +
			"is learnt from the others. The interval of the rate is Clopper and Pearson's, as if units were independent; the alarms a day\n" +
			"have a Poisson bound.\n\n" +
			"--curve 50,100,... learns from the first 50, 100 ... units of T, and from up to five blocks of as many in other places; SPREAD is the least to the most of\n" +
			"their false-positive rates. Of a size that there are not enough units for, no rate is given.",
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.train, "train", nil, "`FILE` or trace of normal operation to learn from")
	flags.StringArrayVar(&f.normal, "normal", nil, "`FILE` or trace of normal operation to judge")
	flags.StringArrayVar(&f.anomaly, "anomaly", nil, "`NAME=FILE` or trace of an attack, to judge")
	flags.StringVar(&f.method, "method", string(model.MethodDefault), "default or paper")
	flags.StringVar(&f.features, "features", catalogue.DefaultSet, "`SET` of features, of traces; a unit file has those that it has")
	flags.StringVar(&f.engine, "engine", "libsvm-go", "solver: "+strings.Join(engineNames(), ", "))
	flags.IntVar(&f.folds, "cross-validate", 0, "also judge all normal units in so many `BLOCKS`, each by the others")
	flags.IntSliceVar(&f.curve, "curve", nil, "also learn from so many `UNITS`: a list")
	for _, name := range []string{"train", "normal"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		report, err := f.run(c.Context())
		switch {
		case err != nil && c.Context().Err() != nil:
			return errInterrupted
		case err != nil:
			return remedy(err)
		case *format == "json":
			return writeJSON(c.OutOrStdout(), report)
		}
		return writeEvaluation(c.OutOrStdout(), report)
	}
	return c
}

func engineNames() []string {
	var names []string
	for name := range engines {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// run reads, learns and judges.
func (f *evalFlags) run(ctx context.Context) (evalReport, error) {
	var report evalReport
	solver, ok := engines[f.engine]
	if !ok {
		return report, fmt.Errorf("--engine %q: this program was built with %s", f.engine, strings.Join(engineNames(), ", "))
	}
	method := model.Method(f.method)
	if method != model.MethodDefault && method != model.MethodPaper {
		return report, fmt.Errorf("--method %q is neither %s nor %s", f.method, model.MethodDefault, model.MethodPaper)
	}
	if f.folds < 0 || f.folds == 1 {
		return report, fmt.Errorf("--cross-validate %d: want 2 blocks or more", f.folds)
	}
	train, err := f.recordings(f.train)
	if err != nil {
		return report, err
	}
	normal, err := f.recordings(f.normal)
	if err != nil {
		return report, err
	}
	scenarios, err := f.scenarios()
	if err != nil {
		return report, err
	}
	engine := interruptible{ctx, solver}
	if report.Evaluation, err = model.Evaluate(engine, method, train, normal, scenarios, model.EvalOptions{}); err != nil {
		return report, err
	}
	o := model.EvalOptions{Paper: report.Paper}
	if f.folds > 0 {
		all := slices.Clone(train)
		for i, path := range f.normal {
			if !slices.Contains(f.train, path) { // otherwise units would be learnt from that are judged
				all = append(all, normal[i])
			}
		}
		if report.CrossValidation, err = model.CrossValidate(engine, method, all, f.folds, o); err != nil {
			return report, err
		}
	}
	if len(f.curve) > 0 {
		report.Curve, err = model.LearningCurve(engine, method, train, normal, f.curve, o)
	}
	return report, err
}

// recordings reads files or traces.
func (f *evalFlags) recordings(paths []string) ([]model.Recording, error) {
	var list []model.Recording
	for _, path := range paths {
		r, err := readRecording(path, f.features)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// scenarios reads the attacks, in the order in which their names come first.
func (f *evalFlags) scenarios() ([]model.Scenario, error) {
	var list []model.Scenario
	for _, arg := range f.anomaly {
		name, path, ok := strings.Cut(arg, "=")
		if !ok || name == "" || path == "" {
			return nil, fmt.Errorf("--anomaly %q: want NAME=FILE", arg)
		}
		r, err := readRecording(path, f.features)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(list, func(s model.Scenario) bool { return s.Name == name })
		if at < 0 {
			at = len(list)
			list = append(list, model.Scenario{Name: name})
		}
		list[at].Recordings = append(list[at].Recordings, r)
	}
	return list, nil
}

// readRecording reads a unit file, or cuts a trace where path is a directory.
func readRecording(path, set string) (model.Recording, error) {
	info, err := os.Stat(path)
	if err != nil {
		return model.Recording{}, err
	}
	var f unit.File
	if info.IsDir() {
		f, err = unit.Cut(path, set) // its errors name the directory
	} else {
		f, err = unit.ReadFile(path)
	}
	if err != nil {
		return model.Recording{}, err
	}
	r := model.Recording{Name: path, Features: f.Features, Units: make([]model.Observation, len(f.Units))}
	for i, u := range f.Units {
		r.Units[i] = model.Observation{Start: u.Start, Counts: u.Counts, Partial: !u.Full(), Lossy: u.Lost > 0}
	}
	return r, nil
}

// remedy adds what the user can do about an error.
func remedy(err error) error {
	var many *model.TooManyFeaturesError
	if errors.As(err, &many) {
		return fmt.Errorf("%w (choose fewer with --features)", err)
	}
	return err
}

// interruptible is an engine that starts no further problem once its context has ended.
type interruptible struct {
	ctx context.Context
	model.Engine
}

func (e interruptible) OneClass(x [][]float64, nu, gamma float64) (model.Solution, error) {
	if err := e.ctx.Err(); err != nil {
		return model.Solution{}, err
	}
	return e.Engine.OneClass(x, nu, gamma)
}
