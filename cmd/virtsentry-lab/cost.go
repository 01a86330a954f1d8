package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
virtsentry cost fit on this host: each source alone and some combinations to fit to, and others, held out, to judge the fit by, as is all with
some sorts of work. What is measured is chosen beforehand, and the same each time.

Each observation is written when it is made. Called again with the same file, it measures what is missing there. Sources that cannot be
calibrated in the lab are named with the reason, on the terminal and in the file.

A lab that is not up is made, and removed afterwards. QEMU has a CPU of its own meanwhile, where there are two. Nothing else should run on the host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			b := benchFlags{daemon: daemon}
			if run.Daemon, run.Reader, err = b.programs(); err != nil {
				return err
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
			kept, err := observed(output, version+"; "+machine.String())
			if err != nil {
				return err
			}
			there, err := bench.FindCostSources(l)
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(there.Without)) {
				a.log.Infof("%s is not calibrated: %s", name, there.Without[name])
			}
			kept.Without = there.Without
			line := newStatusLine(cmd.ErrOrStderr())
			defer line.Close()
			a.log.SetOutput(line)
			defer a.log.SetOutput(cmd.ErrOrStderr())
			run.Lab, run.Done = l, kept.List
			run.Begun = func(p lab.PriceProgress) { measureBegun(line, p) }
			run.Again = func(err error) { a.log.WithError(err).Warn("measuring once more") }
			run.Keep = func(x cost.Observation) error {
				kept.List = append(kept.List, x)
				a.log.Infof("%s, %s: %.2f %% more time, standard error %.2f, of %d pairs", x.Workload, strings.Join(x.Sources, "+"), 100*x.Overhead, 100*x.Error, x.Pairs)
				return unit.WriteFile(output, func(w io.Writer) error { return cost.WriteObservations(w, kept) })
			}
			return run.Measure(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "file of the observations; what it has is not measured again")
	f.StringVar(&daemon, "daemon", "", "virtsentryd (default: the one beside this program)")
	f.StringVar(&qemu, "qemu", "", "of a lab that is made: as of up")
	f.StringVar(&run.Guest, "guest", lab.DefaultGuest, "the guest")
	f.StringSliceVar(&run.Workloads, "work", bench.CostWorkloads, "the sorts of work, of "+strings.Join(bench.CostTasks(), ", "))
	f.StringSliceVar(&run.Apart, "apart", bench.CostApart, "the sorts of work with which all is held out")
	f.StringSliceVar(&run.Sources, "sources", nil, "the sources (default: all that see the lab's guests, and of the groups of trace points one)")
	f.IntVar(&run.Fit, "fit", 1, "combinations to fit to for each sort of work, beside each source alone")
	f.IntVar(&run.Held, "held", 3, "combinations to hold out for each sort of work")
	f.DurationVar(&run.Each, "each", 86*time.Second, "how long the guest works for each combination")
	_ = cmd.MarkFlagRequired("output") // it fails only for a flag that does not exist
	return cmd
}

// observed are the observations that a file has already; none where there is no file. Those of another host are no beginning.
func observed(file, origin string) (o cost.Observations, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return cost.Observations{Origin: origin, Begin: time.Now().UTC().Truncate(time.Second)}, nil
	}
	if err != nil {
		return o, err
	}
	defer func() { _ = f.Close() }()
	if o, err = cost.ReadObservations(f); err != nil {
		return o, fmt.Errorf("%s: %w", file, err)
	}
	if o.Origin != origin {
		return o, fmt.Errorf("%s has observations of something else (%s): name another file", file, o.Origin)
	}
	return o, nil
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
