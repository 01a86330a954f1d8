package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

func (a *app) sourcesCommand() *cobra.Command {
	run := lab.PlanRun{Sources: true}
	var prices lab.PriceRun
	var price, short bool
	var qemu string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "sources --output DIR",
		Short: "Record what each source sees of the same load and attacks, or measure what it costs",
		Long: `sources records normal load, to learn from and to judge by, and the eight attacks at weak rates. Each recording has a
unit file for each source: QEMU's trace points, where the lab's QEMU has them, and what the host's kernel counts: packets on the
tap device with their headers, QEMU's functions, and its system calls. DIR/manifest.json says what there is, and how
often each source was hit. Recordings that are complete are left as they are. It takes some 37 minutes; --short four.

With --price it measures instead how fast a guest serves pages and uses its disk while each source observes it, in rounds of
all sources and none, and writes DIR/prices.json. Nothing else should run on the host meanwhile. It takes a quarter of an hour; --short one minute.

A lab that is not up is made, and removed afterwards.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if !price && (cmd.Flags().Changed("rounds") || cmd.Flags().Changed("each")) {
				return errors.New("--rounds and --each are of --price")
			}
			l, end, err := a.openOrUp(cmd.Context(), lab.Config{Guest: run.Guest, QEMU: qemu})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			line := newStatusLine(cmd.ErrOrStderr())
			defer line.Close()
			a.log.SetOutput(line)
			defer a.log.SetOutput(cmd.ErrOrStderr())
			if price {
				prices.Output, prices.Guest = run.Output, run.Guest
				if short {
					prices.Rounds, prices.Each = 1, 2*time.Second
				}
				prices.Begun = func(p lab.PriceProgress) { measureBegun(line, p) }
				found, err := l.MeasurePrices(cmd.Context(), prices)
				if err != nil {
					return err
				}
				line.Show(nil)
				return printPrices(cmd.OutOrStdout(), found.Prices)
			}
			spans := lab.FullSourceSpans
			if short {
				spans = lab.ShortSourceSpans
			}
			run.Steps = lab.SourcesPlan(spans, seed)
			run.Begun = func(p lab.PlanProgress) { a.stepBegun(line, p) }
			run.Done = func(p lab.PlanProgress, r lab.Recorded) {
				line.Show(nil)
				line.Do(func() { printSources(cmd.OutOrStdout(), p, r) })
			}
			return l.RunPlan(cmd.Context(), run)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&run.Output, "output", "o", "", "directory of the recordings, new or of a run to go on with")
	f.BoolVar(&short, "short", false, "seconds instead of minutes for each recording; one round of prices")
	f.Uint64Var(&seed, "seed", lab.SourcesSeed, "seed of the first recording's load, which the others' follow")
	f.StringVar(&run.Guest, "guest", lab.DefaultGuest, "the guest")
	f.StringVar(&qemu, "qemu", "", "of a lab that is made: as of up")
	f.BoolVar(&run.KeepTraces, "keep-traces", false, "keep the raw traces beside the unit files")
	f.BoolVar(&price, "price", false, "measure what the sources cost")
	f.IntVar(&prices.Rounds, "rounds", 6, "rounds of --price; from six on, intervals are of 95 % confidence")
	f.DurationVar(&prices.Each, "each", 8*time.Second, "span of each measurement of --price")
	cmd.MarkFlagsMutuallyExclusive("price", "seed")
	cmd.MarkFlagsMutuallyExclusive("short", "rounds")
	cmd.MarkFlagsMutuallyExclusive("short", "each")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

func measureBegun(line *statusLine, p lab.PriceProgress) {
	line.Show(func(now time.Time) string {
		return fmt.Sprintf("%d of %d: %s, %s; all: %v left", p.Number, p.All, p.Workload, p.Arm, max(0, p.End.Sub(now)).Round(time.Second))
	})
}

func printSources(w io.Writer, p lab.PlanProgress, r lab.Recorded) {
	_, _ = fmt.Fprintf(w, "%s %d/%d %s: %d units, with losses: %d\n", time.Now().Format(time.DateTime), p.Number, p.Steps, r.Name, r.Units, r.LossyUnits)
	for _, name := range slices.Sorted(maps.Keys(r.Sources)) {
		c := r.Sources[name]
		text := fmt.Sprintf("  %s: %.0f hits/s", name, float64(c.Hits)/max(c.Seconds, 1))
		if c.Hits > 0 && c.TimeNS > 0 {
			text += fmt.Sprintf(", %.0f ns each in the kernel", float64(c.TimeNS)/float64(c.Hits))
		}
		_, _ = fmt.Fprintf(w, "%s; units with losses: %d\n", text, c.LossyUnits)
	}
}

func printPrices(w io.Writer, prices []evaluation.Price) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, p := range prices {
		_, _ = fmt.Fprintf(tw, "%s\tof %s without, in %d rounds\n", p.Workload, p.Unit, len(p.Rates))
		for _, arm := range p.Arms {
			r := p.Ratio(arm)
			_, _ = fmt.Fprintf(tw, "  %s\t%.3f (%.3f to %.3f)\n", arm, r.Median, r.Low, r.High)
		}
	}
	return tw.Flush()
}
