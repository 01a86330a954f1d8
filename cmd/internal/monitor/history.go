package monitor

import (
	"fmt"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// ListIncidents lists kept incidents, control.Incidents. A domain that runs may be named as virsh names it.
func (m *Monitor) ListIncidents(f control.IncidentFilter) ([]control.IncidentRecord, error) {
	if f.Domain != "" {
		if d, err := m.Domain(f.Domain); err == nil {
			f.Domain = d.UUID
		}
	}
	return m.history.List(f)
}

// Incident finds one, control.Incidents.
func (m *Monitor) Incident(id string) (control.IncidentRecord, error) { return m.history.Find(id) }

// IncidentUnits returns the units that are kept with an incident, control.Incidents.
func (m *Monitor) IncidentUnits(id string) (control.IncidentUnits, error) { return m.history.Units(id) }

// HistoryStatus says how the keeping of incidents is, control.Incidents.
func (m *Monitor) HistoryStatus() control.HistoryStatus { return m.history.Status() }

// AckIncident notes that an operator has seen an incident, control.Incidents.
func (m *Monitor) AckIncident(id string, request control.AckRequest) (control.IncidentRecord, error) {
	return m.noteIncident(id, "acknowledged", request.Note, func(r *control.IncidentRecord) {
		if r.Ack.IsZero() {
			r.Ack = time.Now()
		}
	})
}

// LabelIncident notes what an operator thinks of an incident, control.Incidents.
func (m *Monitor) LabelIncident(id string, request control.LabelRequest) (control.IncidentRecord, error) {
	if !slices.Contains(control.Labels(), request.Label) {
		return control.IncidentRecord{}, fmt.Errorf("%w: the label %.40q is none of true, false, unknown", control.ErrRefused, request.Label)
	}
	return m.noteIncident(id, "labelled "+request.Label, request.Note, func(r *control.IncidentRecord) { r.Label = request.Label })
}

func (m *Monitor) noteIncident(id, what, note string, change func(*control.IncidentRecord)) (control.IncidentRecord, error) {
	if len(note) > control.MaxNoteBytes {
		return control.IncidentRecord{}, fmt.Errorf("%w: a note of %d bytes; it may have %d", control.ErrRefused, len(note), control.MaxNoteBytes)
	}
	r, err := m.history.Note(id, func(r *control.IncidentRecord) {
		if change(r); note != "" {
			r.Note = note
		}
	})
	if err == nil {
		m.log.WithFields(logrus.Fields{"id": r.ID, "incident": r.Kind, "domain": r.Name, "uuid": r.UUID}).Info("incident " + what)
		if w := m.watcher(r.UUID); w != nil {
			w.carry()
		}
	}
	return r, err
}

// incidentSpan is the span of a domain's incident, and the units of it that are kept on disk: by its number since the daemon attached, by its id, or
// the last one of kind anomaly. Units that are not of the profile's features do not count; nil: there is no profile. Errors: control.ErrRefused,
// control.ErrNoIncident.
func (m *Monitor) incidentSpan(d control.DomainStatus, id string, p *model.Profile) (from, to time.Time, kept []unit.Unit, err error) {
	a, numberErr := anomaly(d, id)
	var r control.IncidentRecord
	if numberErr == nil {
		list, err := m.history.List(control.IncidentFilter{Domain: d.UUID, Kind: incidentAnomaly})
		i := slices.IndexFunc(list, func(r control.IncidentRecord) bool { return r.From.Equal(a.Begin) })
		if err != nil || i < 0 {
			return a.Begin, a.End, nil, nil //nolint:nilerr // what the daemon remembers may do
		}
		units, err := m.history.Units(list[i].ID)
		if err != nil {
			return a.Begin, a.End, nil, nil //nolint:nilerr // likewise
		}
		return a.Begin, a.End, usable(units, p, a.Begin, a.End), nil
	}
	if id == "last" { // of before this daemon
		list, err := m.history.List(control.IncidentFilter{Domain: d.UUID, Kind: incidentAnomaly, Most: 1})
		if err != nil || len(list) == 0 {
			return from, to, nil, numberErr
		}
		r = list[0]
	} else if r, err = m.history.Find(id); err != nil {
		return from, to, nil, fmt.Errorf("%w; and %w", numberErr, err)
	}
	switch {
	case r.UUID != d.UUID:
		return from, to, nil, fmt.Errorf("%w: incident %s is of domain %s, not of %s", control.ErrRefused, r.ID, r.Name, d.Name)
	case r.From.IsZero():
		return from, to, nil, fmt.Errorf("%w: no unit was unusual in incident %s of kind %s: mark a span with --from and --to", control.ErrRefused, r.ID, r.Kind)
	}
	units, err := m.history.Units(r.ID)
	if err != nil {
		return from, to, nil, err
	}
	return r.From, r.To, usable(units, p, r.From, r.To), nil
}

// usable are the units of a span that a profile may be learnt from.
func usable(list control.IncidentUnits, p *model.Profile, from, to time.Time) []unit.Unit {
	if p == nil || list.Catalogue != p.Catalogue || !slices.Equal(list.Features, p.Features) {
		return nil
	}
	var units []unit.Unit
	for _, k := range list.Units {
		whole := k.Duration == unit.Width.Seconds() && k.Lost == 0
		if (k.Reason != "" && k.Reason != reasonGathering) || !whole || k.Start.Before(from) || k.Start.Add(unit.Width).After(to) {
			continue
		}
		u := unit.Unit{Start: k.Start.UnixNano(), Duration: int64(unit.Width), Counts: make([]uint64, len(p.Features))}
		for i, name := range p.Features {
			u.Counts[i] = k.Counts[name]
		}
		units = append(units, u)
	}
	return units
}
