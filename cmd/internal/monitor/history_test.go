package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// keptAnomaly waits until the newest incident of kind anomaly is as wanted.
func (b *bench) keptAnomaly(what string, want func(control.IncidentRecord) bool) control.IncidentRecord {
	b.t.Helper()
	var r control.IncidentRecord
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if r, err = b.Incident("last"); err == nil && want(r) {
			return r
		}
	}
	b.t.Fatalf("%s: the newest anomaly is %+v, %v", what, r, err)
	return r
}

// attacked has the domain learn a profile, and then be anomalous by five units, whose start it returns.
func (b *bench) attacked() time.Time {
	b.t.Helper()
	b.await(stateLearning, reasonGathering)
	now := time.Now()
	attack := load(5, now.Add(300*time.Second), 20, 0)
	for i := range attack[3].Counts {
		attack[3].Counts[i] *= 3 // the worst
	}
	attack[4].Lost = 9
	units := slices.Concat(load(60, now, 1, 0), load(40, now.Add(150*time.Second), 1, 0), attack)
	b.source.put(batch{units: units})
	b.await(stateAnomalous, reasonAnomaly)
	return time.Unix(0, attack[0].Start)
}

func TestIncidentIsKept(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	began := b.attacked()
	open := b.keptAnomaly("open", func(r control.IncidentRecord) bool { return r.Units == 5 })
	d, err := b.Domain(b.domain.UUID)
	if err != nil || len(d.Incidents) != 1 || d.Incidents[0].ID != open.ID || !d.Incidents[0].Since.Equal(open.Since) {
		t.Errorf("the status has the incidents %+v (%v); the history %+v", d.Incidents, err, open)
	}
	b.source.put(batch{units: load(25, began.Add(100*time.Second), 1, 0)})
	b.await(stateNormal, "")
	r := b.keptAnomaly("closed", func(r control.IncidentRecord) bool { return !r.Open() })
	if r.ID != open.ID || r.Closed != control.ClosedOver || r.Until.Before(r.Since) || r.Kind != incidentAnomaly || r.UUID != b.domain.UUID || r.Name != b.domain.Name {
		t.Errorf("closed: %+v", r)
	}
	if !r.From.Equal(began) || !r.To.Equal(began.Add(5*unit.Width)) || !strings.Contains(r.Text, "packets received") {
		t.Errorf("from %v to %v; want from %v on: %s", r.From, r.To, began, r.Text)
	}
	if p := r.Peak; p == nil || !p.Start.Equal(began.Add(3*unit.Width)) || len(p.Explain) == 0 || p.Sentence == "" {
		t.Errorf("peak %+v; want that of the fourth unit", p)
	}
	// The attack's units, and usual ones until it was closed. Between them there are 90 s without any.
	if gap := r.Unscored[reasonAttaching]; r.Scored < 20 || r.Scored > 60 || len(r.Unscored) != 1 || gap < 89.9 || gap > 90.1 {
		t.Errorf("%v s were scored, not scored were %v", r.Scored, r.Unscored)
	}
	units, err := b.IncidentUnits(r.ID)
	if err != nil || units.Catalogue != testSet.Version() || !cmp.Equal(units.Features, testSet.Names()) {
		t.Errorf("units of %q, %v", units.Catalogue, err)
	}
	// 30 from when it was opened and before, and those until it was closed.
	if n := len(units.Units); n < 35 || n > 60 {
		t.Errorf("%d units are kept", n)
	}
	i := 0
	for i < len(units.Units) && units.Units[i].Start.Before(began) {
		i++
	}
	if i+5 > len(units.Units) || !units.Units[i].Anomalous || units.Units[i+4].Lost != 9 || units.Units[i].Counts["tap_send"] < 20*150 {
		t.Errorf("the attack's units are %+v", units.Units[i:])
	}

	if _, err := b.LabelIncident(r.ID, control.LabelRequest{Label: "maybe"}); !errors.Is(err, control.ErrRefused) {
		t.Errorf("label maybe: %v", err)
	}
	if _, err := b.AckIncident(r.ID, control.AckRequest{Note: strings.Repeat("x", control.MaxNoteBytes+1)}); !errors.Is(err, control.ErrRefused) {
		t.Errorf("a long note: %v", err)
	}
	if _, err := b.LabelIncident("no-such", control.LabelRequest{Label: control.LabelTrue}); !errors.Is(err, control.ErrNoIncident) {
		t.Errorf("label of none: %v", err)
	}
	if r, err := b.AckIncident(r.ID, control.AckRequest{Note: "looking"}); err != nil || r.Ack.IsZero() || r.Note != "looking" {
		t.Errorf("acknowledged: %+v, %v", r, err)
	}
	if r, err := b.LabelIncident(r.ID, control.LabelRequest{Label: control.LabelTrue}); err != nil || r.Label != control.LabelTrue || r.Note != "looking" {
		t.Errorf("labelled: %+v, %v", r, err)
	}
	if list, err := b.ListIncidents(control.IncidentFilter{Domain: b.domain.Name, Label: control.LabelTrue}); err != nil || len(list) != 1 {
		t.Errorf("List = %+v, %v", list, err)
	}
}

