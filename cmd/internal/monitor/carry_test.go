package monitor

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
)

// What happened to a domain goes where it goes: an incident that is open there goes on, and one that was labelled keeps its label.
func TestIncidentsTravel(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	b.await(stateLearning, "")
	start := time.Now().Add(-time.Hour)
	b.source.put(batch{units: load(60, start, 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	b.source.put(batch{units: load(10, start.Add(3*time.Minute), 1, 0)})
	b.source.put(batch{units: load(10, start.Add(4*time.Minute), 30, 0)})
	b.await(stateAnomalous, reasonAnomaly)
	d := b.within("its incident is open", func(d control.DomainStatus) bool { return len(d.Incidents) == 1 })
	id := d.Incidents[0].ID
	if _, err := b.LabelIncident(id, control.LabelRequest{Label: control.LabelTrue, Note: "seen"}); err != nil {
		t.Fatal(err)
	}
	var e *libvirt.IncidentsElement
	b.within("the incident is in the domain's metadata, with its label and its peak", func(control.DomainStatus) bool {
		var err error
		e, err = b.client.Incidents(b.domain.UUID)
		text := ""
		if e != nil {
			text = string(e.Records)
		}
		return err == nil && strings.Contains(text, id) && strings.Contains(text, `"label":"true"`) && strings.Contains(text, `"peak":`)
	})
	b.end()

	e.Host = "elsewhere"
	if err := b.client.SetIncidents(b.domain.UUID, *e); err != nil {
		t.Fatal(err)
	}
	there := newBench(t, testConfig(t))
	there.within("the incident goes on there", func(d control.DomainStatus) bool {
		return len(d.Incidents) == 1 && d.Incidents[0].ID == id
	})
	r, err := there.Incident(id)
	if err != nil || r.Label != control.LabelTrue || r.Note != "seen" || r.Peak == nil || !r.Open() {
		t.Errorf("there %+v, %v", r, err)
	}
	there.within("it is in the metadata, as of there", func(control.DomainStatus) bool {
		now, err := there.client.Incidents(there.domain.UUID)
		return err == nil && now != nil && now.Host == there.host && strings.Contains(string(now.Records), id)
	})
	there.end()

	// It comes home, where a record of it was closed or left open.
	if e, err = there.client.Incidents(there.domain.UUID); err != nil {
		t.Fatal(err)
	}
	var list []control.IncidentRecord
	if err := json.Unmarshal(e.Records, &list); err != nil || len(list) == 0 {
		t.Fatal(err, list)
	}
	list[0].Closed, list[0].Until, list[0].Updated = control.ClosedOver, time.Now(), time.Now()
	if e.Records, err = json.Marshal(list); err != nil {
		t.Fatal(err)
	}
	e.Host = "elsewhere"
	for _, tc := range []struct {
		name    string
		records string
		used    bool
	}{
		{"garbled", "[{", false},
		{"another's", strings.ReplaceAll(string(e.Records), b.domain.UUID, "c7a5fdbd-cdaf-9455-926a-d65c16db1809"), false},
		{"with control characters", strings.Replace(string(e.Records), `"seen"`, `"\u001b[2J"`, 1), false},
		{"right", string(e.Records), true},
	} {
		e.Records = []byte(tc.records)
		if err := b.client.SetIncidents(b.domain.UUID, *e); err != nil {
			t.Fatal(err)
		}
		home := newBench(t, testConfig(t))
		home.within(tc.name+": it is settled what the domain has brought along", func(control.DomainStatus) bool {
			return home.watcher(b.domain.UUID).judge.looked.Load()
		})
		if tc.used {
			home.within("the closed one is known", func(control.DomainStatus) bool {
				r, err := home.Incident(id)
				return err == nil && r.Closed == control.ClosedOver && r.Label == control.LabelTrue
			})
		} else if r, err := home.Incident(id); err == nil {
			t.Errorf("%s: %+v was taken in", tc.name, r)
		}
		home.end()
	}
}
