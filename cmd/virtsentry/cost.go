package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

// errEnough ends a stream of units of which enough has come.
var errEnough = errors.New("enough")

// maxRatesFile bounds a file of rates.
const maxRatesFile = 1 << 20

// costFlags are what cost is asked.
type costFlags struct {
	calibration  string
	with, within []string // sources to price, and those that run already
	units, rates string
	length       time.Duration
	client       func() *control.Client
}

// costReport is what cost writes as JSON.
type costReport struct {
	Domain  string     `json:"domain"`
	With    []string   `json:"with"`
	Running []string   `json:"running,omitempty"`
	Rates   cost.Rates `json:"rates"`
	cost.Prediction
	Sentence string `json:"sentence"`
}

func costCommand(client func() *control.Client) *cobra.Command {
	f := costFlags{client: client}
	c := &cobra.Command{
		Use:   "cost DOMAIN --with SOURCE,...",
		Short: "Say beforehand what looking closer at a domain costs it",
		Long: "Say beforehand which part of its speed a domain would lose if it was observed by more sources, with an interval that is right 9 times in 10. The\n" +
			"domain's own rates of events are taken from its units to come; or, with no daemon, from a unit file (record --units) or a file of rates (JSON,\n" +
			"events a second by kind). What the domain is observed by already costs nothing more.\n\n" +
			"Sources: " + strings.Join(price.Scheme().Sources(), ", ") + ".\n\n" +
			"What events cost is measured on each host, and no figures come with the programme: cost calibrate observes a guest on this host,\n" +
			"and makes the calibration of what it has seen.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: domainNames(client, 1),
	}
	c.PersistentFlags().StringVar(&f.calibration, "calibration", price.DefaultFile, "`FILE` of the calibration")
	c.Flags().StringSliceVar(&f.with, "with", nil, "the `SOURCES` to add: a list")
	c.Flags().StringSliceVar(&f.within, "running", nil, "with --units or --rates: the `SOURCES` that the domain is observed by already")
	c.Flags().StringVar(&f.units, "units", "", "take the rates from a unit `FILE`")
	c.Flags().StringVar(&f.rates, "rates", "", "take the rates from a `FILE` of JSON")
	c.Flags().DurationVar(&f.length, "for", 10*time.Second, "look at the domain's units for so long, at most 10m")
	c.MarkFlagsMutuallyExclusive("units", "rates", "for")
	if err := c.MarkFlagRequired("with"); err != nil {
		panic(err) // there is no such flag
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		report, err := f.price(c.Context(), args[0])
		switch {
		case err != nil && c.Context().Err() != nil:
			return errInterrupted
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), report)
		}
		return writeCost(c.OutOrStdout(), report)
	}
	c.AddCommand(costCalibrate(&f), costFit(&f), costShow(&f))
	return c
}

// price reads what is known of the domain and predicts.
func (f *costFlags) price(ctx context.Context, ref string) (r costReport, err error) {
	if err := price.CheckSources(slices.Concat(f.with, f.within)); err != nil {
		return r, err
	}
	if f.length <= 0 || f.length > 10*time.Minute {
		return r, fmt.Errorf("cost: --for %v: want more than 0 and at most 10m", f.length)
	}
	if len(f.within) > 0 && f.units == "" && f.rates == "" {
		return r, errors.New("cost: --running is for --units and --rates: the daemon knows what runs")
	}
	calibration, err := price.Load(f.calibration)
	if err != nil {
		return r, err
	}
	r = costReport{Domain: ref, With: f.with, Running: f.within}
	switch {
	case f.rates != "":
		r.Rates, err = readRates(f.rates)
	case f.units != "":
		r.Rates, err = ratesOfUnits(f.units)
	default:
		err = f.live(ctx, &r)
	}
	if err != nil {
		return r, err
	}
	if r.Prediction, err = calibration.Predict(r.Rates, r.With, r.Running...); err != nil {
		return r, err
	}
	r.Sentence = price.Sentence(oneLine(r.Domain), r.With, r.Prediction)
	return r, nil
}

// live takes a domain's rates from its units to come.
func (f *costFlags) live(ctx context.Context, r *costReport) error {
	client := f.client()
	d, err := client.Domain(ctx, r.Domain)
	if err != nil {
		return err
	}
	r.Domain, r.Running = d.Name, price.Running(d)
	var m price.Meter
	for _, s := range r.Running {
		m.Observing(s)
	}
	limit, cancel := context.WithTimeout(ctx, f.length+2*unit.Width) // the first unit may have begun before
	defer cancel()
	err = client.Units(limit, func(u control.UnitReport) error {
		if u.Domain == d.UUID {
			m.Report(u)
		}
		if m.Seconds() >= f.length.Seconds() {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if r.Rates, err = m.Rates(); err != nil {
		return fmt.Errorf("cost: %s: %w in %v (virtsentry status %s says why)", oneLine(d.Name), err, f.length, oneLine(d.Name))
	}
	return nil
}

func ratesOfUnits(path string) (cost.Rates, error) {
	units, err := unit.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m price.Meter
	m.File(units)
	rates, err := m.Rates()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rates, nil
}

// readRates reads one object of JSON: events a second by kind.
func readRates(path string) (cost.Rates, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxRatesFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxRatesFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxRatesFile)
	}
	rates, err := parseRates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rates, nil
}

func parseRates(text []byte) (cost.Rates, error) {
	var rates cost.Rates
	if err := json.Unmarshal(text, &rates); err != nil {
		return nil, fmt.Errorf(`%w: want events a second by kind, such as {"syscall": 1200}`, err)
	}
	kinds := price.Scheme().Kinds(price.Scheme().Sources()...)
	for _, kind := range slices.Sorted(maps.Keys(rates)) {
		if !slices.Contains(kinds, kind) {
			return nil, fmt.Errorf("no events of kind %.80q: there are %s", kind, strings.Join(kinds, ", "))
		}
	}
	return rates, nil
}

func writeCost(w io.Writer, r costReport) error {
	if _, err := fmt.Fprintln(w, r.Sentence); err != nil {
		return err
	}
	for _, text := range price.Remarks(r.Prediction) {
		_, _ = fmt.Fprintln(w, text)
	}
	if len(r.Parts) == 0 {
		_, err := fmt.Fprintln(w, "Nothing of it costs anything that could be measured.")
		return err
	}
	_, _ = fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "FOR\tEVENTS/S\tTIME ADDED")
	for _, p := range r.Parts {
		events := "-"
		if p.Events > 0 {
			events = fmt.Sprintf("%.0f", p.Events)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%.2f%%\n", p.Coefficient, events, 100*p.Overhead)
	}
	return t.Flush()
}
