package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// output is the -o flag.
type output string

func (o *output) String() string { return string(*o) }
func (o *output) Type() string   { return "table|json" }
func (o *output) Set(s string) error {
	if s != "table" && s != "json" {
		return fmt.Errorf("%q is neither table nor json", s)
	}
	*o = output(s)
	return nil
}

func outputFlag(c *cobra.Command) *output {
	o := output("table")
	c.Flags().VarP(&o, "output", "o", "how to write it")
	return &o
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func statusCommand(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "status [DOMAIN]",
		Short: "Show the state of all domains, or all that is known of one",
		Args:  cobra.MaximumNArgs(1), ValidArgsFunction: domainNames(client, 1),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		w := c.OutOrStdout()
		if len(args) == 1 {
			d, err := client().Domain(c.Context(), args[0])
			switch {
			case err != nil:
				return err
			case *format == "json":
				return writeJSON(w, d)
			}
			return writeDomain(w, d)
		}
		list, err := client().Domains(c.Context())
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(w, list)
		}
		return writeDomains(w, list)
	}
	return c
}

func writeDomains(w io.Writer, list []control.DomainStatus) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no domain runs")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tNAME\tSTATE\tCOVERAGE\tSINCE\tUNITS\tLOSSY\tSCORED\tINCIDENTS\tPROFILE\tREASON")
	for _, d := range list {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%d\t%s\t%s\n", number(d), oneLine(d.Name), d.State, d.Coverage, since(d.Since), d.Units.Seen, d.Units.Lossy,
			share(d.Ledger), len(d.Incidents), profile(d), shortened(reason(d), maxReason))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if list[0].History != "" {
		if _, err := fmt.Fprintf(w, "\nIncidents %s: %s\n", notWritten, oneLine(list[0].History)); err != nil {
			return err
		}
	}
	if list[0].Aside != "" {
		if _, err := fmt.Fprintf(w, "\nThe database of incidents %s: %s\n", movedAside, oneLine(list[0].Aside)); err != nil {
			return err
		}
	}
	return nil
}

// What is said of incidents that cannot be kept.
const (
	notWritten = "are not written, and kept in memory until they can be"
	movedAside = "was damaged and moved aside, and what it held is missing (remove that file when it is not needed)"
)

func writeDomain(w io.Writer, d control.DomainStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { _, _ = fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	line("Name", "%s", oneLine(d.Name))
	line("UUID", "%s", d.UUID)
	line("Id", "%s", number(d))
	if d.PID != 0 {
		line("QEMU process", "%d", d.PID)
	}
	line("State", "%s, for %s", d.State, since(d.Since))
	if d.Reason != nil {
		line("Reason", "%s", reason(d))
	}
	line("Coverage", "%s", d.Coverage)
	for _, s := range d.Sources {
		if s.Error != "" {
			line("Not by", "%s: %s", oneLine(s.Name), oneLine(s.Error))
		} else {
			line("Seen by", "%s: %s", oneLine(s.Name), oneLine(s.Detail))
		}
	}
	for _, u := range d.Unseen {
		line("Not seen", "%s %s: %s", u.Kind, oneLine(u.Name), oneLine(u.Why))
	}
	if d.Missed > 0 {
		line("Not seen", "the first %.0f s: QEMU was attached to while the guest ran", d.Missed)
	}
	line("Profile", "%s%s", profile(d), atMost(d.Learning))
	if p := d.Promise; p != nil {
		line("False alarms", "%s", promised(*p))
	}
	line("Units", "%d seen, %d judged, %d with lost events, %d not readable; %d late events",
		d.Units.Seen, d.Units.Judged, d.Units.Lossy, d.Units.Unread, d.Units.Late)
	line("Time", "%s", spent(d.Ledger))
	if d.BufferBytes > 0 {
		line("Buffers", "%.1f MiB", float64(d.BufferBytes)/(1<<20))
	}
	if d.CPUSeconds > 0 && d.Units.Seen > 0 {
		line("Cost", "%.1f ms of CPU time a unit, beside LTTng's", d.CPUSeconds/float64(d.Units.Seen)*1000)
	}
	for _, i := range d.Incidents {
		line("Incident", "%s, for %s: %s", oneLine(i.Kind), since(i.Since), oneLine(i.Text))
	}
	surroundings(line, d)
	if d.History != "" {
		line("History", "incidents %s: %s", notWritten, oneLine(d.History))
	}
	if d.Aside != "" {
		line("History", "the database %s: %s", movedAside, oneLine(d.Aside))
	}
	if d.Last != nil && d.Last.Judged {
		line("Last unit", "%s: score %.2f, p-value %.3f", clock(d.Last.Start), d.Last.Score, d.Last.PValue)
	}
	return t.Flush()
}

// number is libvirt's id of a domain.
func number(d control.DomainStatus) string {
	if d.ID <= 0 {
		return "-"
	}
	return strconv.Itoa(d.ID)
}

// share is how much of a guest's life was scored.
func share(l control.Ledger) string {
	if l.Life <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*l.Scored/l.Life)
}

