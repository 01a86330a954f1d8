package monitor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
)

func TestOverride(t *testing.T) {
	starting := 90 * time.Second
	p := libvirt.Policy{FalseAlarmsPerDay: new(0.5), Units: new(900), Starting: &starting, Level: new(0.01), QuietUnits: new(7)}
	want := config.Override{AlarmsPerDay: new(0.5), Units: new(900), Starting: new(config.Duration(starting)), Level: new(0.01), QuietUnits: new(7)}
	if diff := cmp.Diff(want, override(p)); diff != "" {
		t.Errorf("override (-want +got):\n%s", diff)
	}
}

// Who changes the accepted false alarms ends no alarm.
func TestAlarmsPerDayKeepsEvidence(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	begun := time.Now().Add(time.Hour)
	s.observe(load(5, begun, 20, 0))
	for _, alarms := range []float64{0.01, 100, 0} {
		settings := s.settings
		settings.Judging.AlarmsPerDay = alarms
		s.configure(settings, nil)
		if now := s.status().State; now != stateAnomalous || s.judge.cfg.Judging.AlarmsPerDay != alarms {
			t.Errorf("%s at %v false alarms a day", now, s.judge.cfg.Judging.AlarmsPerDay)
		}
	}
}

// What a policy says of false alarms holds for a domain that runs, and is taken back with it; a file that is read again changes what
// holds without.
func TestAlarmsPerDayAtRunTime(t *testing.T) {
	conn, err := golibvirt.NewConnect(testURI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	d, err := conn.LookupDomainByName("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Free() })
	set := func(element string) {
		if err := d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, element, "virtsentry", libvirt.PolicyURI, golibvirt.DOMAIN_AFFECT_CONFIG); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { set("") })
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	accepted := func(want float64, incidents int) {
		t.Helper()
		b.within("false alarms are accepted as they should be", func(s control.DomainStatus) bool {
			var now float64
			err := b.watcher(b.domain.UUID).ask(func() error { now = b.watcher(b.domain.UUID).judge.cfg.Judging.AlarmsPerDay; return nil })
			return err == nil && now == want && len(s.Incidents) == incidents
		})
	}
	set(`<policy false-alarms-per-day="0.25"/>`)
	accepted(0.25, 0)
	set(`<policy false-alarms-per-day="2000"/>`)
	accepted(0, 1)
	set("")
	accepted(0, 0)
	cfg := b.cfg
	cfg.Judging.AlarmsPerDay = 3
	if late := b.Reload(cfg); late != nil {
		t.Errorf("%q want a restart", late)
	}
	accepted(3, 0)
}
