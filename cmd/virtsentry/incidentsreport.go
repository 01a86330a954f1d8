package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// alarmCount counts alarms by their labels.
type alarmCount struct {
	Alarms     int `json:"alarms"`
	True       int `json:"true"`
	False      int `json:"false"`
	Unknown    int `json:"unknown"`
	Unlabelled int `json:"unlabelled"`
}

func (a *alarmCount) add(label string) {
	a.Alarms++
	switch label {
	case control.LabelTrue:
		a.True++
	case control.LabelFalse:
		a.False++
	case control.LabelUnknown:
		a.Unknown++
	default:
		a.Unlabelled++
	}
}

// precision is the share of the alarms labelled true or false that were true ones.
func (a alarmCount) precision() string {
	if a.True+a.False == 0 {
		return "-"
	}
	return percent(float64(a.True) / float64(a.True+a.False))
}

// alarmDay counts the alarms of a domain on a day (UTC).
type alarmDay struct {
	Day  string `json:"day"`
	UUID string `json:"uuid"`
	Name string `json:"name"`
	alarmCount
}

// alarmDomain counts the alarms of a domain in all the time that is looked at.
type alarmDomain struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
	alarmCount
	FalsePerDay float64 `json:"false_per_day"`
}

// alarmReport is a report of true and false alarms.
type alarmReport struct {
	From    time.Time     `json:"from"`
	To      time.Time     `json:"to"`
	Days    []alarmDay    `json:"days"`    // the newest first; days without an alarm are left out
	Domains []alarmDomain `json:"domains"` // by name
	Total   alarmCount    `json:"total"`
}

// reportOf counts alarms that began in a span.
func reportOf(list []control.IncidentRecord, from, to time.Time) alarmReport {
	report := alarmReport{From: from.UTC(), To: to.UTC(), Days: []alarmDay{}, Domains: []alarmDomain{}}
	days := map[[2]string]*alarmDay{}
	domains := map[string]*alarmDomain{}
	for _, r := range list { // the newest first: a domain goes by its newest name
		if r.Since.Before(from) || !r.Since.Before(to) {
			continue
		}
		if domains[r.UUID] == nil {
			domains[r.UUID] = &alarmDomain{UUID: r.UUID, Name: r.Name}
		}
		key := [2]string{r.Since.UTC().Format(time.DateOnly), r.UUID}
		if days[key] == nil {
			days[key] = &alarmDay{Day: key[0], UUID: r.UUID, Name: domains[r.UUID].Name}
		}
		report.Total.add(r.Label)
		domains[r.UUID].add(r.Label)
		days[key].add(r.Label)
	}
	for d := range maps.Values(domains) {
		d.FalsePerDay = float64(d.False) / (to.Sub(from).Hours() / 24)
		report.Domains = append(report.Domains, *d)
	}
	for d := range maps.Values(days) {
		report.Days = append(report.Days, *d)
	}
	slices.SortFunc(report.Domains, func(a, b alarmDomain) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.UUID, b.UUID))
	})
	slices.SortFunc(report.Days, func(a, b alarmDay) int {
		return cmp.Or(strings.Compare(b.Day, a.Day), strings.Compare(a.Name, b.Name), strings.Compare(a.UUID, b.UUID))
	})
	return report
}

func incidentsReport(client func() *control.Client) *cobra.Command {
	var days int
	var domain string
	c := &cobra.Command{
		Use:   "report",
		Short: "Count true and false alarms, by day and domain",
		Long: "Count the incidents of kind anomaly, which are the alarms, by their labels: by day (UTC) and domain. What was not labelled is not known to be true or\n" +
			"false: the number of false alarms is at least what is counted. Incidents that are kept no longer ([history] of the configuration) are not counted.",
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().IntVar(&days, "days", 30, "`NUMBER` of days up to now")
	c.Flags().StringVar(&domain, "domain", "", "only those of `DOMAIN`")
	_ = c.RegisterFlagCompletionFunc("domain", domainNames(client, 1))
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if days < 1 || days > 36500 {
			return fmt.Errorf("--days: %d is not between 1 and 36500", days)
		}
		to := now()
		from := to.AddDate(0, 0, -days)
		list, err := client().ListIncidents(c.Context(), control.IncidentFilter{Domain: domain, Kind: "anomaly", From: from})
		if err != nil {
			return err
		}
		report := reportOf(list, from, to)
		if *format == "json" {
			return writeJSON(c.OutOrStdout(), report)
		}
		if err := writeReport(c.OutOrStdout(), report); err != nil {
			return err
		}
		return writeTrouble(c, client())
	}
	return c
}

func writeReport(w io.Writer, r alarmReport) error {
	if r.Total.Alarms == 0 {
		_, err := fmt.Fprintf(w, "no alarm from %s to %s\n", moment(r.From), moment(r.To))
		return err
	}
	counts := func(a alarmCount) []string {
		return []string{fmt.Sprint(a.Alarms), fmt.Sprint(a.True), fmt.Sprint(a.False), fmt.Sprint(a.Unknown), fmt.Sprint(a.Unlabelled)}
	}
	daily := [][]string{{"DAY", "DOMAIN", "ALARMS", "TRUE", "FALSE", "UNKNOWN", "UNLABELLED"}}
	for _, d := range r.Days {
		daily = append(daily, append([]string{d.Day, oneLine(d.Name)}, counts(d.alarmCount)...))
	}
	total := [][]string{{"DOMAIN", "ALARMS", "TRUE", "FALSE", "UNKNOWN", "UNLABELLED", "TRUE OF LABELLED", "FALSE A DAY"}}
	perDay := 0.0
	for _, d := range r.Domains {
		total = append(total, append(append([]string{oneLine(d.Name)}, counts(d.alarmCount)...), d.precision(), fmt.Sprintf("%.2f", d.FalsePerDay)))
		perDay += d.FalsePerDay
	}
	total = append(total, append(append([]string{"all"}, counts(r.Total)...), r.Total.precision(), fmt.Sprintf("%.2f", perDay)))
	if err := tableOf(w, daily); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\nFrom %s to %s:\n", moment(r.From), moment(r.To)); err != nil {
		return err
	}
	return tableOf(w, total)
}
