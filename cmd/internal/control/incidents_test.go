package control

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// incidents is the backend's part that keeps incidents: it knows one, and notes what it was asked for.
type incidents struct {
	filter IncidentFilter
	noted  string
}

var scan = IncidentRecord{
	ID: "kd7m2q9x", UUID: web.UUID, Name: web.Name, Kind: "anomaly", Since: time.Unix(60, 0).UTC(), Updated: time.Unix(70, 0).UTC(), Text: "packets", Units: 5,
	From: time.Unix(50, 0).UTC(), To: time.Unix(60, 0).UTC(), Peak: &Peak{Start: time.Unix(52, 0).UTC(), Score: -3, PValue: 0.01, Sentence: "packets", Explain: []Variable{{Feature: "tap_send"}}},
	Scored: 8, Unscored: map[string]float64{"events-lost": 2},
}

func (i *incidents) ListIncidents(f IncidentFilter) ([]IncidentRecord, error) {
	i.filter = f
	return []IncidentRecord{scan}, nil
}

func (i *incidents) Incident(id string) (IncidentRecord, error) {
	switch id {
	case scan.ID:
		return scan, nil
	case "k":
		return IncidentRecord{}, fmt.Errorf("%w: the ids of several begin so", ErrRefused)
	}
	return IncidentRecord{}, fmt.Errorf("%w %q is kept", ErrNoIncident, id)
}

func (i *incidents) IncidentUnits(id string) (IncidentUnits, error) {
	_, err := i.Incident(id)
	return IncidentUnits{Catalogue: "counts/1", Features: []string{"a"}, Units: []KeptUnit{{Start: time.Unix(50, 0).UTC(), Counts: map[string]uint64{"a": 1}}}}, err
}

func (i *incidents) AckIncident(id string, request AckRequest) (IncidentRecord, error) {
	i.noted = "ack " + id + " " + request.Note
	return i.Incident(id)
}

func (i *incidents) LabelIncident(id string, request LabelRequest) (IncidentRecord, error) {
	i.noted = "label " + id + " " + request.Label + " " + request.Note
	return i.Incident(id)
}

func (i *incidents) HistoryStatus() HistoryStatus {
	return HistoryStatus{File: "/x", Error: "no room", Waiting: 3}
}

func TestIncidents(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	ctx := t.Context()
	want := IncidentFilter{Domain: "a web/server", Label: LabelNone, Unread: true, From: time.Unix(5, 7).UTC(), Most: 4}
	list, err := c.ListIncidents(ctx, want)
	if diff := cmp.Diff([]IncidentRecord{scan}, list); err != nil || diff != "" {
		t.Errorf("ListIncidents: %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(want, b.filter); diff != "" {
		t.Errorf("the daemon was asked for (-want +got):\n%s", diff)
	}
	if _, err := c.ListIncidents(ctx, IncidentFilter{Label: "maybe"}); !errors.Is(err, ErrRefused) {
		t.Errorf("an unknown label: %v", err)
	}
	if u, err := c.IncidentUnits(ctx, scan.ID); err != nil || len(u.Units) != 1 || u.Units[0].Counts["a"] != 1 {
		t.Errorf("IncidentUnits = %+v, %v", u, err)
	}
	if r, err := c.AckIncident(ctx, scan.ID, AckRequest{Note: "seen"}); err != nil || r.ID != scan.ID || b.noted != "ack kd7m2q9x seen" {
		t.Errorf("AckIncident = %+v, %v: %q", r, err, b.noted)
	}
	if _, err := c.LabelIncident(ctx, scan.ID, LabelRequest{Label: LabelFalse, Note: strings.Repeat("ü", MaxNoteBytes/2)}); err != nil ||
		!strings.HasPrefix(b.noted, "label kd7m2q9x false ü") {
		t.Errorf("LabelIncident: %v: %q", err, b.noted)
	}
	if h, err := c.HistoryStatus(ctx); err != nil || h.Waiting != 3 || h.Error != "no room" {
		t.Errorf("HistoryStatus = %+v, %v", h, err)
	}
	for _, id := range []string{"no-such", "a/b", ".", "..", ""} {
		if _, err := c.Incident(ctx, id); !errors.Is(err, ErrNoIncident) {
			t.Errorf("Incident(%q) = %v; want none", id, err)
		}
	}
	if _, err := c.LabelIncident(ctx, "k", LabelRequest{}); !errors.Is(err, ErrRefused) {
		t.Errorf("of several: %v", err)
	}
}

// A filter is the same on both ends, and what is no filter is refused.
func TestFilterTravels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := IncidentFilter{
			Domain: rapid.String().Draw(t, "domain"), Kind: rapid.String().Draw(t, "kind"),
			State: rapid.SampledFrom([]string{"", StateOpen, StateClosed}).Draw(t, "state"),
			Label: rapid.SampledFrom(append(Labels(), "", LabelNone)).Draw(t, "label"), Unread: rapid.Bool().Draw(t, "unread"),
			Most: rapid.IntRange(0, 1000).Draw(t, "most"),
		}
		if s := rapid.Int64Range(0, 1<<40).Draw(t, "from"); s > 0 {
			f.From = time.Unix(0, s).UTC()
		}
		got, err := ParseFilter(f.query())
		if diff := cmp.Diff(f, got); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
	for _, q := range []string{"most=-1", "most=x", "state=half", "label=x", "from=now", "unread=perhaps", "colour=red", "kind=a&kind=b"} {
		v, err := url.ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseFilter(v); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v; want it refused", q, err)
		}
	}
}
