package main

import (
	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/lttng/ctf/compare"
)

func compareCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compare TRACE...",
		Short: "Compare how virtsentry and babeltrace2 read traces, event for event and field for field",
		Long: `compare reads each trace, a directory, with virtsentry's CTF reader and with babeltrace2, and
compares every event with all its fields, and what either says of discarded events. It fails at
the first trace that differs, after its first differences were printed.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, traces []string) error {
			for _, t := range traces {
				if err := compare.Run(t, cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