// TestIncidentGoesOn: an incident that is open when the daemon ends is the same one after its restart, and neither lost nor there twice.
func TestIncidentGoesOn(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	began := b.attacked()
	before := b.keptAnomaly("open", func(r control.IncidentRecord) bool { return r.Units == 5 })
	b.end()

	again := newBench(t, cfg)
	s := again.await(stateStarting, reasonNoUnit)
	if len(s.Incidents) != 1 || s.Incidents[0].Kind != incidentAnomaly || !s.Incidents[0].Since.Equal(before.Since.Truncate(time.Millisecond)) {
		t.Errorf("after a restart, metadata has the incidents %+v; want that since %v", s.Incidents, before.Since)
	}
	// A usual unit, or some, do not end it; then the attack goes on.
	again.source.put(batch{units: load(3, began.Add(100*time.Second), 1, 0)})
	again.await(stateNormal, "")
	if r := again.keptAnomaly("still open", func(control.IncidentRecord) bool { return true }); !r.Open() || r.Restarts != 1 {
		t.Errorf("after three usual units: %+v", r)
	}
	again.source.put(batch{units: load(5, began.Add(120*time.Second), 20, 0)})
	again.await(stateAnomalous, reasonAnomaly)
	again.source.put(batch{units: load(25, began.Add(200*time.Second), 1, 0)})
	again.await(stateNormal, "")
	r := again.keptAnomaly("closed", func(r control.IncidentRecord) bool { return !r.Open() })
	if r.ID != before.ID || r.Closed != control.ClosedOver || !r.From.Equal(began) || r.Units < 10 || r.Unscored[reasonStopped] == 0 || r.Peak.Start.After(r.To) {
		t.Errorf("closed: %+v\nbefore: %+v", r, before)
	}
	if list, err := again.ListIncidents(control.IncidentFilter{Kind: incidentAnomaly}); err != nil || len(list) != 1 {
		t.Errorf("%d anomalies, %v; want one", len(list), err)
	}
}

