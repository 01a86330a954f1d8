package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// The kinds of incident, a closed list.
const (
	incidentAnomaly  = "anomaly"  // the domain is anomalous
	incidentDrift    = "drift"    // what the domain does has moved away from what its profile was learnt on
	incidentLoss     = "loss"     // events are lost for long: what happens in the domain hides in it
	incidentIdentity = "identity" // another process reports trace points under the domain's PID
	incidentReboots  = "reboots"  // the guest boots again and again, and is not judged meanwhile
	incidentPolicy   = "policy"   // the operator's policy element is wrong and not in force
	incidentTrace    = "trace"    // the domain's QEMU writes what is no trace
)

// incidents are those of one domain that are open.
type incidents []control.Incident

// open adds an incident, or renews the text of the one of its kind that is open. It says whether it is a new one.
func (l *incidents) open(kind, text string) bool {
	for i, x := range *l {
		if x.Kind == kind {
			if x.Text != text {
				*l = slices.Clone(*l) // what others read is not changed any more
				(*l)[i].Text = text
			}
			return false
		}
	}
	*l = append(slices.Clone(*l), control.Incident{Kind: kind, Since: time.Now(), Text: text})
	slices.SortFunc(*l, func(a, b control.Incident) int { return strings.Compare(a.Kind, b.Kind) })
	return true
}

// identify says by which id the one of a kind is kept, and since when it is open. Nobody has read it yet.
func (l *incidents) identify(kind, id string, since time.Time) {
	for i, x := range *l {
		if x.Kind == kind {
			(*l)[i].ID, (*l)[i].Since = id, since
		}
	}
}

// shut ends an incident and says whether it was open.
func (l *incidents) shut(kind string) bool {
	before := len(*l)
	*l = slices.DeleteFunc(slices.Clone(*l), func(x control.Incident) bool { return x.Kind == kind })
	return len(*l) < before
}

const (
	lossWindow = 30 // units that are looked at: a minute
	lossOpen   = 15 // so many lossy ones of them open an incident
	lossShut   = 3  // so few end it
)

// lossWatch finds loss that lasts.
type lossWatch struct {
	lossy []bool
	open  bool
	count int
}

// text says how much is lost.
func (w *lossWatch) text() string {
	return fmt.Sprintf("events were lost in %d of the last %d units: whatever happens in the domain may hide in that (larger buffers: lttng.sub_buffers)",
		w.count, len(w.lossy))
}

// observe takes the next unit and says whether loss lasts.
func (w *lossWatch) observe(lost bool) bool {
	w.lossy = append(w.lossy, lost)
	if lost {
		w.count++
	}
	if len(w.lossy) > lossWindow {
		if w.lossy[0] {
			w.count--
		}
		w.lossy = w.lossy[1:]
	}
	if w.open {
		w.open = w.count > lossShut
	} else {
		w.open = w.count >= lossOpen
	}
	return w.open
}

// report opens an incident.
func (w *watcher) report(kind, text string) {
	if !w.open.open(kind, text) {
		w.confirm(kind)
		return
	}
	w.edit(func(d *control.DomainStatus) { d.Opened = oneMore(d.Opened, kind) })
	w.begin(kind, text)
	w.log.WithFields(logrus.Fields{"incident": kind, "id": w.chronicle.open[kind].record.ID, "text": text}).Warn("incident opened")
}

// oneMore is a copy of the numbers with one more of a kind: what others read is not changed any more.
func oneMore(numbers map[string]uint64, kind string) map[string]uint64 {
	more := map[string]uint64{kind: 0}
	maps.Copy(more, numbers)
	more[kind]++
	return more
}

// shut ends an incident, if enough was seen to say so.
func (w *watcher) shut(kind string) {
	if !w.pending(kind) {
		w.end(kind, control.ClosedOver)
	}
}

// end ends an incident for a reason, one of those of control.IncidentRecord.
func (w *watcher) end(kind, why string) {
	if w.open.shut(kind) {
		w.conclude(kind, why)
		w.log.WithField("incident", kind).Info("incident ended")
	}
}
