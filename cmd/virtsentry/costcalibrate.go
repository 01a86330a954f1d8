package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	// labProgram brings up guests whose work can be counted. It is not in the packages: it comes with the sources.
	labProgram = "virtsentry-lab"
	// labEnds is how long the lab may take to remove its guest when it is interrupted.
	labEnds = 3 * time.Minute
)

var errNoLab = errors.New("cost: calibrating takes virtsentry-lab, which has a guest do work that can be counted; it is neither beside this program nor in PATH, " +
	"nor in the packages: in a checkout of the sources, run `make lab-deps build`, then bin/virtsentry cost calibrate")

func costCalibrate(f *costFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "calibrate [-- FLAG...]",
		Short: "Measure on this host what events cost a guest, and keep the calibration",
		Long: "Have virtsentry-lab observe a guest of its own that does its utmost on this host, by each source and by combinations of them, and fit the calibration\n" +
			"to that: cost calibrate of the lab, then cost fit. It takes about an hour, in which nothing else should run on the host; root is needed.\n\n" +
			"Each observation is kept when it is made: called again with the same file, it goes on where it was. Flags after -- are the lab's\n" +
			"(virtsentry-lab cost calibrate --help).",
		Args: cobra.ArbitraryArgs, // the lab's
	}
	observations := c.Flags().String("observations", "", "`FILE` of the observations (default: observations.jsonl beside the calibration)")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, flags []string) error {
		program, err := findLab()
		if err != nil {
			return err
		}
		if *observations == "" {
			*observations = filepath.Join(filepath.Dir(f.calibration), "observations.jsonl")
		}
		lab := exec.CommandContext(c.Context(), program, append([]string{"cost", "calibrate", "--output", *observations}, flags...)...)
		lab.Stdout, lab.Stderr = c.ErrOrStderr(), c.ErrOrStderr()
		lab.Cancel = func() error { return lab.Process.Signal(syscall.SIGINT) } // it removes its guest first
		lab.WaitDelay = labEnds
		switch err := lab.Run(); {
		case err != nil && c.Context().Err() != nil:
			return errInterrupted
		case err != nil:
			return fmt.Errorf("cost: %s: %w; what was observed is in %s, and the same command goes on from there", labProgram, err, *observations)
		}
		return f.fit(c.OutOrStdout(), *observations, *format)
	}
	return c
}

// findLab looks beside this program, then in PATH.
func findLab() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cost: find this program: %w", err)
	}
	for _, name := range []string{filepath.Join(filepath.Dir(self), labProgram), labProgram} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoLab
}
