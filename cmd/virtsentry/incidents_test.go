package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// incidents is the backend's part that keeps incidents.
type incidents struct {
	records []control.IncidentRecord // the newest first
	trouble string
}

func (i *incidents) ListIncidents(f control.IncidentFilter) ([]control.IncidentRecord, error) {
	list := []control.IncidentRecord{}
	for _, r := range i.records {
		if f.Chooses(r) && (f.Most == 0 || len(list) < f.Most) {
			list = append(list, r)
		}
	}
	return list, f.Check()
}

func (i *incidents) find(id string) (*control.IncidentRecord, error) {
	for n := range i.records {
		if strings.HasPrefix(i.records[n].ID, id) {
			return &i.records[n], nil
		}
	}
	return nil, fmt.Errorf("%w %q is kept", control.ErrNoIncident, id)
}

func (i *incidents) Incident(id string) (control.IncidentRecord, error) {
	r, err := i.find(id)
	if err != nil {
		return control.IncidentRecord{}, err
	}
	return *r, nil
}

func (i *incidents) IncidentUnits(id string) (control.IncidentUnits, error) {
	r, err := i.find(id)
	if err != nil || r.From.IsZero() {
		return control.IncidentUnits{Features: []string{}, Units: []control.KeptUnit{}}, err
	}
	return control.IncidentUnits{Catalogue: "counts/1", Features: []string{"a", "tap_send"}, Units: []control.KeptUnit{
		{Start: r.From, Duration: 2, State: "suspect", Judged: true, Anomalous: true, Score: -80.4, PValue: 0.011, Counts: map[string]uint64{"tap_send": 3883}},
		{Start: r.From.Add(unit.Width), Duration: 1.5, Lost: 4, State: "anomalous", Reason: "events-lost", Counts: map[string]uint64{}},
	}}, nil
}

func (i *incidents) AckIncident(id string, request control.AckRequest) (control.IncidentRecord, error) {
	r, err := i.find(id)
	if err != nil {
		return control.IncidentRecord{}, err
	}
	r.Ack, r.Note = noon.Add(time.Minute), request.Note
	return *r, nil
}

func (i *incidents) LabelIncident(id string, request control.LabelRequest) (control.IncidentRecord, error) {
	r, err := i.find(id)
	if err != nil {
		return control.IncidentRecord{}, err
	}
	r.Label, r.Note = request.Label, request.Note
	return *r, nil
}

func (i *incidents) HistoryStatus() control.HistoryStatus {
	h := control.HistoryStatus{File: "/var/lib/virtsentry/history.db", Error: i.trouble}
	if i.trouble != "" {
		h.Since, h.Waiting = noon, 2
	}
	return h
}

func records() []control.IncidentRecord {
	const web = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"
	at := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	closed := func(id string, minute int, label string) control.IncidentRecord {
		return control.IncidentRecord{
			ID: id, UUID: web, Name: "web", Host: "host1", Kind: "anomaly", Since: at(minute), Until: at(minute + 5), Updated: at(minute + 5), Closed: control.ClosedOver,
			Text: "disk: requests", Units: 30, From: at(minute).Add(-6 * time.Second), To: at(minute + 3), Scored: 300, Label: label,
		}
	}
	first := control.IncidentRecord{
		ID: "kd7m2q9x", UUID: web, Name: "web\t1", Host: "host1", Kind: "anomaly", Since: at(1), Updated: at(2), Text: "network: packets of 64 to 71 bytes received by the guest, 3,883 instead of 0",
		Units: 29, From: at(1).Add(-6 * time.Second), To: at(2), Restarts: 1, Scored: 58, Unscored: map[string]float64{"events-lost": 6, "daemon-stopped": 2},
		Unseen: []control.Unseen{{Kind: "interface", Name: "vnet1", Why: "vhost-net"}}, Ack: at(2), Note: "asked\nthe owner",
		Peak: &control.Peak{Start: at(1), Score: -80.4165, PValue: 0.011, Sentence: "packets", Explain: []control.Variable{
			{Feature: "virtqueue_fill:net.rx:len=64-71", Seconds: 2, Subsystem: "network", Words: "packets of 64 to 71 bytes received by the guest", Observed: 3883, Deviation: 41.5},
		}},
	}
	policy := control.IncidentRecord{
		ID: "bbbbbbbb", UUID: "0d9f1e0a-3d5d-4a86-9b14-6d2b1f1c7a11", Name: "db", Kind: "policy", Since: at(0), Until: at(0).Add(90 * time.Second), Closed: control.ClosedDaemon, Text: "level",
	}
	return []control.IncidentRecord{
		first, policy, closed("caaaaaaa", -100, control.LabelFalse), closed("daaaaaaa", -1500, control.LabelTrue), closed("eaaaaaaa", -1560, control.LabelFalse),
		closed("faaaaaaa", -1620, control.LabelUnknown), closed("gaaaaaaa", -3000, ""), closed("haaaaaaa", -50*24*60, control.LabelTrue),
	}
}

