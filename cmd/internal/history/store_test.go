package history

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

func TestMain(m *testing.M) {
	if work := children[os.Getenv("HISTORY_TEST_CHILD")]; work != nil {
		work()
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	web = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"
	db  = "0d9f1e0a-3d5d-4a86-9b14-6d2b1f1c7a11"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func testConfig(t testing.TB) Config {
	return Config{File: filepath.Join(t.TempDir(), "state", "history.db"), Days: 36500, Incidents: 1000, UnitDays: 36500}
}

// running is a store that writes.
type running struct {
	*Store
	log  *bytes.Buffer // to be read after stop
	stop func()
}

// start makes a store and runs it; before, if not nil, changes it first.
func start(t testing.TB, cfg Config, before func(*Store)) *running {
	t.Helper()
	var text bytes.Buffer
	log := logrus.New()
	log.SetOutput(&text)
	r := &running{Store: New(cfg, log), log: &text}
	r.retryFirst, r.retryMost = time.Millisecond, 10*time.Millisecond
	if before != nil {
		before(r.Store)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	stopped := false
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-ended
		}
	}
	t.Cleanup(r.stop)
	<-r.Ready()
	return r
}

func anomaly(uuid string, n int) control.IncidentRecord {
	at := noon.Add(time.Duration(n) * time.Minute)
	return control.IncidentRecord{UUID: uuid, Name: "web", Kind: "anomaly", Since: at, Updated: at, Text: fmt.Sprint("packets ", n), Life: "boot/1/2"}
}

func closed(r control.IncidentRecord) control.IncidentRecord {
	r.Closed, r.Until = control.ClosedOver, r.Since.Add(time.Minute)
	return r
}

// kept is what the database holds, by id.
func kept(t testing.TB, file string) map[string]control.IncidentRecord {
	t.Helper()
	d, err := openDatabase(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	var found string
	if err := d.db.QueryRow("PRAGMA integrity_check").Scan(&found); err != nil || found != "ok" {
		t.Fatalf("integrity check: %q, %v", found, err)
	}
	list, err := d.records("SELECT record FROM incident")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]control.IncidentRecord{}
	for _, r := range list {
		all[r.ID] = r
	}
	return all
}

func TestKept(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg, nil)
	features := []string{"a", "b", "c"}
	first := s.Open(anomaly(web, 1))
	first.Units, first.From, first.To = 7, noon, noon.Add(14*time.Second)
	first.Peak = &control.Peak{Start: noon, Score: math.Inf(-1), PValue: 0.001, Sentence: "x", Explain: []control.Variable{{Feature: "a", UsualHigh: math.Inf(1)}}}
	first.Scored, first.Unscored = 12, map[string]float64{"events-lost": 2}
	s.Put(first, false)
	units := []control.KeptUnit{
		{Start: noon, Duration: 2, State: "normal", Judged: true, PValue: 0.4, Counts: map[string]uint64{"a": 1, "c": 1 << 40}},
		{Start: noon.Add(2 * time.Second), Duration: 2, Lost: 3, Reason: "events-lost", Counts: map[string]uint64{}},
	}
	s.AddUnits(first.ID, "counts/1", features, units...)
	s.Put(closed(first), false)
	second := s.Open(anomaly(db, 2))
	if first.ID == "" || first.ID == second.ID || strings.Trim(first.ID[:1], idLetters[:idFirst]) != "" {
		t.Errorf("ids %q and %q", first.ID, second.ID)
	}
	if r, err := s.Note(first.ID, func(r *control.IncidentRecord) { r.Label, r.Note = control.LabelFalse, "backup" }); err != nil || r.Note != "backup" {
		t.Errorf("Note = %+v, %v", r, err)
	}
	s.Await(db, time.Minute)
	s.stop()

	again := start(t, cfg, nil)
	list, err := again.List(control.IncidentFilter{})
	if err != nil || len(list) != 2 || list[0].ID != second.ID || list[1].ID != first.ID {
		t.Fatalf("List = %+v, %v", list, err)
	}
	want := closed(first)
	want.Label, want.Note = control.LabelFalse, "backup"
	want.Peak = &control.Peak{Start: noon, Score: -math.MaxFloat64, PValue: 0.001, Sentence: "x", Explain: []control.Variable{{Feature: "a", UsualHigh: math.MaxFloat64}}}
	if diff := cmp.Diff(want, list[1]); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	got, err := again.Units(first.ID[:6])
	if diff := cmp.Diff(control.IncidentUnits{Catalogue: "counts/1", Features: features, Units: units}, got); err != nil || diff != "" {
		t.Errorf("units: %v (-want +got):\n%s", err, diff)
	}
	for _, id := range []string{"", "no-such", "%", "_"} {
		if _, err := again.Find(id); !errors.Is(err, control.ErrNoIncident) {
			t.Errorf("Find(%q) = %v; want none", id, err)
		}
	}
	if r, err := again.Find(Last); err != nil || r.ID != second.ID {
		t.Errorf("the last one is %+v, %v", r, err)
	}
	info, err := os.Stat(cfg.File)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want a private file", info.Mode(), err)
	}
	if _, err := os.Stat(cfg.File + "-shm"); err == nil {
		t.Error("memory is shared with other processes")
	}
}

