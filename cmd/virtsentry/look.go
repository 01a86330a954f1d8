package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// mostLook is the longest that an action may be asked for; the daemon's configuration may allow less.
const mostLook = time.Hour

func lookCommand(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "look",
		Short: "Look at a domain more closely, for a while and at a price that is known before",
		Long: "Look at a domain more closely. An action observes more of a domain than it is judged by, for a bounded time, and ends by itself, also when the\n" +
			"daemon dies. What it costs the guest is predicted beforehand; one that would break the domain's budget is refused or shortened, and one that\n" +
			"turns out dearer is stopped ([actions] of the configuration, and overhead-percent of the domain's policy element). The domain is judged\n" +
			"meanwhile as ever, but for guest-syscalls, which stops the guest again and again.\n\n" +
			"ID is what list shows, or as much of it as is unique.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(lookActions(client), lookStart(client), lookList(client), lookShow(client), lookStop(client))
	return c
}

func lookActions(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use: "actions DOMAIN", Short: "List what a domain can be looked at by: at what price, and why something cannot run",
		Args: cobra.ExactArgs(1), ValidArgsFunction: domainNames(client, 1),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o, err := client().ActionOptions(c.Context(), args[0])
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), o)
		}
		return writeOptions(c.OutOrStdout(), o)
	}
	return c
}

func writeOptions(w io.Writer, o control.ActionOptions) error {
	lines := [][]string{{"ACTION", "PRICE", "WHAT"}}
	for _, a := range o.Options {
		price, words := priceWords(a.Price), oneLine(a.Words)
		switch {
		case a.Running != "":
			price = "runs: " + oneLine(a.Running)
		case a.WhyNot != "":
			price, words = "not here", oneLine(a.WhyNot)
		}
		lines = append(lines, []string{oneLine(a.Name), price, words})
	}
	if err := tableOf(w, lines); err != nil {
		return err
	}
	limit := "no limit"
	if o.Budget != nil {
		limit = fmt.Sprintf("%.1f %% of its speed", 100**o.Budget)
		if o.Unpriced {
			limit += ", but for actions of which the price is not known"
		}
	}
	if o.Left != nil {
		limit += fmt.Sprintf("; %.1f s of its time are left within this hour", *o.Left)
	}
	_, err := fmt.Fprintf(w, "\nbudget of %s: %s. An action takes %s, at most %s.\n", oneLine(o.Name), limit, seconds(o.Usual), seconds(o.Longest))
	return err
}

// priceWords say a price: "3.1 % (1.9 to 4.6 %)".
func priceWords(p control.ActionPrice) string {
	if !p.Known {
		return "unknown"
	}
	return fmt.Sprintf("%.1f %% (%.1f to %.1f %%)", 100*p.Slowdown, 100*p.Low, 100*p.High)
}

// seconds is a time in whole seconds, as --for takes it.
func seconds(s float64) string { return (time.Duration(s) * time.Second).String() }

func lookStart(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use: "start DOMAIN ACTION[,ACTION...]", Short: "Begin an action, which ends by itself",
		Args: cobra.ExactArgs(2),
	}
	c.ValidArgsFunction = func(c *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return names(2, possibleActions(client, args[0], start))(c, args, start)
		}
		return domainNames(client, 1)(c, args, start)
	}
	length := c.Flags().Duration("for", 0, "so long, 4s to 1h (0: as long as is usual, actions.duration)")
	dry := c.Flags().Bool("dry-run", false, "begin nothing: say at what price it would run, or why it would be refused")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		wanted := strings.Split(args[1], ",")
		switch {
		case args[1] == "":
			return errors.New("look: no action is named (virtsentry look actions DOMAIN lists them)")
		case slices.Contains(wanted, ""):
			return fmt.Errorf("look: %q: one of the names is empty", args[1])
		case *length < 0 || *length > mostLook:
			return fmt.Errorf("look: --for %v: want at most %v", *length, mostLook)
		}
		a, err := client().StartAction(c.Context(), args[0], control.ActionRequest{Actions: wanted, Seconds: length.Seconds(), DryRun: *dry})
		switch {
		case err != nil:
			return err
		case *dry && a.State == control.ActionRefused:
			return fmt.Errorf("look: %w: %s", control.ErrRefused, oneLine(a.Why))
		case *format == "json":
			return writeJSON(c.OutOrStdout(), a)
		}
		shortened := ""
		if a.Wanted > a.Seconds {
			shortened = fmt.Sprintf(" (instead of %s)", seconds(a.Wanted))
		}
		verb, next := "runs", ": virtsentry look show "+oneLine(a.ID)
		if *dry {
			verb, next = "would run", ""
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s %s for %s%s, price %s%s\n",
			oneLine(a.Name), oneLine(strings.Join(a.Actions, ", ")), verb, seconds(a.Seconds), shortened, priceWords(a.Price), next)
		return err
	}
	return c
}

