package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

func incidentsLabel(client func() *control.Client) *cobra.Command {
	var request control.LabelRequest
	var relearn bool
	var learning control.RelearnRequest
	c := &cobra.Command{
		Use:   "label ID true|false|unknown",
		Short: "Say whether an incident was a true or a false alarm",
		Long: "Say whether an incident was a true alarm, a false one, or that it cannot be told. The last label holds.\n\n" +
			"With --relearn, what happened in a false alarm is learnt as normal, as virtsentry relearn --incident does: not if the new profile would find too\n" +
			"much less of an attack. That takes the units of its span that the daemon remembers (an hour), and those that are kept with it.",
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(c *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return control.Labels(), cobra.ShellCompDirectiveNoFileComp
			}
			return incidentIDs(client)(c, args, start)
		},
	}
	c.Flags().StringVar(&request.Note, "note", "", "`TEXT` that is kept with it")
	c.Flags().BoolVar(&relearn, "relearn", false, "learn what happened as normal; only with the label false")
	c.Flags().BoolVar(&learning.DryRun, "dry-run", false, "with --relearn: only show what would come of it")
	c.Flags().Float64Var(&learning.AcceptLoss, "accept-loss", acceptedLoss, "with --relearn: `SHARE` of an attack's units that may be found no more")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		request.Label = args[1]
		switch {
		case !slices.Contains(control.Labels(), request.Label):
			return fmt.Errorf("the label %q is none of true, false, unknown", request.Label)
		case relearn && request.Label != control.LabelFalse:
			return errors.New("--relearn is for false alarms: what was a true one is not normal")
		case !relearn && (c.Flags().Changed("dry-run") || c.Flags().Changed("accept-loss")):
			return errors.New("--dry-run and --accept-loss are for --relearn")
		}
		r, err := client().LabelIncident(c.Context(), args[0], request)
		if err != nil {
			return err
		}
		if !relearn {
			return writeLabelled(c, *format, client(), r)
		}
		if *format == "table" {
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%s: labelled %s\n", r.ID, r.Label); err != nil {
				return err
			}
		}
		learning.Incident = r.ID
		answer, err := client().Relearn(c.Context(), r.UUID, learning)
		if err != nil {
			return fmt.Errorf("%s is labelled, and not relearnt: %w", r.ID, err)
		}
		return errors.Join(writeRelearnt(c.OutOrStdout(), *format, answer), refusal(answer))
	}
	return c
}

func writeLabelled(c *cobra.Command, format output, client *control.Client, r control.IncidentRecord) error {
	if format == "json" {
		return writeJSON(c.OutOrStdout(), r)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s: labelled %s\n", r.ID, r.Label)
	if err == nil && r.Label == control.LabelFalse && !r.From.IsZero() {
		_, err = fmt.Fprintf(c.OutOrStdout(), "To have it learnt as normal: virtsentry relearn %s --incident %s --dry-run shows what would come of it, without --dry-run it is done.\n", r.UUID, r.ID)
	}
	if err != nil {
		return err
	}
	return writeTrouble(c, client)
}
