package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

func replayCommand() *cobra.Command {
	var units, features string
	c := &cobra.Command{
		Use:   "replay TRACE --units OUT.csv",
		Short: "Cut a recorded trace into units",
		Long: "Cut a recorded CTF trace into units of two seconds and write them as a unit file: CSV with the header\n" +
			"start_ns,duration_ns,lost,<feature>... and a row for each unit, those without events included. TRACE is a directory; all traces\n" +
			"below it are counted together. What is no regular file, such as /dev/null or a pipe, is written to directly.",
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&units, "units", "", "`FILE` to write the units to, - for standard output (required)")
	c.Flags().StringVar(&features, "features", unit.Counts, "set of features: counts, a column for every event that occurs")
	_ = c.MarkFlagRequired("units") // it fails only for a flag that does not exist
	c.RunE = func(c *cobra.Command, args []string) error {
		if units == "-" {
			return unit.Replay(args[0], c.OutOrStdout(), features)
		}
		return unit.WriteFile(units, func(w io.Writer) error { return unit.Replay(args[0], w, features) })
	}
	return c
}