// possibleActions completes a list of actions, of which some may be written already.
func possibleActions(client func() *control.Client, ref, start string) func(context.Context) []string {
	return func(ctx context.Context) (list []string) {
		written := start[:strings.LastIndexByte(start, ',')+1]
		o, _ := client().ActionOptions(ctx, ref) // without a daemon there is nothing to offer
		for _, a := range o.Options {
			if a.WhyNot == "" && a.Running == "" && !slices.Contains(strings.Split(written, ","), a.Name) {
				list = append(list, written+a.Name)
			}
		}
		return list
	}
}

func lookList(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List actions that run and that ended of late, the newest first", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		list, err := client().ListActions(c.Context())
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), list)
		case len(list) == 0:
			_, err := fmt.Fprintln(c.OutOrStdout(), "no action was started")
			return err
		}
		lines := [][]string{{"ID", "DOMAIN", "ACTIONS", "STATE", "ASKED", "PRICE", "MEASURED", "HITS"}}
		for _, a := range list {
			lines = append(lines, []string{
				oneLine(a.ID), oneLine(a.Name), oneLine(strings.Join(a.Actions, ",")), actionState(a), moment(a.Asked), priceWords(a.Price), priceWords(a.Measured), fmt.Sprint(a.Hits),
			})
		}
		return tableOf(c.OutOrStdout(), lines)
	}
	return c
}

// actionState is an action's state in short, with the time that is left.
func actionState(a control.Action) string {
	switch {
	case a.State == control.ActionRunning:
		return fmt.Sprintf("running, %s left", max(0, a.Until.Sub(now())).Round(time.Second))
	case a.Code != "":
		return oneLine(a.Code)
	}
	return oneLine(a.State)
}

func lookShow(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use: "show ID", Short: "Show what an action has seen: hits in all, and by unit beside the domain's score and state",
		Args: cobra.ExactArgs(1), ValidArgsFunction: actionIDs(client),
	}
	format := outputFlag(c)
	var file string
	var most int
	var each bool
	c.Flags().StringVar(&file, "units", "", "write its units to `FILE` instead, as a unit file that eval and replay read; - for standard output")
	c.Flags().BoolVar(&each, "each", false, "write the events that were seen one by one instead, the newest thousands: the guest's system calls with the registers of their arguments")
	c.MarkFlagsMutuallyExclusive("units", "each")
	c.Flags().IntVarP(&most, "number", "n", 20, "so many of what was hit most (0: all)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if file != "" {
			return lookUnits(c, client(), args[0], file)
		}
		if each {
			return lookEach(c, client(), args[0], *format)
		}
		a, err := client().Action(c.Context(), args[0])
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), a)
		}
		return writeLook(c.OutOrStdout(), a, most)
	}
	return c
}

// lookEach writes an action's events, by the time of day.
func lookEach(c *cobra.Command, client *control.Client, id string, format output) error {
	units, err := client.ActionUnits(c.Context(), id)
	if err != nil {
		return err
	}
	var events []control.ActionEvent
	for _, u := range units {
		events = append(events, u.Events...)
	}
	if len(events) == 0 {
		return fmt.Errorf("look: action %s has seen no event by itself: guest-syscalls does, all else counts", oneLine(id))
	}
	if format == "json" {
		return writeJSON(c.OutOrStdout(), events)
	}
	w := bufio.NewWriter(c.OutOrStdout())
	for _, e := range events {
		_, _ = fmt.Fprintf(w, "%s %s\n", e.At.Local().Format("15:04:05.000000"), oneLine(e.What))
	}
	return w.Flush()
}

