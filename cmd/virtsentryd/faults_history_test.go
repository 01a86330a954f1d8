//go:build integration

package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"
	_ "modernc.org/sqlite" // to make a database of a future version

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
)

// historyDir is where the database of incidents is.
func (s *stack) historyDir() string { return s.file("history") }

func (s *stack) historyFile() string { return filepath.Join(s.historyDir(), "history.db") }

// open has an incident of kind policy be open, and returns since when as soon as the guest's metadata tells of it.
func (g *guest) open(t *testing.T) time.Time {
	t.Helper()
	event := time.Now()
	g.setMetadata(t, libvirt.PolicyURI, `<policy watch="perhaps"/>`, golibvirt.DOMAIN_AFFECT_CONFIG)
	since := g.told(t, "policy")
	g.took(len(g.heard.between(g.uuid, event, time.Now())), time.Since(event))
	if g.worst.units > mostUnits {
		t.Errorf("the incident was told of only %d units later", g.worst.units)
	}
	return since
}

// told waits until the metadata tells of an incident, and returns at once, with when that began.
func (g *guest) told(t *testing.T, kind string) time.Time {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		state, err := g.client.State(g.uuid)
		if err != nil || state == nil {
			continue
		}
		if i := slices.IndexFunc(state.Incidents, func(x libvirt.Incident) bool { return x.Kind == kind }); i >= 0 {
			return state.Incidents[i].Since
		}
	}
	t.Fatalf("the metadata of %s tells of no incident of kind %s; log:\n%s", g.name, kind, g.log())
	return time.Time{}
}

// end has the incident that open opened be over, and waits until no element tells of it.
func (g *guest) endIncident(t *testing.T) {
	t.Helper()
	g.setMetadata(t, libvirt.PolicyURI, "", golibvirt.DOMAIN_AFFECT_CONFIG)
	g.within(t, "the incident is over", func() bool {
		state, err := g.client.State(g.uuid)
		return err == nil && state != nil && len(state.Incidents) == 0
	})
}

// rightPolicy takes the wrong policy away when the case ends, whatever came of it.
func (g *guest) rightPolicy(t *testing.T) {
	t.Cleanup(func() {
		d, err := g.raw.LookupDomainByUUIDString(g.uuid)
		if err != nil {
			return
		}
		defer func() { _ = d.Free() }()
		_ = d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "", "somebody", libvirt.PolicyURI, golibvirt.DOMAIN_AFFECT_CONFIG) // there may be none
	})
}

// once checks that the daemon knows one incident of a kind that began then or later, and that it is the one that was told of.
func (g *guest) once(t *testing.T, kind string, event, since time.Time) (r control.IncidentRecord) {
	t.Helper()
	list, err := g.control().ListIncidents(t.Context(), control.IncidentFilter{Domain: g.uuid, Kind: kind, From: event})
	if err != nil || len(list) != 1 || list[0].Since.Sub(since).Abs() > time.Second {
		t.Errorf("%d incidents are known, %+v, %v; want the one of %v", len(list), list, err, since)
		return r
	}
	return list[0]
}

// closed waits until an incident is.
func (g *guest) closed(t *testing.T, id string) {
	t.Helper()
	g.within(t, "incident "+id+" is closed", func() bool {
		r, err := g.control().Incident(t.Context(), id)
		return err == nil && !r.Open()
	})
}

// killDaemon kills it and starts another one; meanwhile, where it is not nil, f runs.
func (s *stack) killDaemon(t *testing.T, f func()) {
	t.Helper()
	_ = s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	s.daemon = nil
	if f != nil {
		f()
	}
	s.startDaemon(t)
}

func (s *stack) faultKillIncident(t *testing.T) seen {
	s.web.rightPolicy(t)
	const times = 3
	for i := range times {
		event, kind := time.Now(), "policy"
		var since time.Time
		if i == 0 {
			kind = "anomaly"
			ctx, stop := context.WithCancel(t.Context())
			attack := make(chan struct{})
			go func() {
				defer close(attack)
				s.fetch(ctx, t, s.tiny, 8, patience, 0)
			}()
			since = s.web.told(t, kind)
			stop()
			<-attack
		} else {
			since = s.web.open(t)
		}
		s.killDaemon(t, func() {
			if i == 2 { // it ends while no daemon runs
				s.web.setMetadata(t, libvirt.PolicyURI, "", golibvirt.DOMAIN_AFFECT_CONFIG)
			}
		})
		s.web.judgedAfter(t, event)
		r := s.web.once(t, kind, event, since)
		if t.Failed() {
			break
		}
		if i == 1 {
			s.web.endIncident(t)
		}
		s.web.closed(t, r.ID)
		s.web.once(t, kind, event, since)
	}
	return seen{times: times}
}