func TestInherit(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg, nil)
	var ids []string
	for i, uuid := range []string{web, db, "gone"} {
		ids = append(ids, s.Open(anomaly(uuid, i)).ID)
	}
	loss := anomaly(web, 3)
	loss.Kind = "loss"
	ids = append(ids, s.Open(loss).ID)
	s.stop()

	s = start(t, cfg, nil)
	if got := s.Inherit(web, ""); len(got) != 0 {
		t.Errorf("inherited by a life that is not known: %+v", got)
	}
	// What is opened anew is the one that was left open.
	same := anomaly(web, 9)
	same.Life = ""
	if r := s.Open(same); r.ID != ids[0] || !r.Since.Equal(noon) || r.Text != "packets 9" || r.Restarts != 1 {
		t.Errorf("opened again: %+v", r)
	}
	if got := s.Inherit(web, "boot/1/2"); len(got) != 1 || got[0].ID != ids[3] || got[0].Restarts != 1 {
		t.Errorf("inherited %+v; want the loss", got)
	}
	if got := s.Inherit(db, "boot/5/6"); len(got) != 0 {
		t.Errorf("inherited by another life: %+v", got)
	}
	s.Settle(func(uuid string) bool { return uuid != "gone" })
	for i, want := range []string{"", control.ClosedDaemon, control.ClosedDaemon, ""} {
		if r, err := s.Find(ids[i]); err != nil || r.Closed != want || want != "" && !r.Until.Equal(r.Updated) {
			t.Errorf("incident %d: %+v, %v; want closed %q", i, r, err, want)
		}
	}
	s.stop()
	if n := len(kept(t, cfg.File)); n != len(ids) {
		t.Errorf("%d incidents; want %d", n, len(ids))
	}
}

// TestLate: the file can be opened only after the daemon has opened an incident of its own.
func TestLate(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg, nil)
	left := s.Open(anomaly(web, 1))
	s.stop()
	broken := make(chan struct{})
	s = start(t, cfg, func(s *Store) {
		s.faulty = func() error {
			select {
			case <-broken:
				return nil
			default:
				return errors.New("no disk")
			}
		}
	})
	mine := s.Open(anomaly(web, 2))
	if h := s.Status(); h.Error != "no disk" || h.Waiting != 1 || h.Since.IsZero() {
		t.Errorf("status %+v", h)
	}
	if _, err := s.Find("no-such"); err == nil || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("Find = %v; want it to say why", err)
	}
	s.Await(web, time.Minute) // it does not
	close(broken)
	s.Await(web, time.Minute)
	awaitWritten(t, s)
	if r, err := s.Find(left.ID); err != nil || r.Closed != control.ClosedDaemon {
		t.Errorf("what was left: %+v, %v", r, err)
	}
	if r, err := s.Find(mine.ID); err != nil || !r.Open() {
		t.Errorf("the own one: %+v, %v", r, err)
	}
	s.stop()
	if text := s.log.String(); strings.Count(text, "no disk") != 1 || !strings.Contains(text, "written again") {
		t.Errorf("the log says\n%s", text)
	}
}

// awaitWritten waits until all is on disk.
func awaitWritten(t *testing.T, s *running) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		h := s.Status()
		if h.Error == "" && h.Waiting == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("status %+v", h)
		}
	}
}

func TestUnitsAreDropped(t *testing.T) {
	s := New(testConfig(t), logrus.New())
	for i := range unitQueue + 5 {
		s.AddUnits("x", "c", nil, control.KeptUnit{Start: time.Unix(int64(i), 0)})
	}
	if h := s.Status(); h.Dropped != 5 || len(s.units) != unitQueue {
		t.Errorf("%d dropped, %d wait", h.Dropped, len(s.units))
	}
}

