package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

func incidentsCommand(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "incidents [DOMAIN]",
		Short: "Show, label and export incidents: what was unusual, or in the way of seeing it",
		Long: "Show, label and export incidents. They are kept when the daemon or the domain has ended; [history] of the configuration says for how long.\n" +
			"ID is what list shows, or as much of it as is unique, or last: the newest of kind anomaly.\n\n" +
			"With DOMAIN: what is open of a running domain, and the newest times in which it was anomalous since the daemon attached to it. The number of\n" +
			"such a time is what virtsentry relearn --incident takes, as well as an ID. A domain that has the name of one of the commands below is named by its UUID.",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: domainNames(client, 1),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		d, err := client().Domain(c.Context(), args[0])
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), struct {
				Open      []control.Incident `json:"open"`
				Anomalies []control.Anomaly  `json:"anomalies"`
			}{append([]control.Incident{}, d.Incidents...), append([]control.Anomaly{}, d.Anomalies...)})
		}
		return writeIncidents(c.OutOrStdout(), d)
	}
	c.AddCommand(incidentsList(client), incidentsShow(client), incidentsAck(client), incidentsLabel(client), incidentsReport(client), incidentsExport(client))
	return c
}

func writeIncidents(w io.Writer, d control.DomainStatus) error {
	name := oneLine(d.Name)
	if len(d.Incidents) == 0 {
		_, _ = fmt.Fprintf(w, "%s: nothing is open\n", name)
	} else {
		open := [][]string{{"OPEN", "ID", "SINCE", "WHAT"}}
		for _, x := range d.Incidents {
			open = append(open, []string{x.Kind, orDash(oneLine(x.ID)), moment(x.Since), oneLine(x.Text)})
		}
		if err := tableOf(w, open); err != nil {
			return err
		}
	}
	if len(d.Anomalies) == 0 {
		_, err := fmt.Fprintf(w, "%s: not anomalous since the daemon attached to it\n", name)
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	past := [][]string{{"ANOMALY", "FROM", "TO", "UNUSUAL UNITS", "WHAT"}}
	for _, a := range d.Anomalies {
		end := moment(a.End)
		if a.Open {
			end = "open"
		}
		past = append(past, []string{fmt.Sprint(a.Number), moment(a.Begin), end, fmt.Sprint(a.Units), oneLine(a.Text)})
	}
	return tableOf(w, past)
}

// moment is a time with its day, to the second, as relearn --from takes it.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// filterFlags adds the flags that choose incidents, and returns what reads them.
func filterFlags(c *cobra.Command, client func() *control.Client) func() (control.IncidentFilter, error) {
	var f control.IncidentFilter
	var from, to string
	flags := c.Flags()
	flags.StringVar(&f.Domain, "domain", "", "only those of `DOMAIN`: by id, UUID or name; one that does not run: by UUID or name")
	flags.StringVar(&f.Kind, "kind", "", "only those of `KIND`: anomaly, drift, loss, trace, reboots, identity, policy")
	flags.StringVar(&f.Label, "label", "", "only those labelled `LABEL`: true, false, unknown, or none")
	flags.StringVar(&from, "from", "", "only those that were open at `TIME` or later: 2026-05-04T12:00:00Z, or so long ago: -24h")
	flags.StringVar(&to, "to", "", "only those that were opened before `TIME`")
	_ = c.RegisterFlagCompletionFunc("domain", domainNames(client, 1))
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"anomaly", "drift", "loss", "trace", "reboots", "identity", "policy"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("label", cobra.FixedCompletions(append(control.Labels(), control.LabelNone), cobra.ShellCompDirectiveNoFileComp))
	return func() (control.IncidentFilter, error) {
		var err error
		if from != "" {
			if f.From, err = instant(from, now()); err != nil {
				return f, fmt.Errorf("--from: %w", err)
			}
		}
		if to != "" {
			if f.To, err = instant(to, now()); err != nil {
				return f, fmt.Errorf("--to: %w", err)
			}
		}
		return f, nil
	}
}

func incidentsList(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List incidents, the newest first", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions}
	filter := filterFlags(c, client)
	var open, unread bool
	var most int
	c.Flags().BoolVar(&open, "open", false, "only those that are open")
	c.Flags().BoolVar(&unread, "unread", false, "only those that nobody has acknowledged or labelled")
	c.Flags().IntVarP(&most, "number", "n", 30, "so many at most (0: all)")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := filter()
		if err != nil {
			return err
		}
		if f.Unread, f.Most = unread, most; open {
			f.State = control.StateOpen
		}
		list, err := client().ListIncidents(c.Context(), f)
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), list)
		}
		if err := writeList(c.OutOrStdout(), list); err != nil {
			return err
		}
		return writeTrouble(c, client())
	}
	return c
}

// maxText bounds what an incident is about in a table, in runes.
const maxText = 100

