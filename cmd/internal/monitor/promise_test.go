package monitor

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

func TestPromise(t *testing.T) {
	const day = 43200 // units
	profile := new(model.Profile)
	quiet := -math.Log(0.05) // events that are ruled out where none was seen
	for name, tc := range map[string]struct {
		quiet, alarms, lossy int // units; alarms of ten units each
		accepted             float64
		want                 control.Promise
	}{
		"nothing":         {want: control.Promise{Accepted: 1, Provisional: true}},
		"only losses":     {lossy: 100, want: control.Promise{Accepted: 1, Provisional: true}},
		"two hours":       {quiet: day / 12, want: control.Promise{Accepted: 1, Hours: 2, Bound: new(quiet * 12), Provisional: true}},
		"nearly enough":   {quiet: day*3 - day/12, want: control.Promise{Accepted: 1, Hours: 70, Bound: new(quiet * 24 / 70), Provisional: true}},
		"three days":      {quiet: day * 3, want: control.Promise{Accepted: 1, Hours: 72, Bound: new(quiet / 3)}},
		"more accepted":   {quiet: day / 2, accepted: 6, want: control.Promise{Accepted: 6, Hours: 12, Bound: new(quiet * 2)}},
		"fewer accepted":  {quiet: day * 3, accepted: 0.5, want: control.Promise{Accepted: 0.5, Hours: 72, Bound: new(quiet / 3), Provisional: true}},
		"with an alarm":   {quiet: day*3 - 10, alarms: 1, want: control.Promise{Accepted: 1, Hours: 72, Alarms: 1, Bound: new(4.74386 / 3), Provisional: true}},
		"with two alarms": {quiet: day*7 - 20, alarms: 2, lossy: 3, want: control.Promise{Accepted: 1, Hours: 168, Alarms: 2, Bound: new(6.29579 / 7)}},
	} {
		var p promise
		p.observe(new(model.Profile), false, true) // another profile's
		for range tc.lossy {
			p.observe(profile, true, false)
		}
		for range tc.alarms {
			for range 10 {
				p.observe(profile, false, true)
			}
			p.observe(profile, false, false)
			tc.quiet--
		}
		for range tc.quiet {
			p.observe(profile, false, false)
		}
		if diff := cmp.Diff(&tc.want, p.report(profile, tc.accepted), cmpopts.EquateApprox(1e-4, 1e-6)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if r := p.report(new(model.Profile), 0); r.Hours != 0 || !r.Provisional {
			t.Errorf("%s: %+v of a profile that has judged nothing", name, r)
		}
	}
}

// The status counts what the profile in force has judged, and its alarms; another one begins anew.
func TestStatusPromises(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	if p := s.status().Promise; p != nil {
		t.Errorf("%+v without a profile", p)
	}
	s.learn()
	begun := time.Now().Add(time.Hour)
	s.observe(load(10, begun, 1, 0))
	s.observe(load(5, begun.Add(10*unit.Width), 20, 0))
	p := s.status().Promise
	if p == nil || p.Alarms != 1 || p.Hours != 15*unit.Width.Hours() || !p.Provisional || p.Accepted != 1 {
		t.Errorf("%+v; want an alarm in 15 units", p)
	}
	settings := s.settings
	settings.Judging.AlarmsPerDay = 250
	s.configure(settings, nil)
	if p := s.status().Promise; p.Accepted != 250 || p.Alarms != 1 {
		t.Errorf("%+v; want other false alarms accepted", p)
	}
	other := *s.judge.profile
	if err := s.judge.use(&other); err != nil {
		t.Fatal(err)
	}
	s.refresh()
	if p := s.status().Promise; p.Alarms != 0 || p.Hours != 0 || p.Bound != nil {
		t.Errorf("%+v; want that of a profile that has judged nothing", p)
	}
}
