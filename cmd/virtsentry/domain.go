package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

func watchCommand(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "watch [DOMAIN]",
		Short: "Show every unit as it is judged, until interrupted",
		Args:  cobra.MaximumNArgs(1), ValidArgsFunction: domainNames(client, 1),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		uuid := ""
		if len(args) == 1 {
			d, err := client().Domain(c.Context(), args[0])
			if err != nil {
				return err
			}
			uuid = d.UUID
		}
		w := c.OutOrStdout()
		if *format == "table" {
			if _, err := fmt.Fprintf(w, "%-8s  %-16s %-10s %8s %8s %6s  %s\n", "TIME", "DOMAIN", "STATE", "SCORE", "P-VALUE", "LOST", "WHAT"); err != nil {
				return err
			}
		}
		return client().Units(c.Context(), func(u control.UnitReport) error {
			switch {
			case uuid != "" && u.Domain != uuid:
				return nil
			case *format == "json":
				return json.NewEncoder(w).Encode(u)
			}
			return writeUnit(w, u)
		})
	}
	return c
}

func writeUnit(w io.Writer, u control.UnitReport) error {
	score, p := "-", "-"
	if u.Judged {
		score, p = fmt.Sprintf("%.2f", u.Score), fmt.Sprintf("%.3f", u.PValue)
	}
	line := fmt.Sprintf("%-8s  %-16s %-10s %8s %8s %6d  %s", clock(u.Start), oneLine(u.Name), u.State, score, p, u.Lost, oneLine(u.Sentence))
	_, err := fmt.Fprintln(w, strings.TrimRight(line, " "))
	return err
}

func explainCommand(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "explain DOMAIN",
		Short: "Say what was unusual in the newest anomalous unit",
		Args:  cobra.ExactArgs(1), ValidArgsFunction: domainNames(client, 1),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		d, err := client().Domain(c.Context(), args[0])
		w := c.OutOrStdout()
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(w, d.Alarm)
		case d.Alarm == nil:
			_, err = fmt.Fprintf(w, "%s: no unit has been anomalous since the daemon attached; state %s, %d units judged\n", oneLine(d.Name), d.State, d.Units.Judged)
			return err
		}
		return writeExplanation(w, d)
	}
	return c
}

func writeExplanation(w io.Writer, d control.DomainStatus) error {
	u := d.Alarm
	_, _ = fmt.Fprintf(w, "%s is %s. Newest anomalous unit: %s, score %.2f, p-value %.3f.\n", oneLine(d.Name), d.State, clock(u.Start), u.Score, u.PValue)
	if u.Lost > 0 {
		_, _ = fmt.Fprintf(w, "Up to %d events were lost in it: its counts are lower bounds.\n", u.Lost)
	}
	_, _ = fmt.Fprintf(w, "%s\n\n", oneLine(u.Sentence))
	return writeVariables(w, u.Explain)
}

func writeVariables(w io.Writer, list []control.Variable) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SUBSYSTEM\tFEATURE\tSECONDS\tOBSERVED\tUSUAL\tDEVIATION\tMEANING")
	for _, v := range list {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%.0f\t%.0f\t%.0f to %.0f\t%+.1f\t%s\n", v.Subsystem, v.Feature, v.Seconds, v.Observed, v.UsualLow, v.UsualHigh, v.Deviation, v.Words)
	}
	return t.Flush()
}

func learnCommand(client func() *control.Client) *cobra.Command {
	var units int
	c := &cobra.Command{
		Use:   "learn DOMAIN",
		Short: "Learn a domain's profile anew, from the units to come",
		Long: "Learn a domain's profile anew, from the units to come. Use it when the domain does what is normal for it. The old profile is out of\n" +
			"force at once; virtsentry profile rollback puts it back.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: domainNames(client, 1),
	}
	c.Flags().IntVarP(&units, "units", "n", 0, "so many units of two seconds (default: learning.units of the daemon)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := client().Learn(c.Context(), args[0], units); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s: learning\n", oneLine(args[0]))
		return err
	}
	return c
}
