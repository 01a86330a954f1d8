package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

func (a *app) benchUnits() *cobra.Command {
	var b benchFlags
	var run bench.UnitsRun
	cmd := &cobra.Command{
		Use:   "units",
		Short: "Measure what it takes to obtain one unit of up to eight guests",
		Long: `units measures the CPU time, and the time after a unit's end, that it takes to obtain one unit of one to eight guests at once (the paper's Fig. 5): by
virtsentryd, by all of QEMU's trace points, and by an strace for each guest. All guests run all the time and answer fifty pings a second.
CPU time is that of all processes that observe. Each call adds rounds to the results: --rounds 0 only draws the figures.
A lab that is not up is made, and removed afterwards. The guests are tiny ones of the measurement's own.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			f, ok, err := bench.Read[bench.Units](b.results, bench.UnitsName)
			if err != nil {
				return err
			}
			if run.Rounds == 0 {
				return b.draw(bench.PlotUnits)
			}
			if f, err = resume(&b, bench.UnitsName, f, ok); err != nil {
				return err
			}
			if b.short {
				run.Counts, run.Rounds, run.Units = []int{1, 2}, 1, 2
			}
			if len(run.Counts) == 0 || slices.Min(run.Counts) < 1 || slices.Max(run.Counts) > lab.TinyGuests {
				return fmt.Errorf("--guests: want numbers from 1 to %d", lab.TinyGuests)
			}
			if run.Daemon, run.Reader, err = b.programs(); err != nil {
				return err
			}
			l, end, err := a.openOrUp(cmd.Context(), lab.Config{QEMU: b.qemu, DefineOnly: true})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			var stop func() error
			if run.Guests, stop, err = tinyGuests(cmd.Context(), l, slices.Max(run.Counts)); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, stop()) }()
			if f.Result.QEMU, err = l.QEMUVersion(cmd.Context()); err != nil {
				return err
			}
			line := newStatusLine(cmd.ErrOrStderr())
			defer line.Close()
			a.log.SetOutput(line)
			defer a.log.SetOutput(cmd.ErrOrStderr())
			run.Done = f.Result.Rounds()
			run.Begun = func(p lab.PriceProgress) { measureBegun(line, p) }
			var round []bench.UnitsTrial // kept when it is whole
			run.Keep = func(t bench.UnitsTrial) error {
				if round = append(round, t); len(round) < len(run.Counts)*len(bench.UnitsWays) {
					return nil
				}
				f.Result.Trials, round = append(f.Result.Trials, round...), nil
				return bench.Write(b.results, f)
			}
			run.Lab = l
			if err := run.Measure(cmd.Context()); err != nil {
				return err
			}
			return b.draw(bench.PlotUnits)
		},
	}
	b.add(cmd)
	f := cmd.Flags()
	f.IntSliceVar(&run.Counts, "guests", []int{1, 2, 3, 4, 6, 8}, "how many guests are observed at once, one after the other")
	f.IntVar(&run.Rounds, "rounds", 3, "rounds to add")
	f.IntVar(&run.Units, "units", 5, "units of each measurement")
	cmd.MarkFlagsMutuallyExclusive("short", "rounds")
	cmd.MarkFlagsMutuallyExclusive("short", "units")
	return cmd
}

// tinyGuests starts so many tiny guests and waits until they answer. end ends them.
func tinyGuests(ctx context.Context, l *lab.Lab, n int) (guests []lab.TinyGuest, end func() error, err error) {
	end = func() (err error) {
		for _, g := range guests {
			err = errors.Join(err, l.StopTiny(g))
		}
		return err
	}
	for i := range n {
		g, err := l.StartTiny(ctx, i+1)
		if err != nil {
			return nil, nil, errors.Join(err, end())
		}
		guests = append(guests, g)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for _, g := range guests {
		for {
			conn, err := l.DialContext(ctx, "tcp", net.JoinHostPort(g.Addr.String(), "80"))
			if err == nil {
				_ = conn.Close()
				break
			}
			if ctx.Err() != nil {
				return nil, nil, errors.Join(fmt.Errorf("guest %s does not answer: %w", g.Name, err), end())
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	return guests, end, nil
}
