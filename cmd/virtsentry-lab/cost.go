package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

func (a *app) costCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Observe what sources cost a guest, for virtsentry cost fit",
		Long:  "cost has the parts of virtsentry's cost model that need a guest, and the page that shows how well it predicts.",
	}
	cmd.AddCommand(a.costCalibrate(), costPage())
	return cmd
}

func (a *app) costCalibrate() *cobra.Command {
	var run bench.CostRun
	var output, daemon, qemu string
	cmd := &cobra.Command{
		Use:   "calibrate",
		Short: "Have a guest do its utmost under combinations of sources, and write what these cost it",
		Long: `calibrate has a guest do its utmost, one sort of work after the other, while it is observed by chosen combinations of sources. The observation
begins and ends again and again meanwhile, and the time for a unit of work is compared in slices next to each other. What it writes is for
virtsentry cost fit on this host: each source alone and some combinations to fit to, and others, held out, to judge the fit by.

A lab that is not up is made, and removed afterwards. QEMU has a CPU of its own meanwhile, where there are two. Nothing else should run on the host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if run.Rounds < 1 {
				return fmt.Errorf("--rounds %d: want 1 at least", run.Rounds)
			}
			b := benchFlags{daemon: daemon}
			if run.Daemon, run.Reader, err = b.programs(); err != nil {
				return err
			}
			if _, err := os.Stat(output); err == nil {
				return fmt.Errorf("%s is there already: name another file", output)
			}
			machine, err := bench.ThisMachine()
			if err != nil {
				return err
			}
			l, end, err := a.openOrUp(cmd.Context(), lab.Config{Guest: run.Guest, QEMU: qemu})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			version, err := l.QEMUVersion(cmd.Context())
			if err != nil {
				return err
			}
			line := newStatusLine(cmd.ErrOrStderr())
			defer line.Close()
			a.log.SetOutput(line)
			defer a.log.SetOutput(cmd.ErrOrStderr())
			begin := time.Now().UTC().Truncate(time.Second)
			run.Lab = l
			run.Begun = func(p lab.PriceProgress) { measureBegun(line, p) }
			run.Again = func(err error) { a.log.WithError(err).Warn("measuring once more") }
			run.Keep = func(list []cost.Observation) error {
				o := cost.Observations{Origin: version + "; " + machine.String(), Begin: begin, List: list}
				return unit.WriteFile(output, func(w io.Writer) error { return cost.WriteObservations(w, o) })
			}
			return run.Measure(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "file of the observations, which must not be there")
	f.StringVar(&daemon, "daemon", "", "virtsentryd (default: the one beside this program)")
	f.StringVar(&qemu, "qemu", "", "of a lab that is made: as of up")
	f.StringVar(&run.Guest, "guest", lab.DefaultGuest, "the guest")
	f.StringSliceVar(&run.Workloads, "work", nil, "the sorts of work: "+strings.Join(bench.ImpactWorkloads(), ", ")+" (default: all)")
	f.StringSliceVar(&run.Sources, "sources", nil, "the sources (default: all that see the lab's guests)")
	f.IntVar(&run.Fit, "fit", 3, "combinations to fit to for each sort of work, beside each source alone")
	f.IntVar(&run.Held, "held", 3, "combinations to hold out for each sort of work")
	f.IntVar(&run.Rounds, "rounds", 3, "how often each combination is measured")
	f.DurationVar(&run.Each, "each", 20*time.Second, "how long the guest works for each combination in each round")
	_ = cmd.MarkFlagRequired("output") // it fails only for a flag that does not exist
	return cmd
}

// Where the observations are kept that the page shows, and the page and its figure, from the top of the project's checkout.
const (
	costDir  = "testdata/cost"
	costName = "lab.jsonl"
	costMD   = "model/COST.md"
)

func costPage() *cobra.Command {
	dir, figures, check := costDir, "model/figures", false
	cmd := &cobra.Command{
		Use:   "page",
		Short: "Write the tables of " + costMD + ", in the project's checkout",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			page, err := os.ReadFile(costMD)
			if err != nil {
				return fmt.Errorf("%w: run it at the top of the project's checkout", err)
			}
			r, err := bench.ReadCost(filepath.Join(dir, costName))
			if err != nil {
				return err
			}
			text, err := r.Fill(string(page))
			if err != nil {
				return fmt.Errorf("%s: %w", costMD, err)
			}
			if check {
				if text != string(page) {
					return fmt.Errorf("%s is not what %s gives: run `virtsentry-lab cost page`", costMD, dir)
				}
				return nil
			}
			if err := os.WriteFile(costMD, []byte(text), 0o644); err != nil {
				return err
			}
			return r.Plot(figures)
		},
	}
	cmd.Flags().StringVar(&dir, "results", dir, "directory of the observations")
	cmd.Flags().StringVar(&figures, "figures", figures, "directory of the figure")
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; fail where a table is not what the observations give")
	return cmd
}
