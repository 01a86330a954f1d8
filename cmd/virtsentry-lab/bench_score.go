package main

import (
	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

func benchScore() *cobra.Command {
	run := bench.ScoreRun{Engine: libsvm.Engine{}, Judged: 20_000, Rounds: 9}
	results, short := benchDir, false
	cmd := &cobra.Command{
		Use:   "score",
		Short: "Measure what judging a unit costs",
		Long: `score learns a simulated day of units, and recordings, and judges units by the profiles: usual ones, those of an attack, and what was never seen. It takes
some two minutes, and is for the top of the project's checkout.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if short {
				run.Day, run.Judged, run.Rounds = 6000, 1000, 1
			}
			return benchModel(cmd, bench.ScoreName, results, short, bench.ScoreSection, func(report func(string)) (bench.Scoring, error) {
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
