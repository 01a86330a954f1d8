package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
)

// benchDir is where results are kept, from the top of the project's checkout.
const benchDir = "testdata/benchmarks"

// pages are the pages that show results, with the benchmarks of each.
var pages = map[string]map[string]bench.Section{
	"lttng/BENCHMARKS.md": {bench.DecodeName: bench.DecodeSection, bench.AlarmName: bench.AlarmSection, bench.ImpactName: bench.ImpactSection, bench.UnitsName: bench.UnitsSection,
		bench.ScaleName: bench.ScaleSection, bench.TransportName: bench.TransportSection},
	"model/BENCHMARKS.md": {bench.TrainName: bench.TrainSection, bench.ScoreName: bench.ScoreSection},
}

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what virtsentry costs, and how fast it is",
		Long: `bench measures what virtsentry costs its host and its guests. Each benchmark keeps what it found in a file, and "bench page"
writes the tables of lttng/BENCHMARKS.md and model/BENCHMARKS.md from these. Nothing else should run on the host meanwhile.`,
	}
	cmd.AddCommand(a.benchAlarm(), benchTransport(), a.benchScale(), benchPage())
	cmd.AddCommand(a.benchImpact(), a.benchUnits(), benchReadAll(), benchDecode())
	cmd.AddCommand(benchTrain(), benchScore())
	return cmd
}

func benchPage() *cobra.Command {
	dir, check := benchDir, false
	cmd := &cobra.Command{
		Use:   "page",
		Short: "Write the tables of the benchmarks' pages, in the project's checkout",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for name, sections := range pages {
				page, err := os.ReadFile(name)
				if err != nil {
					return fmt.Errorf("%w: run it at the top of the project's checkout", err)
				}
				text, err := bench.Fill(string(page), dir, sections)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				switch {
				case text == string(page):
				case check:
					return fmt.Errorf("%s is not what %s gives: run `virtsentry-lab bench page`", name, dir)
				default:
					if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "results", dir, "directory of the results")
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; fail where a table is not what the results give")
	return cmd
}
