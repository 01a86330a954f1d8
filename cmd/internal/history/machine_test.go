package history

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// machine is what a history should hold after any sequence of what may happen to it.
type machine struct {
	t      testing.TB
	cfg    Config
	broken atomic.Bool // the disk
	s      *running
	want   map[string]control.IncidentRecord
	left   map[string]bool // open ones that an earlier daemon opened, and nobody has taken over
	n      int
}

func (m *machine) start() {
	m.s = start(m.t, m.cfg, func(s *Store) {
		s.faulty = func() error {
			if m.broken.Load() {
				return errors.New("no disk")
			}
			return nil
		}
	})
}

// some draws an incident that fits; empty: none does.
func (m *machine) some(t *rapid.T, fits func(control.IncidentRecord) bool) string {
	var ids []string
	for id, r := range m.want {
		if fits(r) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		t.Skip("there is none")
	}
	slices.SortFunc(ids, func(a, b string) int { return m.want[a].Since.Compare(m.want[b].Since) })
	return rapid.SampledFrom(ids).Draw(t, "id")
}

func (m *machine) mine(r control.IncidentRecord) bool { return r.Open() && !m.left[r.ID] }

func (m *machine) giveUp(id string) {
	r := m.want[id]
	r.Closed, r.Until = control.ClosedDaemon, r.Updated
	m.want[id] = r
	delete(m.left, id)
}

func (m *machine) Open(t *rapid.T) {
	m.n++
	r := anomaly(rapid.SampledFrom([]string{web, db}).Draw(t, "domain"), m.n)
	r.Kind = rapid.SampledFrom([]string{"anomaly", "loss"}).Draw(t, "kind")
	r.Life = rapid.SampledFrom([]string{"one", "two", ""}).Draw(t, "life")
	expected := r
	same := ""
	for id, w := range m.want {
		switch {
		case w.UUID != r.UUID || w.Kind != r.Kind || !w.Open():
		case !m.left[id]:
			t.Skip("a watcher opens one of a kind at a time")
		case r.Life == "" || w.Life == "" || w.Life == r.Life:
			same = id
		default:
			m.giveUp(id)
		}
	}
	got := m.s.Open(r)
	if same == "" {
		expected.ID = got.ID
	} else {
		expected = m.want[same]
		expected.Text = r.Text
		expected.Restarts++
		delete(m.left, same)
	}
	if diff := cmp.Diff(expected, got); diff != "" || same == "" && m.want[got.ID].ID != "" {
		t.Fatalf("Open (-want +got):\n%s", diff)
	}
	m.want[got.ID] = expected
}

func (m *machine) Put(t *rapid.T) {
	r := m.want[m.some(t, m.mine)]
	m.n++
	r.Text, r.Updated, r.Units = fmt.Sprint("news ", m.n), r.Updated.Add(time.Second), r.Units+1
	m.want[r.ID] = r
	r.Label = "" // what operators noted is not the watcher's
	m.s.Put(r, rapid.Bool().Draw(t, "at once"))
	m.s.AddUnits(r.ID, "counts/1", []string{"a"}, control.KeptUnit{Start: noon.Add(time.Duration(m.n)), Counts: map[string]uint64{"a": 1}})
}

func (m *machine) Close(t *rapid.T) {
	r := closed(m.want[m.some(t, m.mine)])
	m.want[r.ID] = r
	m.s.Put(r, true)
	late := r
	late.Closed, late.Text = "", "too late"
	m.s.Put(late, true) // is heard no more
}

func (m *machine) Label(t *rapid.T) {
	id := m.some(t, func(control.IncidentRecord) bool { return true })
	label := rapid.SampledFrom(control.Labels()).Draw(t, "label")
	r, err := m.s.Note(id, func(r *control.IncidentRecord) { r.Label = label })
	if err != nil && m.broken.Load() && errors.Is(err, control.ErrNoIncident) {
		return // it is on a disk that cannot be read
	}
	if err != nil || r.Label != label {
		t.Fatalf("Note = %+v, %v", r, err)
	}
	w := m.want[id]
	w.Label = label
	m.want[id] = w
}

func (m *machine) Break(*rapid.T) { m.broken.Store(true); m.s.poke() }

func (m *machine) Repair(*rapid.T) { m.broken.Store(false) }

func (m *machine) Restart(t *rapid.T) {
	m.broken.Store(false)
	m.s.stop()
	if n := m.s.Status().Waiting; n > 0 {
		t.Fatalf("%d incidents are not on disk at the end", n)
	}
	m.start()
	for id, r := range m.want {
		if r.Open() {
			m.left[id] = true
		}
	}
}

func (m *machine) Inherit(t *rapid.T) {
	uuid, life := rapid.SampledFrom([]string{web, db}).Draw(t, "domain"), rapid.SampledFrom([]string{"one", "two", ""}).Draw(t, "life")
	got := map[string]control.IncidentRecord{}
	for _, r := range m.s.Inherit(uuid, life) {
		got[r.ID] = r
	}
	want := map[string]control.IncidentRecord{}
	for id := range m.left {
		r := m.want[id]
		switch {
		case r.UUID != uuid || life == "":
		case r.Life == life:
			r.Restarts++
			m.want[id], want[id] = r, r
			delete(m.left, id)
		default:
			m.giveUp(id)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Inherit (-want +got):\n%s", diff)
	}
}

func (m *machine) Settle(t *rapid.T) {
	gone := rapid.SampledFrom([]string{web, db}).Draw(t, "gone")
	m.s.Settle(func(uuid string) bool { return uuid != gone })
	for id := range m.left {
		if m.want[id].UUID == gone {
			m.giveUp(id)
		}
	}
}

func (m *machine) Check(t *rapid.T) {
	if m.broken.Load() {
		return // what is on disk alone may be out of reach
	}
	list, err := m.s.List(control.IncidentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]control.IncidentRecord{}
	for _, r := range list {
		if got[r.ID].ID != "" {
			t.Fatalf("%s is there twice", r.ID)
		}
		got[r.ID] = r
	}
	if diff := cmp.Diff(m.want, got); diff != "" {
		t.Fatalf("what is kept (-want +got):\n%s", diff)
	}
}

// TestMachine: whatever daemons, operators and the disk do, each incident is there, once, as it was last told.
func TestMachine(t *testing.T) {
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		m := &machine{t: t, want: map[string]control.IncidentRecord{}, left: map[string]bool{}}
		m.cfg = Config{File: filepath.Join(dir, fmt.Sprint(n), "history.db"), Days: 36500, Incidents: 1000, UnitDays: 36500}
		m.start()
		rt.Repeat(rapid.StateMachineActions(m))
		m.broken.Store(false)
		m.s.stop()
		if diff := cmp.Diff(m.want, kept(t, m.cfg.File)); diff != "" {
			rt.Fatalf("on disk (-want +got):\n%s", diff)
		}
	})
}
