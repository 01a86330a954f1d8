package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/emulator"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// loadFlags are the flags that say what a load is.
func loadFlags(f *pflag.FlagSet, ld *lab.Load) {
	f.StringVar(&ld.Guest, "guest", lab.DefaultGuest, "the guest")
	f.IntVar(&ld.Sessions, "sessions", 6, "visitors at the same time")
	f.DurationVar(&ld.Think, "think", 700*time.Millisecond, "mean time between a page and the next request")
	f.Uint64Var(&ld.Seed, "seed", 1, "the same seed plays the same visits")
	f.StringVar(&ld.Shape, "shape", "constant",
		"load over time: constant[:LEVEL], swing:LOW:HIGH:PERIOD, steps:EACH:LEVEL,..., file:PATH; levels from 0 to 1")
}

func (a *app) loadCommand() *cobra.Command {
	var ld lab.Load
	var detach, stop bool
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Let visitors use a guest's web application",
		Long: `load plays visitors of the guest's auction site: each looks at pages, thinks, and
goes on, again and again. It runs until its time is over or it is interrupted;
with --detach it goes on in the background until "load --stop" or "down".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			switch {
			case stop && detach:
				return errors.New("--stop and --detach exclude each other")
			case stop:
				return l.StopLoad(cmd.Context())
			case detach:
				return a.detachLoad(cmd, l)
			}
			next := 10 * time.Second
			ld.Report = func(s emulator.Stats) {
				if s.Elapsed >= next {
					next += 10 * time.Second
					a.log.Info(loadLine(s))
				}
			}
			s, err := l.Load(cmd.Context(), ld)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), loadLine(s))
			return err
		},
	}
	f := cmd.Flags()
	loadFlags(f, &ld)
	f.DurationVar(&ld.For, "for", 0, "how long (default: until interrupted)")
	f.BoolVar(&detach, "detach", false, "go on in the background")
	f.BoolVar(&stop, "stop", false, "end the load in the background")
	return cmd
}

// detachLoad starts this very command again as the lab's background load,
// with all flags but --detach.
func (a *app) detachLoad(cmd *cobra.Command, l *lab.Lab) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start load: %w", err)
	}
	args := []string{"load", "--dir", l.Dir()}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != "detach" && f.Name != "dir" {
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	p, err := l.StartLoad(cmd.Context(), self, args...)
	if err != nil {
		return err
	}
	a.log.Infof("load runs as process %d", p.PID)
	return nil
}

func loadLine(s emulator.Stats) string {
	var kinds []string
	for kind, n := range s.Errors {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(kinds)
	text := fmt.Sprintf("%v: %d requests (%.1f/s), %d failed, median %v, 99 %% within %v", s.Elapsed.Round(time.Second),
		s.Requests, s.Rate(), s.Failed(), s.Latency.P50.Round(time.Millisecond), s.Latency.P99.Round(time.Millisecond))
	if len(kinds) > 0 {
		text += " (" + strings.Join(kinds, ", ") + ")"
	}
	return text
}

func (a *app) recordCommand() *cobra.Command {
	var r lab.Recording
	var events string
	scenarios := append([]string{lab.Everyday}, lab.Scenarios()...)
	cmd := &cobra.Command{
		Use:   "record SCENARIO",
		Short: "Record the raw trace of a scenario",
		Long: `record plays a scenario for a time and records the trace points of the guest's QEMU
meanwhile, as a CTF trace in the output directory. Load and attack begin some
seconds before the trace. Everyday is normal with what a server does by itself
beside serving: jobs each minute, log rotation, backups, packages installed and
removed, and a search engine's visits. When what ran is in everyday.log beside
the trace. Scenarios:
  ` + strings.Join(scenarios, "\n  "),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: scenarios,
		RunE: func(cmd *cobra.Command, args []string) error {
			if events != "default" && events != "all" {
				return fmt.Errorf("events %q: want default or all", events)
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			r.Scenario, r.All = args[0], events == "all"
			dir, err := l.Record(cmd.Context(), r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
			return err
		},
	}
	f := cmd.Flags()
	loadFlags(f, &r.Load)
	f.DurationVar(&r.For, "for", time.Minute, "how long")
	f.StringVarP(&r.Output, "output", "o", ".", "where the trace's directory is made")
	f.StringVar(&events, "events", "default", "trace points: default (the catalogue's) or all (of devices)")
	f.IntVar(&r.Rate, "rate", 0, "rate of the attack (default: by attack)")
	f.IntVar(&r.Pace, "pace", 1, "of everyday: how many times as often its jobs run, each at most every 10 s")
	return cmd
}