func (s *stack) faultFullHistory(t *testing.T) seen {
	s.web.rightPolicy(t)
	s.stopDaemon(t)
	disk := small(t, s.historyDir(), 4)
	t.Cleanup(func() { s.stopDaemon(t) }) // before the directory changes
	took := time.Duration(0)
	for _, before := range []bool{false, true} { // it is full before the daemon starts
		if before {
			s.stopDaemon(t)
			disk.fill()
		}
		s.web.judged(t)
		if !before {
			disk.fill()
		}
		event := time.Now()
		since := s.web.open(t)
		s.within(t, "the status says that incidents are not written", func() bool {
			d, ok := s.web.status(t)
			return ok && strings.Contains(d.History, s.historyFile())
		})
		s.web.unmoved(t, event, 3)
		s.web.once(t, "policy", event, since)
		disk.free()
		free := time.Now()
		s.within(t, "incidents are written again", func() bool {
			h, err := s.control().HistoryStatus(t.Context())
			return err == nil && h.Error == "" && h.Waiting == 0
		})
		took = max(took, time.Since(free))
		s.killDaemon(t, nil)
		s.web.judgedAfter(t, free)
		r := s.web.once(t, "policy", event, since)
		if t.Failed() {
			break
		}
		s.web.endIncident(t)
		s.web.closed(t, r.ID)
	}
	return seen{times: 2, text: fmt.Sprintf("written at most %.0f s after there was room", took.Seconds())}
}

// futureHistory makes the database one of a version that is yet to come.
func futureHistory(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) faultHistoryFiles(t *testing.T) seen {
	s.web.rightPolicy(t)
	write := func(text []byte) func(*testing.T, string) {
		return func(t *testing.T, file string) {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.stopDaemon(t) // then all of the database is in one file
	right, err := os.ReadFile(s.historyFile())
	if err != nil {
		t.Fatal(err)
	}
	clear := func() {
		if err := os.RemoveAll(s.historyDir()); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(s.historyDir(), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s.stopDaemon(t)
		clear()
		write(right)(t, s.historyFile())
	})
	garbled := slices.Clone(right)
	copy(garbled[len(garbled)/3:], bytes.Repeat([]byte{0xa5}, len(garbled)/3))
	damages := []struct {
		what  string
		do    func(*testing.T, string)
		aside bool   // it is moved aside; else it stays as it is, and incidents are in memory
		says  string // of the status, where it stays
	}{
		{"garbled", write(garbled), true, ""},
		{"cut", write(right[:len(right)*2/5]), true, ""},
		{"of the future", futureHistory, false, "version 1000"},
		{"a directory", func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(file, 0o700); err != nil {
				t.Fatal(err)
			}
		}, false, "is a directory"},
	}
	for _, damage := range damages {
		s.stopDaemon(t)
		clear()
		write(right)(t, s.historyFile())
		damage.do(t, s.historyFile())
		before, _ := os.ReadFile(s.historyFile()) // of a directory, nothing
		event := time.Now()
		s.startDaemon(t)
		s.web.judgedAfter(t, event)
		since := s.web.open(t)
		s.web.once(t, "policy", event, since)
		d, _ := s.web.status(t)
		log := s.log()
		if damage.aside {
			file, err := os.ReadFile(d.Aside)
			if err != nil || !bytes.Equal(file, before) || !strings.Contains(log, "the database is damaged") || !strings.Contains(log, d.Aside) || d.History != "" {
				t.Errorf("a database that is %s: status %q, %q, %v; want it moved aside as it was, and a word of it in the log", damage.what, d.Aside, d.History, err)
			}
			s.killDaemon(t, nil)
			s.web.judgedAfter(t, event)
			s.web.once(t, "policy", event, since)
		} else {
			after, _ := os.ReadFile(s.historyFile())
			if !strings.Contains(d.History, damage.says) || !strings.Contains(log, damage.says) || !bytes.Equal(after, before) {
				t.Errorf("a database that is %s: status %q; want it left as it is, and %q in status and log", damage.what, d.History, damage.says)
			}
		}
		if t.Failed() {
			break
		}
		s.web.endIncident(t)
	}
	return seen{times: len(damages)}
}
