package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Look at the daemon's configuration",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a configuration and its drop-ins, or ok",
		Long: "Say what is wrong with a configuration and its drop-ins, or ok. FILE is " + config.DefaultFile + " where none is given; that one need\n" +
			"not be there.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, optional := config.DefaultFile, true
			if len(args) == 1 {
				file, optional = args[0], false
			}
			if _, err := config.Read(file, optional); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), "ok")
			return err
		},
	})
	return c
}
