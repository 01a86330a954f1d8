package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

func (a *app) benchAlarm() *cobra.Command {
	run := bench.AlarmRun{}
	results, short := benchDir, false
	cmd := &cobra.Command{
		Use:   "alarm",
		Short: "Measure how soon a libvirt client hears of a scan and of a flood",
		Long: `alarm has virtsentryd learn a guest of the lab under normal load, then scans and floods it, in turns, at the lab's own rates, and takes
the time from the first packet on the guest's tap device to METADATA_CHANGE with the state "anomalous" at a libvirt client. It takes a quarter of an hour;
with a profile kept by --profiles ten minutes, and --short some three.

A lab that is not up is made, and removed afterwards.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if short {
				run.Times, run.Units = 1, 30
			}
			if run.Times < 1 || run.Units < 30 {
				return errors.New("--times must be 1 or more, --units 30 or more")
			}
			if run.Daemon, err = daemonBeside(run.Daemon); err != nil {
				return err
			}
			if run.Profiles != "" {
				if run.Profiles, err = filepath.Abs(run.Profiles); err != nil {
					return err
				}
			}
			machine, err := bench.ThisMachine()
			if err != nil {
				return err
			}
			run.Guest = lab.DefaultGuest
			var end func() error
			if run.Lab, end, err = a.openOrUp(cmd.Context(), lab.Config{Guest: run.Guest}); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			line := newStatusLine(cmd.ErrOrStderr())
			defer line.Close()
			a.log.SetOutput(line)
			defer a.log.SetOutput(cmd.ErrOrStderr())
			run.Report = func(what string) { line.Show(func(time.Time) string { return what }) }
			f := bench.File[bench.Alarms]{Name: bench.AlarmName, Begin: time.Now().UTC().Truncate(time.Second), Machine: machine, Short: short}
			if f.Result, err = run.Measure(cmd.Context()); err != nil {
				return err
			}
			line.Show(nil)
			if err := bench.Write(results, f); err != nil {
				return err
			}
			text, _, err := bench.AlarmSection(results)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&results, "results", results, "directory of the results")
	f.BoolVar(&short, "short", false, "one attack of each kind, with a profile of few units: shows that all of it works")
	f.IntVar(&run.Times, "times", 10, "times of each attack")
	f.DurationVar(&run.Within, "within", 0, "attack less often than --times where it would take longer than this, learning counted (default: no limit)")
	f.IntVar(&run.Units, "units", 90, "units to learn the guest from")
	f.StringVar(&run.Daemon, "daemon", "", "virtsentryd (default: the one beside this program)")
	f.StringVar(&run.Profiles, "profiles", "", "directory in which the guest's profile is kept; one that is there is used")
	cmd.MarkFlagsMutuallyExclusive("short", "times")
	cmd.MarkFlagsMutuallyExclusive("short", "units")
	return cmd
}

// daemonBeside finds virtsentryd, where none is named beside this program.
func daemonBeside(path string) (string, error) {
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find virtsentryd: %w", err)
		}
		path = filepath.Join(filepath.Dir(self), "virtsentryd")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find virtsentryd: %w: build it (make), or name it with --daemon", err)
	}
	return filepath.Abs(path)
}
