//go:build integration

package main

import (
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

func (s *stack) testMigrate(t *testing.T) {
	s.web.judged(t)
	s.web.booted(t)
	before, _ := s.web.status(t)
	other := newStack(t, lab.Config{Dir: "/run/virtsentry-lab-testb", NoGuest: true})
	other.startDaemon(t)
	other.within(t, "the other host's daemon answers", func() bool {
		_, err := other.control().Domains(t.Context())
		return err == nil
	})
	if err := s.lab.Migrate(t.Context(), s.web.name, other.lab); err != nil {
		t.Fatal(err)
	}
	arrived := time.Now()
	s.web.gone(t)
	s.noSession(t)
	there := &guest{other, s.web.name, s.web.uuid}
	there.arrives(t, arrived)
	after, _ := there.status(t)
	if after.PID == before.PID || after.Trained == nil || !after.Trained.Equal(*before.Trained) {
		t.Errorf("there %+v; want the profile from here, %+v", after, before)
	}
	other.sound(t)

	if err := other.lab.Migrate(t.Context(), s.web.name, s.lab); err != nil {
		t.Fatal(err)
	}
	arrived = time.Now()
	there.gone(t)
	s.web.arrives(t, arrived)
	other.stopDaemon(t)
}

// arrives checks that a guest which has migrated to this host is watched as one that has long been running.
func (g *guest) arrives(t *testing.T, arrived time.Time) {
	t.Helper()
	g.attached(t)
	g.judgedAfter(t, arrived)
	unjudged := 0
	for _, u := range g.heard.since(g.uuid, arrived) {
		if !u.Judged {
			unjudged++
		}
	}
	t.Logf("%s: %d units were not judged", g.name, unjudged)
	if unjudged > mostUnits {
		t.Errorf("%d units of a guest that has migrated were not judged; it does not boot", unjudged)
	}
	if d, _ := g.status(t); !d.Profile {
		t.Errorf("%+v; want a profile in force", d)
	}
	g.within(t, "its metadata shows the state here", func() bool {
		state, err := g.client.State(g.uuid)
		return err == nil && state != nil && state.Host == g.lab.Hostname() && state.Value != "learning"
	})
}
