package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench"
)

func benchDecode() *cobra.Command {
	run := bench.DecodeRun{Source: "testdata/dense", Share: 1}
	results, short := benchDir, false
	cmd := &cobra.Command{
		Use:   "decode [SHORT LONG]...",
		Short: "Compare how fast virtsentry and babeltrace2 read traces",
		Long: `decode records two kinds of traces with LTTng-UST, one as of a QEMU and one with texts, arrays and sequences, each of 0.36 and of 3.6 million events,
and takes the CPU time of "virtsentry replay" and of babeltrace2's counter sink for them, in turns. It takes some minutes, root and 400 MB below $TMPDIR. The session
daemon is one of its own, in a mount namespace. SHORT and LONG are directories of traces to be read besides.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args)%2 != 0 {
				return errors.New("traces come in pairs: a short one and a longer one")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if short {
				run.Rounds, run.Share = 1, 10
			}
			if run.Rounds < 1 {
				return errors.New("--rounds must be 1 or more")
			}
			for i := 0; i < len(args); i += 2 {
				run.Pairs = append(run.Pairs, [2]string{filepath.Clean(args[i]), filepath.Clean(args[i+1])})
			}
			if run.Virtsentry == "" {
				self, err := os.Executable()
				if err != nil {
					return err
				}
				run.Virtsentry = filepath.Join(filepath.Dir(self), "virtsentry")
			}
			machine, err := bench.ThisMachine()
			if err != nil {
				return err
			}
			line := newStatusLine(cmd.ErrOrStderr())
			defer line.Close()
			run.Report = func(what string) { line.Show(func(time.Time) string { return what }) }
			f := bench.File[bench.Decode]{Name: bench.DecodeName, Begin: time.Now().UTC().Truncate(time.Second), Machine: machine, Short: short}
			if f.Result, err = run.Measure(cmd.Context()); err != nil {
				return err
			}
			line.Show(nil)
			if err := bench.Write(results, f); err != nil {
				return err
			}
			text, _, err := bench.DecodeSection(results)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&results, "results", results, "directory of the results")
	f.BoolVar(&short, "short", false, "one round with traces of a tenth: shows that all of it works")
	f.IntVar(&run.Rounds, "rounds", 11, "times that each trace is read by each reader")
	f.StringVar(&run.Virtsentry, "virtsentry", "", "the command (default: the one beside this program)")
	return cmd
}
