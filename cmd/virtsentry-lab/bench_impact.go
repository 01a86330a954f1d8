package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// figuresDir is where the figures of lttng/BENCHMARKS.md are, from the top of the project's checkout.
const figuresDir = "lttng/figures"

// benchFlags are those of the benchmarks that need a lab.
type benchFlags struct {
	results, figures, daemon, qemu string
	short                          bool
}

func (b *benchFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.results, "results", benchDir, "directory of the results")
	f.StringVar(&b.figures, "figures", figuresDir, "directory of the figures, drawn where it is there")
	f.StringVar(&b.daemon, "daemon", "", "virtsentryd (default: the one beside this program)")
	f.StringVar(&b.qemu, "qemu", "", "of a lab that is made: as of up")
	f.BoolVar(&b.short, "short", false, "only show that all of it works")
}

// programs makes out what is to be run: the daemon, and this program's own reader of all trace points.
func (b *benchFlags) programs() (daemon string, reader []string, err error) {
	if daemon, err = daemonBeside(b.daemon); err != nil {
		return "", nil, err
	}
	self, err := os.Executable()
	return daemon, []string{self, "bench", readerCommand}, err
}

// resume is the file that a run adds to, or a new one.
func resume[T any](b *benchFlags, name string, f bench.File[T], ok bool) (bench.File[T], error) {
	machine, err := bench.ThisMachine()
	switch {
	case err != nil:
		return f, err
	case !ok || f.Short: // a short run is no beginning
		return bench.File[T]{Name: name, Begin: time.Now().UTC().Truncate(time.Second), Machine: machine, Short: b.short}, nil
	case b.short:
		return f, fmt.Errorf("%s has results that count; name another directory with --results for a short run", b.results)
	case f.Machine != machine:
		return f, fmt.Errorf("the results in %s are of another machine (%s); remove them, or name another directory with --results", b.results, f.Machine)
	}
	return f, nil
}

// draw draws where the figures belong, and nowhere else.
func (b *benchFlags) draw(plot func(dir, figures string) error) error {
	if _, err := os.Stat(b.figures); err != nil {
		return nil //nolint:nilerr // not at the top of the checkout
	}
	return plot(b.results, b.figures)
}

// readerCommand is the sub-command of bench that reads all trace points.
const readerCommand = "read-all"

func benchReadAll() *cobra.Command {
	var events []string
	cmd := &cobra.Command{
		Use:    readerCommand + " DIR PID...",
		Short:  "Count trace points of processes in units until interrupted; the units are lines of JSON",
		Hidden: true,
		Args:   cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var pids []int
			for _, a := range args[1:] {
				pid, err := strconv.Atoi(a)
				if err != nil {
					return fmt.Errorf("process %q: %w", a, err)
				}
				pids = append(pids, pid)
			}
			signal.Ignore(syscall.SIGPIPE) // who listens may go: then the sessions are to be ended
			out := json.NewEncoder(cmd.OutOrStdout())
			return lab.ReadAll(cmd.Context(), events, pids, args[0], func(u lab.ReadUnit) error { return out.Encode(u) })
		},
	}
	cmd.Flags().StringSliceVar(&events, bench.ReaderEvents, nil, "the trace points, with their provider (default: all of QEMU's)")
	return cmd
}

func (a *app) benchImpact() *cobra.Command {
	var b benchFlags
	var run bench.ImpactRun
	cmd := &cobra.Command{
		Use:   "impact",
		Short: "Measure what observing costs a guest",
		Long: `impact has a guest do its utmost, one sort of work after the other, while it is observed in several ways, one after the other:
by virtsentryd as it is installed, by eBPF on QEMU's system calls, by all of QEMU's trace points, and by strace. The observation begins and ends again and again
meanwhile, and QEMU's CPU time and the time for a unit of work are compared in slices next to each other.
Each call adds rounds to the results: --rounds 0 only draws the figures. A round of one sort of work takes five times --each and some seconds.
A lab that is not up is made, and removed afterwards. QEMU has a CPU of its own meanwhile, where there are two.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			f, ok, err := bench.Read[bench.Impact](b.results, bench.ImpactName)
			if err != nil {
				return err
			}
			if run.Rounds == 0 {
				return b.draw(bench.PlotImpact)
			}
			if f, err = resume(&b, bench.ImpactName, f, ok); err != nil {
				return err
			}
			if b.short {
				run.Rounds, run.Each = 1, 4*time.Second
			}
			if run.Daemon, run.Reader, err = b.programs(); err != nil {
				return err
			}
			l, end, err := a.openOrUp(cmd.Context(), lab.Config{Guest: run.Guest, QEMU: b.qemu})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			if f.Result.QEMU, err = l.QEMUVersion(cmd.Context()); err != nil {
				return err
			}
			line := newStatusLine(cmd.ErrOrStderr())
			defer line.Close()
			a.log.SetOutput(line)
			defer a.log.SetOutput(cmd.ErrOrStderr())
			before := f.Result
			before.Workloads = append([]bench.ImpactWorkload(nil), before.Workloads...)
			for _, w := range before.Workloads {
				run.Done = max(run.Done, w.Rounds)
			}
			run.Begun = func(p lab.PriceProgress) { measureBegun(line, p) }
			run.Keep = func(w bench.ImpactWorkload) error {
				f.Result.Keep(before.Workload(w.Name), w)
				return bench.Write(b.results, f)
			}
			run.Lab = l
			if err := run.Measure(cmd.Context()); err != nil {
				return err
			}
			return b.draw(bench.PlotImpact)
		},
	}
	b.add(cmd)
	f := cmd.Flags()
	f.StringVar(&run.Guest, "guest", lab.DefaultGuest, "the guest")
	f.StringSliceVar(&run.Workloads, "work", nil, "the sorts of work: "+strings.Join(bench.ImpactWorkloads(), ", ")+" (default: all)")
	f.StringSliceVar(&run.Ways, "ways", nil, "the ways to observe: "+strings.Join(bench.ImpactArms, ", ")+" (default: all)")
	f.IntVar(&run.Rounds, "rounds", 1, "rounds to add")
	f.DurationVar(&run.Each, "each", 20*time.Second, "how long the guest works in each round for each way")
	cmd.MarkFlagsMutuallyExclusive("short", "rounds")
	cmd.MarkFlagsMutuallyExclusive("short", "each")
	return cmd
}