func lookUnits(c *cobra.Command, client *control.Client, id, file string) error {
	units, err := client.ActionUnits(c.Context(), id)
	if err != nil {
		return err
	}
	var got gathered
	for _, u := range units {
		got.add(control.UnitReport{Start: u.Start, Duration: u.Duration, Lost: u.Lost, Counts: u.Counts})
	}
	if len(got.units) == 0 {
		return fmt.Errorf("look: action %s has no units (virtsentry look show %s says why)", oneLine(id), oneLine(id))
	}
	return writeUnits(file, c.OutOrStdout(), func(w io.Writer) error { return unit.Write(w, got.file()) })
}

func writeLook(w io.Writer, a control.Action, most int) error {
	_, _ = fmt.Fprintf(w, "%s: %s of %s, %s\n", oneLine(a.ID), oneLine(strings.Join(a.Actions, ", ")), oneLine(a.Name), actionState(a))
	if a.Why != "" {
		_, _ = fmt.Fprintf(w, "%s\n", oneLine(a.Why))
	}
	if a.State == control.ActionRefused {
		return nil
	}
	budget := ""
	if a.Budget != nil {
		budget = fmt.Sprintf(", budget %.1f %%", 100**a.Budget)
	}
	_, _ = fmt.Fprintf(w, "price: predicted %s, measured %s%s\n", priceWords(a.Price), priceWords(a.Measured), budget)
	_, _ = fmt.Fprintf(w, "from %s to %s: %d units, %d hits, %d events lost at most\n", moment(a.Started), moment(a.Until), a.Units, a.Hits, a.Lost)
	if len(a.Totals) == 0 && len(a.Line) == 0 {
		return nil
	}
	shown := a.Totals
	if most > 0 {
		shown = shown[:min(most, len(shown))]
	}
	_, _ = fmt.Fprintln(w)
	lines := [][]string{{"HITS", "FEATURE", "WHAT"}}
	for _, t := range shown {
		lines = append(lines, []string{fmt.Sprint(t.Hits), oneLine(t.Feature), oneLine(t.Words)})
	}
	if err := tableOf(w, lines); err != nil {
		return err
	}
	if rest := len(a.Totals) - len(shown); rest > 0 {
		_, _ = fmt.Fprintf(w, "… and %d more (-n 0)\n", rest)
	}
	_, _ = fmt.Fprintln(w)
	lines = [][]string{{"UNIT", "HITS", "LOST", "STATE", "SCORE", "P-VALUE", "MOST"}}
	for _, u := range a.Line {
		score, p := "-", "-"
		if u.Judged {
			score, p = fmt.Sprintf("%.4g", u.Score), fmt.Sprintf("%.3g", u.PValue)
		}
		lines = append(lines, []string{moment(u.Start), fmt.Sprint(u.Hits), fmt.Sprint(u.Lost), orDash(oneLine(u.State)), score, p, topWords(u.Top)})
	}
	return tableOf(w, lines)
}

// topWords are the three features that were hit most.
func topWords(top []control.Tally) string {
	var list []string
	for _, t := range top[:min(3, len(top))] {
		list = append(list, fmt.Sprintf("%s %d", oneLine(t.Feature), t.Hits))
	}
	return orDash(strings.Join(list, ", "))
}

func lookStop(client func() *control.Client) *cobra.Command {
	return &cobra.Command{
		Use: "stop ID", Short: "End an action now", Args: cobra.ExactArgs(1), ValidArgsFunction: actionIDs(client),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := client().StopAction(c.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", oneLine(a.ID), actionState(a))
			return err
		},
	}
}

// actionIDs completes the ids of actions.
func actionIDs(client func() *control.Client) completion {
	return names(1, func(ctx context.Context) (list []string) {
		all, _ := client().ListActions(ctx)
		for _, a := range all {
			list = append(list, a.ID)
		}
		return list
	})
}
