package monitor

import (
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
)

// A profile goes where its domain goes: what one host has written, another one uses.
func TestProfileTravels(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateNormal, "")
	var e *libvirt.ProfileElement
	b.within("the profile is written", func(control.DomainStatus) (there bool) {
		e, _ = b.client.Profile(b.domain.UUID)
		return e != nil
	})
	if e.Units != 60 || e.Domain != b.domain.UUID || e.Format != model.FormatVersion {
		t.Errorf("profile element of %s, %d units, format %d", e.Domain, e.Units, e.Format)
	}
	b.end()

	e.Host = "elsewhere"
	if err := b.client.SetProfile(b.domain.UUID, *e); err != nil {
		t.Fatal(err)
	}
	there := newBench(t, testConfig(t))
	d := there.within("the profile is in force", func(d control.DomainStatus) bool { return d.Profile })
	if d.LearntUnits != 60 {
		t.Errorf("profile of %d units; want 60", d.LearntUnits)
	}
	if _, err := there.store.Load(b.domain.UUID); err != nil {
		t.Errorf("the profile is not kept: %v", err)
	}
}
