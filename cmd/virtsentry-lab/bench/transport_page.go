package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// TransportSection is the benchmark's table.
func TransportSection(dir string) (string, bool, error) {
	f, ok, err := Read[Transport](dir, TransportName)
	if !ok || err != nil {
		return "", ok, err
	}
	t := f.Result
	if len(t.Runs) == 0 {
		return "", true, fmt.Errorf("%s: no measurement: run virtsentry-lab bench transport again", TransportName)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CPU time is in ms for each application and unit of two seconds: medians of rounds of %.0f s, and the least and the most of lttng-sessiond and lttng-consumerd together. "+
		"Load %s. To set up is the CPU time of both until a session records, for each application. A rotation takes so long until its chunk can be read: median, and the most.\n\n", t.Seconds, t.Load)
	if f.Short {
		b.WriteString("**This was a short run, which only shows that all of it works: its figures count for nothing.**\n\n")
	}
	b.WriteString("| applications | way | lttng-sessiond | lttng-consumerd | both | reader | to set up | files | memory, MiB | rotation, s | events lost, late |\n" +
		"|--:|---|--:|--:|--:|--:|--:|---|---|--:|--:|\n")
	for _, n := range t.applications() {
		for _, way := range []string{WayOwn, WayShared, WayUser, WayPlace} {
			if runs := t.of(n, way); len(runs) > 0 {
				b.WriteString(transportRow(runs))
			}
		}
	}
	b.WriteString("\n" + t.verdict())
	fmt.Fprintf(&b, "\n`virtsentry-lab bench transport`, %s, %s.\n", f.Begin.Format(time.DateOnly), f.Machine)
	return b.String(), true, nil
}

func (t Transport) applications() (list []int) {
	for _, r := range t.Runs {
		if !slices.Contains(list, r.Applications) {
			list = append(list, r.Applications)
		}
	}
	return list
}

func (t Transport) of(n int, way string) (list []TransportRun) {
	for _, r := range t.Runs {
		if r.Applications == n && r.Way == way {
			list = append(list, r)
		}
	}
	return list
}

// both is the CPU time of LTTng's daemons for each application and unit, ms.
func (r TransportRun) both() float64 { return milliseconds(r.Each(r.Sessiond) + r.Each(r.Consumerd)) }

// spread3 is the median, the least and the most of a figure of runs.
func spread3(runs []TransportRun, f func(TransportRun) float64) (median, least, most float64) {
	var list []float64
	for _, r := range runs {
		list = append(list, f(r))
	}
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2, list[0], list[n-1]
}

func transportRow(runs []TransportRun) string {
	median := func(f func(TransportRun) float64) float64 {
		m, _, _ := spread3(runs, f)
		return m
	}
	both, least, most := spread3(runs, TransportRun.both)
	rotation := "none"
	if last := runs[len(runs)-1]; last.Rotations.Most > 0 {
		rotation = fmt.Sprintf("%.1f; %.1f", median(func(r TransportRun) float64 { return r.Rotations.Median.Seconds() }), median(func(r TransportRun) float64 { return r.Rotations.Most.Seconds() }))
	}
	lost, late := uint64(0), uint64(0)
	for _, r := range runs {
		lost, late = lost+r.Lost, late+r.Late
	}
	last := runs[len(runs)-1]
	return fmt.Sprintf("| %d | %s | %.2f | %.2f | **%.2f** (%.2f to %.2f) | %.2f | %.1f | %d / %d | %.0f / %.0f | %s | %d, %d |\n", last.Applications, last.Way,
		median(func(r TransportRun) float64 { return milliseconds(r.Each(r.Sessiond)) }), median(func(r TransportRun) float64 { return milliseconds(r.Each(r.Consumerd)) }), both, least, most,
		median(func(r TransportRun) float64 { return milliseconds(r.Each(r.Reader)) }), median(func(r TransportRun) float64 { return milliseconds(r.Setup) / float64(r.Applications) }),
		last.Sessiond.Files, last.Consumerd.Files, float64(last.Sessiond.PSS)/(1<<20), float64(last.Consumerd.PSS)/(1<<20), rotation, lost, late)
}

// verdict says which way the figures are for: what they cost where all of them keep up, and how long rotations take with the most applications.
func (t Transport) verdict() string {
	var text string
	numbers := t.applications()
	for _, n := range slices.Backward(numbers) {
		own, shared, place := t.of(n, WayOwn), t.of(n, WayShared), t.of(n, WayPlace)
		if len(own) == 0 || len(shared) == 0 || len(place) == 0 {
			continue
		}
		rotation := func(r TransportRun) float64 { return r.Rotations.Median.Seconds() }
		a, _, _ := spread3(own, rotation)
		b, _, _ := spread3(shared, rotation)
		if text == "" {
			text = fmt.Sprintf("With %d applications a rotation takes %.1f s where each has its own session, and %.1f s where all share one; a unit is of %.0f s. ", n, a, b, unit.Width.Seconds())
		}
		if max(a, b) > unit.Width.Seconds() {
			continue
		}
		a, _, _ = spread3(own, TransportRun.both)
		b, _, _ = spread3(shared, TransportRun.both)
		c, _, _ := spread3(place, TransportRun.both)
		return text + fmt.Sprintf("With %d, where both keep up, reading in place takes %.0f %% of the CPU time of LTTng's daemons that a session for each takes, and %.0f %% of what one session takes.\n",
			n, 100*c/a, 100*c/b)
	}
	return text + "\n"
}
