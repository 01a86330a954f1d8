package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// acceptedLoss is by how much the share of an attack's units that are found may fall, unless an operator says otherwise: what chance makes of so many
// units.
const acceptedLoss = 0.05

func relearnCommand(client func() *control.Client) *cobra.Command {
	var from, to string
	var request control.RelearnRequest
	c := &cobra.Command{
		Use:   "relearn DOMAIN (--from TIME [--to TIME] | --incident NUMBER|ID|last)",
		Short: "Mark a span of units as normal, and learn the profile again with them",
		Long: "Mark a span of units as normal, and learn the profile again from them and the units that it was learnt from. Use it when what was said to\n" +
			"be unusual is not. The new profile is in force at once; the old one is kept for profile rollback. The daemon remembers an hour of units, and\n" +
			"takes those that lie wholly in the span, are full and lost no events.\n\n" +
			"Before, both profiles judge the same units: those that the old one was learnt from, those of the span, what else is remembered, and the first\n" +
			"with what eight attacks add at a weak rate. Where the new one would find too much less of an attack, it is not put in force.\n\n" +
			"TIME is one of RFC 3339 (2026-05-04T12:00:00Z) or so long ago (-15m). NUMBER is one of virtsentry incidents DOMAIN;\n" +
			"ID one of virtsentry incidents list, whose units are taken from what is kept with it where the daemon does not remember them.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: domainNames(client, 1),
	}
	flags := c.Flags()
	flags.StringVar(&from, "from", "", "`TIME` at which the span begins")
	flags.StringVar(&to, "to", "-0s", "`TIME` at which it ends (default: now)")
	c.Flag("to").DefValue = ""
	flags.StringVar(&request.Incident, "incident", "", "`NUMBER` or ID of the anomaly that was none, or last: the span from its first to its last anomalous unit")
	flags.BoolVar(&request.DryRun, "dry-run", false, "only show what would come of it")
	flags.Float64Var(&request.AcceptLoss, "accept-loss", acceptedLoss, "`SHARE` of an attack's units that may be found no more (1: put the profile in force whatever it loses)")
	c.MarkFlagsOneRequired("from", "incident")
	c.MarkFlagsMutuallyExclusive("from", "incident")
	c.MarkFlagsMutuallyExclusive("to", "incident")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if request.Incident == "" {
			var err error
			if request.From, err = instant(from, now()); err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			if request.To, err = instant(to, now()); err != nil {
				return fmt.Errorf("--to: %w", err)
			}
		}
		r, err := client().Relearn(c.Context(), args[0], request)
		if err != nil {
			return err
		}
		return errors.Join(writeRelearnt(c.OutOrStdout(), *format, r), refusal(r))
	}
	return c
}

// refusal says why a profile was not put in force; nil: it was, or was not meant to be.
func refusal(r control.Relearnt) error {
	if len(r.Lost) == 0 {
		return nil
	}
	var lost []string
	for _, name := range r.Lost {
		for _, a := range r.Effect.Attacks {
			if a.Name == name {
				name = fmt.Sprintf("%s (%s of its units before, %s after)", name, percent(a.Before), percent(a.After))
			}
		}
		lost = append(lost, name)
	}
	return fmt.Errorf("%w: the new profile would miss more of %s; it is not in force, and nothing was changed (--accept-loss allows for more)",
		control.ErrRefused, strings.Join(lost, ", "))
}

// writeRelearnt says what the new profile is, and what it does better and worse.
func writeRelearnt(w io.Writer, format output, r control.Relearnt) error {
	if format == "json" {
		return writeJSON(w, r)
	}
	p := r.Profile
	switch {
	case r.DryRun || len(r.Lost) > 0:
		_, _ = fmt.Fprintf(w, "%s: not relearnt: it would be a profile of %d units\n", oneLine(label(p)), p.Units)
	default:
		if err := writeOutcome(w, format, "relearnt", p); err != nil {
			return err
		}
	}
	e := r.Effect
	table := [][]string{{"UNITS", "NUMBER", "FLAGGED BEFORE", "AFTER"}}
	for _, row := range []struct {
		name string
		v    control.Verdicts
	}{{"marked as normal", e.Marked}, {"learnt from before", e.Reference}, {"remembered besides", e.Remembered}} {
		table = append(table, []string{row.name, fmt.Sprint(row.v.Units), flagged(row.v.Before, row.v.Units), flagged(row.v.After, row.v.Units)})
	}
	attacks := [][]string{{"ATTACK", "FOUND BEFORE", "AFTER", "AFTER, BESIDE MARKED UNITS"}}
	for _, a := range e.Attacks {
		row := []string{a.Name, percent(a.Before), percent(a.After), percent(a.Marked)}
		if !a.Simulated {
			row = []string{a.Name, "not known", "not known", "not known: the feature set shows too little of it"}
		}
		attacks = append(attacks, row)
	}
	for _, t := range [][][]string{table, attacks} {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := tableOf(w, t); err != nil {
			return err
		}
	}
	if n := e.Remembered.Before - e.Remembered.After; n > 0 {
		_, _ = fmt.Fprintf(w, "\n%d flagged units outside of the span would not be flagged any more: see whether they were normal, too.\n", n)
	}
	_, err := fmt.Fprintf(w, "\nTo the first profile, of %s, %s of the units that this one is learnt from are as unusual as %s were then, and %s are anomalous.\n",
		day(r.First.Created), percent(r.First.Unusual), percent(0.1), percent(r.First.Anomalous))
	return err
}

// flagged is a number of units with its share.
func flagged(n, of int) string {
	if n == 0 || of == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", n, percent(float64(n)/float64(of)))
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