// TestStalled: a disk that gives no answer at all is a trouble, too, and nobody waits for it.
func TestStalled(t *testing.T) {
	s := New(testConfig(t), logrus.New())
	s.Open(anomaly(web, 1))
	s.busy = time.Now().Add(-2 * stallLimit)
	s.Await(web, time.Minute)
	if h := s.Status(); !strings.Contains(h.Error, "does not answer") || !h.Since.Equal(s.busy) || s.Trouble() != h.Error {
		t.Errorf("status %+v", h)
	}
}

func TestRetention(t *testing.T) {
	cfg := testConfig(t)
	now := noon.AddDate(1, 0, 0)
	s := start(t, cfg, nil)
	var ids []string
	for i := range 10 {
		uuid := web
		if i%5 == 0 {
			uuid = db
		}
		r := s.Open(anomaly(uuid, i))
		s.AddUnits(r.ID, "counts/1", []string{"a"}, control.KeptUnit{Start: noon, Counts: map[string]uint64{"a": 1}})
		if i < 9 {
			s.Put(closed(r), true)
		}
		ids = append(ids, r.ID)
	}
	if _, err := s.Note(ids[1], func(r *control.IncidentRecord) { r.Label = control.LabelTrue }); err != nil {
		t.Fatal(err)
	}
	s.stop()
	d, err := openDatabase(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	count := func(query string) (n int) {
		t.Helper()
		if err := d.db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	// Five closed ones of nine stay: of the domain with the most, the oldest go, but the labelled one.
	if err := d.tidy(Config{Days: 36500, Incidents: 5, UnitDays: 36500}, now, true); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false, false, false, true, false, true, true, true} {
		if got := count("SELECT count(*) FROM incident WHERE id = '"+ids[i]+"'") == 1; got != want {
			t.Errorf("incident %d is kept: %v", i, got)
		}
	}
	if n := count("SELECT count(*) FROM unit"); n != 6 {
		t.Errorf("units of %d incidents; want 6", n)
	}
	d.tidied = time.Time{}
	if err := d.tidy(Config{Days: 400, Incidents: 5, UnitDays: 100}, now, false); err != nil {
		t.Fatal(err)
	}
	if n, units := count("SELECT count(*) FROM incident"), count("SELECT count(*) FROM unit"); n != 6 || units != 1 {
		t.Errorf("%d incidents, units of %d; want 6, 1 (the open one's)", n, units)
	}
	d.tidied = time.Time{}
	if err := d.tidy(Config{Days: 100, Incidents: 5, UnitDays: 100}, now, false); err != nil {
		t.Fatal(err)
	}
	if n := count("SELECT count(*) FROM incident"); n != 1 {
		t.Errorf("%d incidents; want the open one", n)
	}
}

func TestFilter(t *testing.T) {
	s := start(t, testConfig(t), nil)
	for i := range 4 {
		r := anomaly(web, i)
		if i == 3 {
			r.Kind = "drift"
		}
		if r = s.Open(r); i < 2 {
			s.Put(closed(r), true)
		}
		if i == 1 {
			if _, err := s.Note(r.ID, func(r *control.IncidentRecord) { r.Label = control.LabelTrue }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		f    control.IncidentFilter
		want string
	}{
		{control.IncidentFilter{}, "3 2 1 0"},
		{control.IncidentFilter{Most: 2}, "3 2"},
		{control.IncidentFilter{Domain: "web", Kind: "anomaly"}, "2 1 0"},
		{control.IncidentFilter{Domain: db}, ""},
		{control.IncidentFilter{State: "closed"}, "1 0"},
		{control.IncidentFilter{State: "open"}, "3 2"},
		{control.IncidentFilter{Label: "true"}, "1"},
		{control.IncidentFilter{Label: "none"}, "3 2 0"},
		{control.IncidentFilter{Unread: true, State: "closed"}, "0"},
		{control.IncidentFilter{From: noon.Add(90 * time.Second)}, "3 2 1"},
		{control.IncidentFilter{To: noon.Add(90 * time.Second)}, "1 0"},
	} {
		list, err := s.List(tc.f)
		var got []string
		for _, r := range list {
			got = append(got, strings.TrimPrefix(r.Text, "packets "))
		}
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("%+v: %v, %v; want %s", tc.f, got, err, tc.want)
		}
	}
	if _, err := s.List(control.IncidentFilter{Label: "maybe"}); !errors.Is(err, control.ErrRefused) {
		t.Errorf("an unknown label: %v", err)
	}
}

// execute changes a database from outside.
func execute(t *testing.T, file, text string) {
	t.Helper()
	d, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Exec(text); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
