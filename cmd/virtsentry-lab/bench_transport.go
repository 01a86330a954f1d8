package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
)

// benchTransport is the command `bench transport`.
func benchTransport() *cobra.Command {
	results, short := benchDir, false
	cfg := bench.TransportConfig{
		Checkout: ".", Applications: []int{1, 10, 50, 100}, Rounds: 2, Ways: []string{bench.WayOwn, bench.WayShared, bench.WayUser, bench.WayPlace},
		Load: "web", Warm: 4 * time.Second, Run: 8 * time.Second,
	}
	cmd := &cobra.Command{
		Use:   "transport",
		Short: "Ways from applications to a reader: a session for each, or one for all",
		Long: `transport runs a generator that plays QEMUs, and measures what LTTng's daemons and a reader take when each of them has a session and a
rotation of its own, when all share one, and when files are read where they are being written. It runs in namespaces of its own: the host's session daemon sees nothing of it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return bench.Private(c.Context(), func(ctx context.Context) error {
				file := bench.File[bench.Transport]{Name: bench.TransportName, Begin: time.Now().UTC(), Short: short}
				if short {
					cfg.Applications, cfg.Rounds, cfg.Warm, cfg.Run = []int{1, 5}, 1, 3*time.Second, 4*time.Second
				}
				var err error
				if file.Machine, err = bench.ThisMachine(); err != nil {
					return err
				}
				if cfg.Dir, err = os.MkdirTemp("/run", "bench"); err != nil {
					return err
				}
				line := newStatusLine(os.Stderr)
				defer line.Close()
				cfg.Report = func(text string) {
					line.Show(func(time.Time) string { return text })
				}
				if file.Result, err = bench.RunTransport(ctx, cfg); err != nil {
					return err
				}
				return bench.Write(results, file)
			})
		},
	}
	cmd.Flags().StringVar(&results, "results", results, "directory of the results")
	cmd.Flags().BoolVar(&short, "short", false, "seconds only, to see that all of it works")
	cmd.Flags().IntSliceVar(&cfg.Applications, "applications", cfg.Applications, "numbers of applications")
	cmd.Flags().StringArrayVar(&cfg.Ways, "way", cfg.Ways, "ways to measure")
	cmd.Flags().IntVar(&cfg.Rounds, "rounds", cfg.Rounds, "rounds, in each of which every way has its turn")
	cmd.Flags().DurationVar(&cfg.Run, "for", cfg.Run, "length of each measurement")
	return cmd
}
