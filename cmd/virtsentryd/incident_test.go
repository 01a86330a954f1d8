//go:build integration

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// testIncident kills the daemon as soon as it has told of an anomaly. The incident is neither lost nor there twice, and can be looked into afterwards.
func (s *stack) testIncident(t *testing.T) {
	s.web.judged(t)
	s.web.await(t, "normal")
	event := time.Now()
	for range 5 {
		s.web.ping(t, 3000)
	}
	told := s.web.changes(t, event, "anomalous", is("anomalous"))
	_ = s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	s.startDaemon(t)
	s.web.judgedAfter(t, event)
	var list []control.IncidentRecord
	s.within(t, "the incident is closed", func() bool {
		var err error
		list, err = s.control().ListIncidents(t.Context(), control.IncidentFilter{Domain: s.web.uuid, Kind: "anomaly", From: event})
		return err == nil && len(list) > 0 && !list[0].Open()
	})
	if len(list) != 1 {
		t.Fatalf("%d incidents, %+v; want one", len(list), list)
	}
	r := list[0]
	if len(told.Incidents) != 1 || told.Incidents[0].ID != r.ID || !told.Incidents[0].Since.Equal(r.Since) || r.Restarts != 1 {
		t.Errorf("hooks were told of %+v; kept is %+v", told.Incidents, r)
	}
	if r.Peak == nil || len(r.Peak.Explain) == 0 || !strings.Contains(r.Text, "by the guest") || r.Scored <= 0 {
		t.Errorf("kept is %+v; want what was unusual", r)
	}
	units, err := s.control().IncidentUnits(t.Context(), r.ID)
	if err != nil || len(units.Units) < 5 {
		t.Errorf("%d units are kept, %v", len(units.Units), err)
	}
	if r, err = s.control().LabelIncident(t.Context(), r.ID, control.LabelRequest{Label: control.LabelFalse}); err != nil || r.Label != control.LabelFalse {
		t.Errorf("labelled: %+v, %v", r, err)
	}
	// The daemon remembers none of its units: they come from what is kept.
	answer, err := s.control().Relearn(t.Context(), s.web.uuid, control.RelearnRequest{Incident: r.ID, DryRun: true, AcceptLoss: 1})
	if err != nil || answer.Effect.Marked.Units == 0 {
		t.Errorf("Relearn = %+v, %v; want units that are marked", answer, err)
	}
	s.web.await(t, "normal")
}