func TestKeptIncidents(t *testing.T) {
	b := &backend{domains: domains(), incidents: incidents{records: records()}}
	socket := serve(t, b)
	incidents := func(args ...string) (string, int, error) {
		return run(t.Context(), append([]string{"--socket", socket, "incidents"}, args...)...)
	}
	for file, args := range map[string][]string{
		"incidents-list.txt":    {"list"},
		"incidents-list.json":   {"list", "-o", "json", "--kind", "policy"},
		"incidents-open.txt":    {"list", "--open"},
		"incidents-none.txt":    {"list", "--domain", "no-such"},
		"incidents-show.txt":    {"show", "kd7m"},
		"incidents-show.json":   {"show", "kd7m2q9x", "-o", "json"},
		"incidents-closed.txt":  {"show", "bbbbbbbb"},
		"incidents-report.txt":  {"report"},
		"incidents-report.json": {"report", "--days", "1", "-o", "json"},
		"incidents-export.json": {"export", "kd7m2q9x", "bbbbbbbb"},
		"incidents-units.csv":   {"export", "kd7m2q9x", "--units", "-"},
		"incidents-recent.txt":  {"list", "--from", "-2h", "--unread", "-n", "1"},
	} {
		got, _, err := incidents(args...)
		if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		golden(t, file, got)
	}
	file := filepath.Join(t.TempDir(), "units.csv")
	if _, _, err := incidents("export", "kd7m2q9x", "--units", file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := unit.Read(bytes.NewReader(text)); err != nil || len(f.Units) != 2 || f.Units[0].Counts[1] != 3883 || f.Units[1].Lost != 4 {
		t.Errorf("units %+v, %v", f, err)
	}
	got, _, err := incidents("ack", "bbbb", "gaaa", "--note", "seen it")
	if err != nil || b.records[1].Note != "seen it" || b.records[6].Ack.IsZero() || !strings.Contains(got, "bbbbbbbb: seen 2026-05-04T12:01:00Z\n") {
		t.Errorf("ack: %q, %v", got, err)
	}
	for _, args := range [][]string{{"show", "zzz"}, {"ack", "zzz"}, {"label", "zzz", "true"}, {"export", "zzz"}, {"export", "zzz", "--units", "-"}} {
		if _, code, err := incidents(args...); code != exitNoDomain || !errors.Is(err, control.ErrNoIncident) {
			t.Errorf("%v: exit status %d, %v", args, code, err)
		}
	}
	for _, args := range [][]string{
		{"show"}, {"ack"}, {"label", "kd7m"}, {"label", "kd7m", "maybe"}, {"label", "kd7m", "true", "--relearn"}, {"label", "kd7m", "false", "--dry-run"},
		{"list", "--from", "yesterday"}, {"list", "--label", "maybe"}, {"report", "--days", "0"}, {"export", "kd7m", "--kind", "loss"}, {"export", "--units", "-"},
		{"export", "bbbb", "--units", "-"},
	} {
		if _, code, err := incidents(args...); err == nil || code != exitFailure {
			t.Errorf("%v: exit status %d, %v", args, code, err)
		}
	}
	b.trouble = "history.file /var/lib/virtsentry/history.db: no room on its disk"
	if got, _, err = incidents("list", "--kind", "policy"); err != nil {
		t.Fatal(err)
	}
	golden(t, "incidents-trouble.txt", got)
}

func TestLabel(t *testing.T) {
	b := &backend{domains: domains(), incidents: incidents{records: records()}}
	socket := serve(t, b)
	label := func(args ...string) (string, int, error) {
		return run(t.Context(), append([]string{"--socket", socket, "incidents", "label"}, args...)...)
	}
	got, _, err := label("kd7m", "true", "--note", "a scan")
	if err != nil || got != "kd7m2q9x: labelled true\n" || b.records[0].Label != control.LabelTrue || b.records[0].Note != "a scan" {
		t.Errorf("%q, %v: %+v", got, err, b.records[0])
	}
	got, _, err = label("kd7m", "false")
	if err != nil || !strings.Contains(got, "virtsentry relearn c7a5fdbd-cdaf-9455-926a-d65c16db1809 --incident kd7m2q9x --dry-run") {
		t.Errorf("%q, %v", got, err)
	}
	got, _, err = label("kd7m", "false", "--relearn")
	want := control.RelearnRequest{Incident: "kd7m2q9x", AcceptLoss: acceptedLoss}
	if diff := cmp.Diff(want, b.request); err != nil || diff != "" || !strings.HasPrefix(got, "kd7m2q9x: labelled false\n") {
		t.Errorf("%q, %v (-want +got):\n%s", got, err, diff)
	}
	b.lost = []string{"slowhttp_target"}
	if _, code, err := label("kd7m", "false", "--relearn", "--accept-loss", "0.01"); code != exitFailure || !errors.Is(err, control.ErrRefused) || b.request.AcceptLoss != 0.01 {
		t.Errorf("exit status %d, %v", code, err)
	}
}
