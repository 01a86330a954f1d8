package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/reliability"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
)

// Where the fault suite's results are kept, and shown, from the top of the project's checkout.
const (
	reliabilityDir  = "testdata/reliability"
	reliabilityPage = "packaging/RELIABILITY.md"
)

func reliabilityCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reliability",
		Short: "What was seen of faults: the fault suite's page, and the part of it that has no guests",
		Long:  "reliability has the parts of the fault suite (make faults) that are no Go tests.",
	}
	cmd.AddCommand(reliabilityPageCommand(), churnCommand())
	return cmd
}

func reliabilityPageCommand() *cobra.Command {
	dir, check := reliabilityDir, false
	cmd := &cobra.Command{
		Use:   "page",
		Short: "Write the tables of " + reliabilityPage + ", in the project's checkout",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			page, err := os.ReadFile(reliabilityPage)
			if err != nil {
				return fmt.Errorf("%w: run it at the top of the project's checkout", err)
			}
			text, err := reliability.Fill(string(page), dir)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", reliabilityPage, err)
			case text == string(page):
				return nil
			case check:
				return fmt.Errorf("%s is not what %s gives: run `virtsentry-lab reliability page`", reliabilityPage, dir)
			}
			return os.WriteFile(reliabilityPage, []byte(text), 0o644)
		},
	}
	cmd.Flags().StringVar(&dir, "results", dir, "directory of the results")
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; fail where a table is not what the results give")
	return cmd
}

// churnCommand is the case player-churn.
func churnCommand() *cobra.Command {
	cfg, results := bench.ChurnConfig{Checkout: ".", Starts: 500}, ""
	cmd := &cobra.Command{
		Use:   "churn",
		Short: "Domains of libvirt's test driver, with UST applications for QEMUs, start and stop",
		Long: `churn has ten domains at a time start and stop under virtsentryd's monitor. Its domains are players: processes of a generator that hit QEMU's
trace points as QEMU does. It fails where anything is left of them. It runs in namespaces of its own.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return bench.Private(c.Context(), func(ctx context.Context) (err error) {
				if cfg.Dir, err = os.MkdirTemp("/run", "churn-"); err != nil {
					return err
				}
				line := newStatusLine(os.Stderr)
				defer line.Close()
				cfg.Report = func(text string) { line.Show(func(time.Time) string { return text }) }
				begin := time.Now()
				churn, err := bench.RunChurn(ctx, cfg)
				left := churn.Left()
				if err == nil && left != "" {
					err = fmt.Errorf("of %d domains something is left: %s", churn.Starts, left)
				}
				r := reliability.Result{Case: "player-churn", Begin: begin, Times: cfg.Starts, Seen: churn.String()}
				if err != nil {
					r.Broken, r.Seen = 1, err.Error()
				}
				return errors.Join(err, reliability.NewRecorder(results).Note(r))
			})
		},
	}
	cmd.Flags().IntVar(&cfg.Starts, "starts", cfg.Starts, "how many domains start")
	cmd.Flags().StringVar(&results, "results", results, "directory to keep the result in; none: it is not kept")
	return cmd
}
