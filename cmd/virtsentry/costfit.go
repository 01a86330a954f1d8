package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

// calibrationReport is what cost show and cost fit write as JSON.
type calibrationReport struct {
	Origin       string             `json:"origin"`
	Begin        string             `json:"begin,omitempty"`
	Fitted       int                `json:"observations"`
	HeldOut      int                `json:"held_out"`
	Coefficients []cost.Coefficient `json:"coefficients"`
	Table        *cost.Table        `json:"evaluation,omitempty"`
	Bars         []cost.Bar         `json:"bars,omitempty"`
	Holds        bool               `json:"holds"`
}

func costShow(f *costFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the calibration in force, and how well it predicts what was held out",
		Args:  cobra.NoArgs,
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		calibration, err := price.Load(f.calibration)
		if err != nil {
			return err
		}
		return showCalibration(c.OutOrStdout(), calibration, *format)
	}
	return c
}

func costFit(f *costFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "fit OBSERVATIONS",
		Short: "Fit the calibration to what was observed of a guest, and see how well it predicts",
		Long: "Fit what events cost to observations that cost calibrate has made on this host, judge it by those that were held out, and keep the\n" +
			"calibration in --calibration, in place of an earlier one.",
		Args: cobra.ExactArgs(1),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error { return f.fit(c.OutOrStdout(), args[0], *format) }
	return c
}

// fit makes the calibration of a file of observations, keeps it and shows it.
func (f *costFlags) fit(w io.Writer, observations string, format output) error {
	file, err := os.Open(observations)
	if err != nil {
		return err
	}
	defer file.Close()
	observed, err := cost.ReadObservations(file)
	if err != nil {
		return fmt.Errorf("%s: %w", observations, err)
	}
	calibration, err := cost.Fit(price.Scheme(), observed)
	if err != nil {
		return fmt.Errorf("%s: %w", observations, err)
	}
	if err := unit.WriteFile(f.calibration, func(w io.Writer) error { return calibration.Encode(w) }); err != nil {
		return err
	}
	return showCalibration(w, calibration, format)
}

func showCalibration(w io.Writer, c *cost.Calibration, format output) error {
	observed := c.Observations()
	fit, held := observed.Split()
	r := calibrationReport{Origin: observed.Origin, Fitted: len(fit), HeldOut: len(held), Coefficients: c.Coefficients()}
	if !observed.Begin.IsZero() {
		r.Begin = day(observed.Begin)
	}
	if len(held) > 0 {
		t, err := cost.Evaluate(c, held)
		if err != nil {
			return err
		}
		r.Table = &t
		r.Bars, r.Holds = t.Holds()
	}
	if format == "json" {
		return writeJSON(w, r)
	}
	return writeCalibration(w, r)
}

func writeCalibration(w io.Writer, r calibrationReport) error {
	_, _ = fmt.Fprintf(w, "Fitted to %d observations", r.Fitted)
	if r.Begin != "" {
		_, _ = fmt.Fprintf(w, " from %s on", r.Begin)
	}
	_, _ = fmt.Fprintf(w, "%s; %d more were held out.\n\n", following(": ", r.Origin), r.HeldOut)
	perEvent := make(map[string]bool)
	for _, t := range price.Scheme() {
		perEvent[t.Coefficient] = t.Kind != ""
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "COST OF\tVALUE\tINTERVAL OF 90 %")
	for _, c := range r.Coefficients {
		scale, what := 100.0, "% of the time"
		if perEvent[c.Name] {
			scale, what = 1e6, "µs each"
		}
		if c.Known {
			_, _ = fmt.Fprintf(t, "%s\t%.3f %s\t%.3f to %.3f\n", c.Name, scale*c.Value, what, scale*c.Low, scale*c.High)
		} else {
			_, _ = fmt.Fprintf(t, "%s\tnot measured\n", c.Name)
		}
	}
	if err := t.Flush(); err != nil || r.Table == nil {
		return err
	}
	_, _ = fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "WORK\tSOURCES\tMEASURED\tPREDICTED\tINTERVAL OF 90 %\tINSIDE")
	for _, row := range r.Table.Rows {
		inside := "no"
		if row.Inside() {
			inside = "yes"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%.1f%%\t%.1f%%\t%.1f to %.1f%%\t%s\n",
			oneLine(row.Workload), oneLine(strings.Join(row.Sources, ",")), 100*row.Measured, 100*row.Predicted, 100*row.Low, 100*row.High, inside)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w)
	for _, b := range r.Bars {
		holds := "does not hold"
		if b.Holds {
			holds = "holds"
		}
		_, _ = fmt.Fprintf(w, "%s: %s; was %s: %s\n", b.What, b.Want, b.Seen, holds)
	}
	return nil
}
