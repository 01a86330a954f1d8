package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
)

// Parts of `bench scale`.
const (
	partAll     = "all"
	partPlayers = "players"
	partGuests  = "guests"
)

// benchScale is the command `bench scale`.
func (a *app) benchScale() *cobra.Command {
	results, figures, part, short := benchDir, "lttng/figures", partAll, false
	players := bench.ScaleConfig{
		Checkout: ".", Warm: 8 * time.Second, Run: 30 * time.Second, Churn: 20 * time.Second,
		Steps: []bench.ScaleStep{
			{Domains: 1, Load: "web"}, {Domains: 10, Load: "web"}, {Domains: 50, Load: "web"}, {Domains: 100, Load: "web"}, {Domains: 300, Load: "web"},
			{Domains: 100, Load: "still"}, {Domains: 100, Load: "busy"},
		},
	}
	var domains []int
	guests := bench.GuestsConfig{Checkout: ".", LabDir: "/run/virtsentry-lab-bench", Guests: []int{20, 10, 5, 1}, Run: 30 * time.Second, Log: a.log}
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "What the daemons take, with one domain to 300",
		Long: `scale measures what LTTng's daemons and virtsentryd take with more and more domains, how soon units are judged, and what is lost. Its
domains are players: processes of a generator that hit QEMU's trace points as QEMU does; and then real guests, under a libvirtd of their
own. It runs in namespaces of its own: the host's session daemon and libvirtd see nothing of it. A part of it keeps what was found of
the other part.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if part != partAll && part != partPlayers && part != partGuests {
				return fmt.Errorf("--part %s: want %s, %s or %s", part, partAll, partPlayers, partGuests)
			}
			return bench.Private(c.Context(), func(ctx context.Context) error {
				file, err := scaleFile(results, part, short)
				if err != nil {
					return err
				}
				if short {
					players.Warm, players.Run, players.Churn = 4*time.Second, 8*time.Second, 6*time.Second
					players.Steps = []bench.ScaleStep{{Domains: 1, Load: "web"}, {Domains: 10, Load: "web"}, {Domains: 10, Load: "busy"}}
					guests.Guests, guests.Run = []int{2, 1}, 8*time.Second
				}
				if len(domains) > 0 {
					players.Steps = nil
				}
				for _, n := range domains {
					players.Steps = append(players.Steps, bench.ScaleStep{Domains: n, Load: "web"})
				}
				line := newStatusLine(os.Stderr)
				defer line.Close()
				report := func(text string) { line.Show(func(time.Time) string { return text }) }
				if part != partGuests {
					players.Report, players.Daemon = report, guests.Daemon
					if players.Dir, err = os.MkdirTemp("/run", "bench-players-"); err != nil {
						return err
					}
					if file.Result.Players, file.Result.Program, err = bench.RunPlayers(ctx, players); err != nil {
						return err
					}
				}
				if part != partPlayers {
					guests.Report = report
					if guests.Dir, err = os.MkdirTemp("/run", "bench-guests-"); err != nil {
						return err
					}
					if file.Result.Guests, err = bench.RunGuests(ctx, guests); err != nil {
						return err
					}
				}
				if err := bench.Write(results, file); err != nil {
					return err
				}
				return bench.DrawScale(file.Result, figures)
			})
		},
	}
	if exe, err := os.Executable(); err == nil {
		guests.Daemon = filepath.Join(filepath.Dir(exe), "virtsentryd")
	}
	cmd.Flags().StringVar(&results, "results", results, "directory of the results")
	cmd.Flags().StringVar(&figures, "figures", figures, "directory of the figures")
	cmd.Flags().StringVar(&part, "part", part, "what to measure: players, guests or all")
	cmd.Flags().StringVar(&guests.Daemon, "daemon", guests.Daemon, "virtsentryd")
	cmd.Flags().IntSliceVar(&domains, "domains", nil, "only so many players, with web load")
	cmd.Flags().BoolVar(&short, "short", false, "some minutes only, to see that all of it works")
	return cmd
}

// scaleFile is a new file of results, with those of the part that is not measured.
func scaleFile(results, part string, short bool) (bench.File[bench.Scale], error) {
	file := bench.File[bench.Scale]{Name: bench.ScaleName, Begin: time.Now().UTC(), Short: short}
	var err error
	if file.Machine, err = bench.ThisMachine(); err != nil || part == partAll {
		return file, err
	}
	old, ok, err := bench.Read[bench.Scale](results, bench.ScaleName)
	if err != nil || !ok {
		return file, err
	}
	if old.Short != short || old.Machine != file.Machine {
		return file, errors.New("what was kept of the other part is of another machine, or of another length (--short): measure --part all")
	}
	file.Result = old.Result
	return file, nil
}
