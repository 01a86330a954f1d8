//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/reliability"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

const (
	// migrationLearnt is how many units are learnt of a guest that migrates: those of five minutes, so that all windows are looked at.
	migrationLearnt = 150
	// migrationGap is how long a guest may not be seen while it migrates: the end of the last whole unit on one host to the beginning of the first on the other.
	migrationGap = 10 * time.Second
	// migrationWatch is for how many units it is looked at after it has arrived.
	migrationWatch = 45
)

// TestMigrationUnderLoad has a guest with visitors migrate, live, between two hosts, each with a libvirtd, a session daemon and a virtsentryd of its own: there and
// back, where nothing may be learnt again and nothing be unusual, and there once more while it is attacked, where the incident must go on. A key is shared.
func TestMigrationUnderLoad(t *testing.T) {
	if os.Getenv(faultsAll) == "" {
		t.Skip("make faults runs it")
	}
	if err := lab.CheckRoot(); err != nil {
		t.Fatal(err)
	}
	r := reliability.Result{Case: "migrate-load", Begin: time.Now(), Times: 1, Broken: 1}
	t.Cleanup(func() {
		if err := results.Note(r); err != nil {
			t.Error(err)
		}
	})
	one := newStack(t, lab.Config{Dir: "/run/virtsentry-lab-here", Guest: "web"})
	two := newStack(t, lab.Config{Dir: "/run/virtsentry-lab-there", NoGuest: true})
	key := one.file("keys")
	if err := os.WriteFile(key, []byte(strings.Repeat("one key for both hosts ", 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*stack{one, two} {
		s.flags = []string{} // without the race detector, which would slow attaching down
		s.sources = fmt.Sprintf("\n[migration]\nkey_file = %q\n", key)
		s.startDaemon(t)
	}
	g := one.guest(t, "web")
	one.web = g

	// On each host there are visitors all the time. They reach the guest where it is.
	ctx, stop := context.WithCancel(t.Context())
	var visitors sync.WaitGroup
	for _, where := range []*lab.Lab{one.lab, two.lab} {
		visitors.Go(func() {
			for ctx.Err() == nil {
				_, _ = one.lab.Load(ctx, lab.Load{Guest: g.name, From: where, Seed: 1})
				time.Sleep(time.Second)
			}
		})
	}
	defer visitors.Wait()
	defer stop()

	g.judged(t)
	g.booted(t)
	if err := one.control().Learn(t.Context(), g.uuid, migrationLearnt); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(time.Second) {
		d, ok := g.status(t)
		if ok && d.Profile && d.LearntUnits >= migrationLearnt*9/10 && d.State == "normal" {
			break
		}
		if time.Since(begin) > 2*migrationLearnt*2*time.Second {
			t.Fatalf("not learnt: %+v", d)
		}
	}
	learnt, _ := g.status(t)

	var gaps []string
	hop := func(from, to *stack) *guest {
		t.Helper()
		here, there := &guest{from, g.name, g.uuid}, &guest{to, g.name, g.uuid}
		asked := time.Now()
		if err := from.lab.Migrate(t.Context(), g.name, to.lab); err != nil {
			t.Fatal(err)
		}
		took := time.Since(asked)
		here.gone(t)
		there.attached(t)
		there.judgedAfter(t, asked)
		gap := seenGap(t, here, there, asked)
		gaps = append(gaps, fmt.Sprintf("%.1f s (migration took %.1f s)", gap.Seconds(), took.Seconds()))
		if gap > migrationGap {
			t.Errorf("not seen for %v", gap)
		}
		if d, _ := there.status(t); !d.Profile || d.Trained == nil || !d.Trained.Equal(*learnt.Trained) || d.LearntUnits != learnt.LearntUnits {
			t.Errorf("there %+v; want the profile of %v", d, learnt.Trained)
		}
		return there
	}
	calm := func(there *guest, since time.Time) {
		t.Helper()
		for deadline := time.Now().Add(3 * migrationWatch * time.Second); len(there.heard.since(g.uuid, since)) < migrationWatch && time.Now().Before(deadline); {
			time.Sleep(time.Second)
		}
		there.unmovedSince(t, since)
	}
	since := time.Now()
	there := hop(one, two)
	calm(there, since)
	since = time.Now()
	back := hop(two, one)
	calm(back, since)

	// Attacked while it migrates.
	attack, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	var attacker sync.WaitGroup
	attacker.Go(func() {
		_ = one.lab.Attack(attack, lab.Attack{Name: "portscan", Side: lab.Target, Guest: g.name, For: 2 * time.Minute})
	})
	defer attacker.Wait()
	defer cancel()
	back.await(t, "anomalous")
	var id string
	back.within(t, "the incident is in the guest's metadata", func() bool {
		d, _ := back.status(t)
		i := slices.IndexFunc(d.Incidents, func(i control.Incident) bool { return i.Kind == "anomaly" })
		if i < 0 {
			return false
		}
		id = d.Incidents[i].ID
		e, err := one.client.Incidents(g.uuid)
		return err == nil && e != nil && strings.Contains(string(e.Records), id)
	})
	there = hop(one, two)
	there.within(t, "the incident goes on there", func() bool {
		record, err := two.control().Incident(t.Context(), id)
		return err == nil && record.Restarts > 0
	})
	cancel()
	attacker.Wait()
	there.within(t, "the incident ends there", func() bool {
		record, err := two.control().Incident(t.Context(), id)
		return err == nil && !record.Open()
	})
	r.Times = 3
	r.Seen = "not seen for " + strings.Join(gaps, ", ")
	t.Log(r.Seen)
	one.stopDaemon(t)
	two.stopDaemon(t)
	if !t.Failed() {
		r.Broken = 0
	}
}

// seenGap is how long the guest was not seen in whole units when it went from one host to another.
func seenGap(t *testing.T, here, there *guest, asked time.Time) time.Duration {
	t.Helper()
	last := time.Time{}
	for _, u := range here.heard.since(here.uuid, asked.Add(-time.Minute)) {
		if end := u.Start.Add(time.Duration(u.Duration * float64(time.Second))); u.Judged && u.Lost == 0 && end.After(last) {
			last = end
		}
	}
	first := time.Time{}
	there.within(t, "a whole unit is judged there", func() bool {
		for _, u := range there.heard.since(there.uuid, asked) {
			if u.Judged && u.Lost == 0 && u.Duration == 2 && u.Start.After(last) && (first.IsZero() || u.Start.Before(first)) {
				first = u.Start
			}
		}
		return !first.IsZero()
	})
	if last.IsZero() {
		t.Fatal("no unit was judged here")
	}
	return first.Sub(last)
}

// unmovedSince checks that nothing was learnt again, and nothing unusual enough for an alarm, since the guest has come.
func (g *guest) unmovedSince(t *testing.T, since time.Time) {
	t.Helper()
	for _, c := range g.heard.changes() {
		if c.UUID == g.uuid && c.Since.After(since) && (c.State == "learning" || c.State == "anomalous") {
			t.Errorf("the state of %s on %s changed: %+v", g.name, c.Host, c)
		}
	}
	if d, _ := g.status(t); len(d.Incidents) > 0 {
		t.Errorf("incidents are open: %+v", d.Incidents)
	}
}
