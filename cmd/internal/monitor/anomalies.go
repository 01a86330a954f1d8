package monitor

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// anomaliesKept is how many of a domain's anomalies are remembered.
const anomaliesKept = 20

// anomalies remembers when a domain was anomalous, on the units' clock, so that such a time may be marked as normal by its number. The zero value
// is ready.
type anomalies struct {
	list  []control.Anomaly // what others read is not changed any more
	next  control.Anomaly   // what may become one: the anomalous units since all was normal
	count int
}

// observe takes the next unit, the state after it, and the words of the incident that is open (empty: none is). It says whether the list has changed.
func (a *anomalies) observe(u *control.UnitReport, incident string) bool {
	last := len(a.list) - 1
	open := last >= 0 && a.list[last].Open
	switch {
	case incident != "" && !open:
		a.count++
		now := a.next
		now.Number, now.Open, now.Text = a.count, true, incident
		a.list = append(slices.Clone(a.list), now)
		a.list = a.list[max(0, len(a.list)-anomaliesKept):]
		a.take(u)
		a.list[len(a.list)-1] = a.merged(now)
		return true
	case incident == "" && open:
		a.list = slices.Clone(a.list)
		a.list[last].Open = false
		a.next = control.Anomaly{}
		return true
	}
	if !open && u.State == stateNormal {
		a.next = control.Anomaly{}
	}
	if !a.take(u) {
		return false
	}
	if open {
		a.list = slices.Clone(a.list)
		now := a.merged(a.list[last])
		now.Text = incident
		a.list[last] = now
	}
	return open
}

// resume goes on with an anomaly that an earlier daemon has seen the beginning of.
func (a *anomalies) resume(x control.Anomaly) {
	a.count++
	x.Number, x.Open = a.count, true
	a.list = append(slices.Clone(a.list), x)
	a.next = control.Anomaly{Begin: x.Begin, End: x.End, Units: x.Units}
}

// take counts an anomalous unit.
func (a *anomalies) take(u *control.UnitReport) bool {
	if !u.Anomalous {
		return false
	}
	end := u.Start.Add(unit.Width)
	if a.next.Units == 0 {
		// It may be the last of several that are looked at together.
		looked := unit.Width
		for _, v := range u.Explain {
			looked = max(looked, time.Duration(v.Seconds*float64(time.Second)))
		}
		a.next.Begin = end.Add(-looked)
	}
	a.next.End = end
	a.next.Units++
	return true
}

// merged is an anomaly with what is known of its units now.
func (a *anomalies) merged(x control.Anomaly) control.Anomaly {
	x.Begin, x.End, x.Units = a.next.Begin, a.next.End, a.next.Units
	return x
}

// anomaly finds a domain's anomaly by its number, or the last one. Errors: control.ErrRefused.
func anomaly(d control.DomainStatus, number string) (control.Anomaly, error) {
	if len(d.Anomalies) == 0 {
		return control.Anomaly{}, fmt.Errorf("%w: domain %s has not been anomalous since the daemon attached to it", control.ErrRefused, d.Name)
	}
	if number == "last" {
		return d.Anomalies[len(d.Anomalies)-1], nil
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return control.Anomaly{}, fmt.Errorf("%w: incident %.40q is neither a number nor last", control.ErrRefused, number)
	}
	for _, a := range d.Anomalies {
		if a.Number == n {
			return a, nil
		}
	}
	return control.Anomaly{}, fmt.Errorf("%w: domain %s has no incident %d of kind anomaly (there are %d to %d)",
		control.ErrRefused, d.Name, n, d.Anomalies[0].Number, d.Anomalies[len(d.Anomalies)-1].Number)
}

// noteAnomaly takes note of a unit that was judged, and of whether the domain is anomalous.
func (w *watcher) noteAnomaly(u *control.UnitReport) {
	text := ""
	for _, x := range w.open {
		if x.Kind == incidentAnomaly {
			text = x.Text
		}
	}
	before := w.past.count
	if !w.past.observe(u, text) {
		return
	}
	last := &w.past.list[len(w.past.list)-1]
	switch {
	case w.past.count > before:
		w.m.surveyor.want(w.domain.UUID) // as it is now, not some minutes ago
	case !last.Open: // what stood around it is still known
		then := w.m.Surroundings(w.domain.UUID, last.Begin, last.End)
		last.Surroundings = &then
	}
	w.edit(func(d *control.DomainStatus) { d.Anomalies = w.past.list })
}
