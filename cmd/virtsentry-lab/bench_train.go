package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

// unitsDir has recorded units, from the top of the project's checkout.
const unitsDir = "testdata/units"

func benchTrain() *cobra.Command {
	run := bench.TrainRun{
		Engine: libsvm.Engine{}, Rounds: 5, Solves: 20,
		Rows: []int{128, 256, 512, 1024, 2048, 4096}, Vectors: []int{16, 32, 64, 128, 256, 512},
	}
	results, short := benchDir, false
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Measure what learning a day of units costs, and what its limits cost in quality",
		Long: `train learns a simulated day of units, solves one of its problems beside LIBSVM's own svm-train, in turns, and judges recordings by what is
learnt from them within stricter limits than the daemon's. It takes some five minutes, and is for the top of the project's checkout.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if short {
				run.Day, run.Rounds, run.Solves, run.Rows, run.Vectors = 6000, 1, 2, []int{4096}, []int{32}
			}
			return benchModel(cmd, bench.TrainName, results, short, bench.TrainSection, func(report func(string)) (bench.Training, error) {
				run.Report = report
				return run.Measure(cmd.Context())
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&results, "results", results, "directory of the results")
	f.StringVar(&run.Units, "units", unitsDir, "directory of recorded units")
	f.BoolVar(&short, "short", false, "some hours instead of a day: shows that all of it works")
	return cmd
}

// benchModel measures, keeps what was found and shows its tables.
func benchModel[T any](cmd *cobra.Command, name, results string, short bool, section bench.Section, measure func(report func(string)) (T, error)) error {
	machine, err := bench.ThisMachine()
	if err != nil {
		return err
	}
	f := bench.File[T]{Name: name, Begin: time.Now().UTC().Truncate(time.Second), Machine: machine, Short: short}
	line := newStatusLine(cmd.ErrOrStderr())
	defer line.Close()
	f.Result, err = measure(func(what string) { line.Show(func(time.Time) string { return what }) })
	if err != nil {
		return fmt.Errorf("benchmark %s: %w", name, err)
	}
	line.Show(nil)
	if err := bench.Write(results, f); err != nil {
		return err
	}
	text, _, err := section(results)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}
