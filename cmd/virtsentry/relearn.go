package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

func relearnCommand(client func() *control.Client) *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use:   "relearn DOMAIN --from TIME [--to TIME]",
		Short: "Mark a span of units as normal, and learn the profile again with them",
		Long: "Mark a span of units as normal, and learn the profile again from them and the units that it was learnt from. Use it when what was said to\n" +
			"be unusual is not. The new profile is in force at once; the old one is kept for profile rollback. The daemon remembers an hour of units, and\n" +
			"takes those that lie wholly in the span, are full and lost no events.\n\n" +
			"TIME is one of RFC 3339 (2026-05-04T12:00:00Z) or so long ago (-15m).",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: domainNames(client, 1),
	}
	c.Flags().StringVar(&from, "from", "", "`TIME` at which the span begins (required)")
	c.Flags().StringVar(&to, "to", "-0s", "`TIME` at which it ends (default: now)")
	c.Flag("to").DefValue = ""
	_ = c.MarkFlagRequired("from") // it fails only for a flag that does not exist
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		begin, err := instant(from, now())
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		end, err := instant(to, now())
		if err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		p, err := client().Relearn(c.Context(), args[0], begin, end)
		if err != nil {
			return err
		}
		return writeOutcome(c.OutOrStdout(), *format, "relearnt", p)
	}
	return c
}

// instant reads a time as an operator writes it.
func instant(s string, now time.Time) (time.Time, error) {
	if strings.HasPrefix(s, "-") {
		if d, err := time.ParseDuration(s); err == nil {
			return now.Add(d), nil
		}
	} else if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is neither a time like 2026-05-04T12:00:00Z nor one so long ago like -15m", s)
}