func writeList(w io.Writer, list []control.IncidentRecord) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no incident is kept that fits")
		return err
	}
	table := [][]string{{"ID", "DOMAIN", "KIND", "SINCE", "LASTED", "UNUSUAL UNITS", "LABEL", "WHAT"}}
	for _, r := range list {
		table = append(table, []string{r.ID, oneLine(r.Name), r.Kind, moment(r.Since), lasted(r), fmt.Sprint(r.Units), opinion(r), shortened(oneLine(r.Text), maxText)})
	}
	return tableOf(w, table)
}

// lasted is for how long an incident was open.
func lasted(r control.IncidentRecord) string {
	if r.Open() {
		return "open"
	}
	return r.Until.Sub(r.Since).Round(time.Second).String()
}

// opinion is what an operator said of an incident.
func opinion(r control.IncidentRecord) string {
	switch {
	case r.Label != "":
		return r.Label
	case !r.Ack.IsZero():
		return "(seen)"
	}
	return "-"
}

// writeTrouble says that incidents are not on disk, where that is so.
func writeTrouble(c *cobra.Command, client *control.Client) error {
	h, err := client.HistoryStatus(c.Context())
	if err != nil || h.Error == "" {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "\nNot written since %s: %s\n%d incidents wait in memory; those on disk may be missing above.\n", moment(h.Since), oneLine(h.Error), h.Waiting)
	return err
}

func incidentsShow(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Show all that is known of an incident", Args: cobra.ExactArgs(1), ValidArgsFunction: incidentIDs(client)}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := client().Incident(c.Context(), args[0])
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), r)
		}
		return writeIncident(c.OutOrStdout(), r)
	}
	return c
}

func writeIncident(w io.Writer, r control.IncidentRecord) error {
	var lines [][]string
	line := func(name, format string, args ...any) {
		lines = append(lines, []string{name, fmt.Sprintf(format, args...)})
	}
	line("Id", "%s", r.ID)
	line("Domain", "%s (%s)", oneLine(r.Name), r.UUID)
	line("Host", "%s", orDash(oneLine(r.Host)))
	line("Kind", "%s", r.Kind)
	if r.Open() {
		line("Open", "since %s", moment(r.Since))
	} else {
		line("Closed", "%s to %s: %s", moment(r.Since), moment(r.Until), r.Closed)
	}
	if r.Restarts > 0 {
		line("Restarts", "%d of the daemon meanwhile", r.Restarts)
	}
	line("What", "%s", oneLine(r.Text))
	if !r.From.IsZero() {
		line("Unusual", "%d units, %s to %s", r.Units, moment(r.From), moment(r.To))
	}
	if p := r.Peak; p != nil {
		line("Peak", "%s: score %.2f, p-value %.3f, %d events lost: %s", moment(p.Start), p.Score, p.PValue, p.Lost, oneLine(p.Sentence))
	}
	life := r.Scored
	for _, seconds := range r.Unscored {
		life += seconds
	}
	line("Time", "%s", spent(control.Ledger{Life: life, Scored: r.Scored, Reasons: r.Unscored}))
	for _, u := range r.Unseen {
		line("Not seen", "%s %s: %s", u.Kind, oneLine(u.Name), oneLine(u.Why))
	}
	if r.Surroundings != nil {
		surrounded(line, *r.Surroundings)
	}
	if !r.Ack.IsZero() {
		line("Seen", "%s", moment(r.Ack))
	}
	line("Label", "%s", orDash(r.Label))
	if r.Note != "" {
		line("Note", "%s", oneLine(r.Note))
	}
	if err := tableOf(w, lines); err != nil || r.Peak == nil || len(r.Peak.Explain) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(w, "\nWhat was unusual at its peak:"); err != nil {
		return err
	}
	return writeVariables(w, r.Peak.Explain)
}

func incidentsAck(client func() *control.Client) *cobra.Command {
	var request control.AckRequest
	c := &cobra.Command{Use: "ack ID...", Short: "Note that incidents were seen", Args: cobra.MinimumNArgs(1), ValidArgsFunction: incidentIDs(client)}
	c.Flags().StringVar(&request.Note, "note", "", "`TEXT` that is kept with them")
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, id := range args {
			r, err := client().AckIncident(c.Context(), id, request)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%s: seen %s\n", r.ID, moment(r.Ack)); err != nil {
				return err
			}
		}
		return writeTrouble(c, client())
	}
	return c
}

// incidentIDs completes the ids of incidents, the newest ones.
func incidentIDs(client func() *control.Client) completion {
	return func(c *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		list, _ := client().ListIncidents(c.Context(), control.IncidentFilter{Most: 50}) // without a daemon there is nothing to offer
		var fit []string
		for _, r := range list {
			if strings.HasPrefix(r.ID, start) && !slices.Contains(args, r.ID) {
				fit = append(fit, r.ID+"\t"+oneLine(r.Name)+" "+r.Kind+" "+moment(r.Since))
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}