// spent says what became of a guest's life, the longest time first.
func spent(l control.Ledger) string {
	codes := slices.SortedFunc(maps.Keys(l.Reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.Reasons[b], l.Reasons[a]), cmp.Compare(a, b))
	})
	text := fmt.Sprintf("%s of %.0f s scored", share(l), l.Life)
	for i, code := range codes {
		separator := ", "
		if i == 0 {
			separator = "; not scored: "
		}
		text += fmt.Sprintf("%s%s %.0f s", separator, oneLine(code), l.Reasons[code])
	}
	return text
}

func profile(d control.DomainStatus) string {
	if l := d.Learning; l != nil {
		return fmt.Sprintf("learning %d/%d, about %s", l.Units, l.Wanted, about(time.Duration(l.Seconds*float64(time.Second))))
	}
	if !d.Profile {
		return "-"
	}
	text := "in force"
	if d.Trained != nil {
		text = fmt.Sprintf("%d units, %s", d.LearntUnits, d.Trained.Local().Format("2006-01-02 15:04"))
	}
	if d.Promise != nil && d.Promise.Provisional {
		text += ", provisional"
	}
	return text
}

// promised says how many false alarms are to be expected, and how well that is known.
func promised(p control.Promise) string {
	text := fmt.Sprintf("%.3g a day accepted; ", p.Accepted)
	if p.Bound == nil {
		text += "no unit judged yet"
	} else {
		digits, plural := 0, "s"
		if *p.Bound < 10 {
			digits = 2
		}
		if p.Alarms == 1 {
			plural = ""
		}
		text += fmt.Sprintf("at most %.*f a day by %d alarm%s in %.1f h judged (95 %% confidence)", digits, *p.Bound, p.Alarms, plural, p.Hours)
	}
	if p.Provisional {
		text += ": provisional"
	}
	return text
}

// atMost says how many more units may be gathered.
func atMost(l *control.Learning) string {
	if l == nil || l.Most <= l.Wanted {
		return ""
	}
	return fmt.Sprintf(" (up to %d units, if these are not enough)", l.Most)
}

// about is an expected time, as exact as such a time is.
func about(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", 10*math.Ceil(d.Seconds()/10))
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

func reason(d control.DomainStatus) string {
	if d.Reason == nil {
		return "-"
	}
	return d.Reason.Code + ": " + oneLine(d.Reason.Text)
}

// maxReason bounds a reason in the table of all domains, in runes: a domain a line.
const maxReason = 80

// shortened cuts a text to so many runes and shows that it did.
func shortened(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return strings.TrimRightFunc(string(runes[:most-1]), unicode.IsSpace) + "…"
}

// oneLine takes from a text of others (a domain's name may hold a tab) what would break a table or steer a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// now is replaced in tests.
var now = time.Now

func since(t time.Time) string { return now().Sub(t).Truncate(time.Second).String() }

func clock(t time.Time) string { return t.Local().Format("15:04:05") }

func day(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
