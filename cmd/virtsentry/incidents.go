package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

func incidentsCommand(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "incidents DOMAIN",
		Short: "Show what is open, and when the domain was anomalous",
		Long: "Show what is open and should be looked at, and the newest times in which the domain was anomalous since the daemon attached to it. The number of\n" +
			"such a time is what virtsentry relearn --incident takes.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: domainNames(client, 1),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
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
	return c
}

func writeIncidents(w io.Writer, d control.DomainStatus) error {
	name := oneLine(d.Name)
	if len(d.Incidents) == 0 {
		_, _ = fmt.Fprintf(w, "%s: nothing is open\n", name)
	} else {
		open := [][]string{{"OPEN", "SINCE", "WHAT"}}
		for _, x := range d.Incidents {
			open = append(open, []string{x.Kind, moment(x.Since), oneLine(x.Text)})
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