// TestIncidentEndedMeanwhile: one that is over after a restart is closed as of then.
func TestIncidentEndedMeanwhile(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	began := b.attacked()
	before := b.keptAnomaly("open", func(r control.IncidentRecord) bool { return r.Units == 5 })
	b.end()
	ended := time.Now()
	again := newBench(t, cfg)
	again.await(stateStarting, reasonNoUnit)
	again.source.put(batch{units: load(25, began.Add(100*time.Second), 1, 0)})
	r := again.keptAnomaly("closed", func(r control.IncidentRecord) bool { return !r.Open() })
	if r.ID != before.ID || r.Closed != control.ClosedDaemon || r.Until.Before(before.Since) || r.Until.After(ended) || r.Units != 5 {
		t.Errorf("closed: %+v", r)
	}
	again.await(stateNormal, "")
	again.end()

	// Another life of the domain has nothing to do with it.
	third := newIdleBench(t, cfg, testSet)
	third.start()
	third.await(stateStarting, reasonNoUnit)
	third.source.put(batch{units: load(6, began.Add(300*time.Second), 20, 0)})
	third.await(stateAnomalous, reasonAnomaly)
	third.end()
	fourth := newIdleBench(t, cfg, testSet)
	fourth.writeFile(filepath.Join(fourth.processes.ProcDir, "4321", "stat"), "4321 (qemu) S"+strings.Repeat(" 1", 18)+" 700 0\n")
	fourth.start()
	r = fourth.keptAnomaly("closed", func(r control.IncidentRecord) bool { return !r.Open() && r.ID != before.ID })
	if r.Closed != control.ClosedDaemon {
		t.Errorf("of another life: %+v", r)
	}
	if s := fourth.await(stateStarting, ""); len(s.Incidents) != 0 {
		t.Errorf("the next life has the incidents %+v", s.Incidents)
	}
}

// TestIncidentOfADomainThatStops is closed with it.
func TestIncidentOfADomainThatStops(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.attacked()
	b.unwatch(b.domain.UUID)
	b.keptAnomaly("closed", func(r control.IncidentRecord) bool { return r.Closed == control.ClosedDomain })
}

// TestWithoutHistory: where no database can be made, domains are watched all the same, and it is said.
func TestWithoutHistory(t *testing.T) {
	cfg := testConfig(t)
	cfg.History.File = filepath.Join(t.TempDir(), "file", "history.db")
	if err := os.WriteFile(filepath.Dir(cfg.History.File), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, cfg)
	began := b.attacked()
	r := b.keptAnomaly("open", func(r control.IncidentRecord) bool { return r.Units == 5 })
	if d, err := b.Domain(b.domain.UUID); err != nil || !strings.Contains(d.History, "make the directory of history.file") {
		t.Errorf("status %q, %v", d.History, err)
	}
	if _, err := b.LabelIncident(r.ID, control.LabelRequest{Label: control.LabelFalse}); err != nil {
		t.Error(err)
	}
	if h := b.HistoryStatus(); h.Waiting != 1 || h.Error == "" {
		t.Errorf("status %+v", h)
	}
	b.source.put(batch{units: load(25, began.Add(100*time.Second), 1, 0)})
	b.await(stateNormal, "")
	if err := os.Remove(filepath.Dir(cfg.History.File)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); b.HistoryStatus().Waiting > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is not written when it can be: %+v", b.HistoryStatus())
		}
	}
	if r := b.keptAnomaly("kept", func(r control.IncidentRecord) bool { return !r.Open() }); r.Label != control.LabelFalse {
		t.Errorf("kept: %+v", r)
	}
}

// TestRelearnOfKeptUnits: a false alarm of before a restart of the daemon can be learnt from.
func TestRelearnOfKeptUnits(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	began := b.attacked()
	b.source.put(batch{units: load(25, began.Add(100*time.Second), 1, 0)})
	b.await(stateNormal, "")
	r := b.keptAnomaly("closed", func(r control.IncidentRecord) bool { return !r.Open() })
	b.end()

	again := newBench(t, cfg)
	again.await(stateStarting, reasonNoUnit)
	for _, id := range []string{r.ID, "last"} {
		answer, err := again.Relearn(again.domain.Name, control.RelearnRequest{Incident: id, AcceptLoss: 1, DryRun: true})
		if err != nil || answer.Effect.Marked.Units != 4 || answer.Profile.Units != 64 { // the fifth has lost events
			t.Errorf("Relearn of %s = %+v, %v; want the four whole units of the attack", id, answer, err)
		}
	}
	if _, err := again.Relearn(again.domain.Name, control.RelearnRequest{Incident: "no-such", AcceptLoss: 1}); !errors.Is(err, control.ErrRefused) ||
		!errors.Is(err, control.ErrNoIncident) {
		t.Errorf("Relearn of none: %v", err)
	}
}
