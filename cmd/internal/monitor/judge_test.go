package monitor

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// hardwareOf is a machine with these devices.
func hardwareOf(kinds ...string) libvirt.Hardware {
	h := libvirt.Hardware{Machine: "pc", Accelerator: "kvm"}
	for _, kind := range kinds {
		h.Devices = append(h.Devices, libvirt.Device{Kind: kind, Name: kind, Type: "virtio"})
	}
	return h
}

// A domain is normal when a unit has shown it, and not before: not when it was learnt, nor after a time in which nothing was seen.
func TestNeverNormalWithoutEvidence(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	at := time.Now().Add(time.Hour)
	for _, step := range []struct {
		what  string
		do    func()
		state string
	}{
		{"learnt", func() {}, stateStarting},
		{"a lossy unit", func() { s.observe(load(1, at, 1, 9)) }, stateStarting},
		{"a usual unit", func() { s.observe(load(1, at.Add(unit.Width), 1, 0)) }, stateNormal},
		{"a gap", func() { s.judge.gap(); s.refresh() }, stateStarting},
		{"a usual unit again", func() { s.observe(load(1, at.Add(time.Minute), 1, 0)) }, stateNormal},
		{"the same profile again", func() {
			if err := s.judge.use(s.judge.profile); err != nil {
				t.Error(err)
			}
			s.refresh()
		}, stateStarting},
	} {
		step.do()
		if now := s.status(); now.State != step.state || now.State == stateStarting && now.Reason.Code != reasonNoUnit {
			t.Errorf("%s: %s %+v; want %s", step.what, now.State, now.Reason, step.state)
		}
	}
	if n := s.judge.decider.Seen(); n != 0 {
		t.Errorf("%d units are said to have been judged", n)
	}
}

// An operator who changes how many units make an alarm does not end one.
func TestSettingsKeepEvidence(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	s.observe(load(5, time.Now().Add(time.Hour), 20, 0))
	settings := s.settings
	settings.Judging.QuietUnits, settings.Judging.Window = 7, 20
	s.configure(settings, nil)
	if now := s.status(); now.State != stateAnomalous || now.Reason.Text == "" {
		t.Errorf("%s %+v; want anomalous", now.State, now.Reason)
	}
	settings.Judging.QuietUnits = 30
	s.configure(settings, nil)
	for i := range 30 {
		if now := s.status().State; now != stateAnomalous {
			t.Errorf("%s after %d usual units; want anomalous", now, i)
		}
		s.observe(load(1, time.Now().Add(2*time.Hour+time.Duration(i)*unit.Width), 1, 0))
	}
	if now := s.status().State; now != stateNormal {
		t.Errorf("%s after 30 usual units; want normal", now)
	}
}

// A device that is plugged in and out again leaves the guest what its profile was learnt on.
func TestHotplugAndBack(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.setHardware(hardwareOf("disk"))
	s.learn()
	learnt := s.judge.profile
	s.setHardware(hardwareOf("disk", "interface"))
	if now := s.status(); now.State != stateLearning || now.Profile || !strings.Contains(now.Reason.Text, "device interface virtio is new") {
		t.Errorf("%s %+v; want it learnt anew", now.State, now.Reason)
	}
	s.observe(load(10, time.Now().Add(time.Hour), 1, 0))
	s.setHardware(hardwareOf("disk", "interface", "sound"))
	if now := s.status(); now.LearntUnits != 0 || now.Reason.Code != reasonProfile || !strings.Contains(now.Reason.Text, "sound virtio is new; the 10 gathered before") {
		t.Errorf("%d units, %+v; want none of other hardware, and why", now.LearntUnits, now.Reason)
	}
	s.setHardware(hardwareOf("disk"))
	if now := s.status(); s.judge.profile != learnt || now.State != stateStarting || now.LearntUnits != 60 {
		t.Errorf("%+v; want the profile in force that fits again", now)
	}
	s.observe(load(1, time.Now().Add(2*time.Hour), 1, 0))
	if now := s.status().State; now != stateNormal {
		t.Errorf("%s; want normal", now)
	}

	// Where one was learnt for the new hardware, the old one is what came before it.
	s.setHardware(hardwareOf("disk", "interface"))
	s.observe(load(60, time.Now().Add(3*time.Hour), 1, 0))
	s.setHardware(hardwareOf("disk"))
	if now := s.status(); now.State != stateLearning {
		t.Errorf("%s; want it learnt anew", now.State)
	}
}

// An alarm from before a device was plugged in stands when the profile fits again.
func TestHotplugKeepsAlarm(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.setHardware(hardwareOf("disk"))
	s.learn()
	s.observe(load(5, time.Now().Add(time.Hour), 20, 0))
	s.setHardware(hardwareOf("disk", "interface"))
	s.setHardware(hardwareOf("disk"))
	if now := s.status().State; now != stateAnomalous {
		t.Errorf("%s; want anomalous", now)
	}
}

// Units that were gathered on other hardware are not learnt from.
func TestHotplugWhileLearning(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.setHardware(hardwareOf("disk"))
	s.observe(load(59, time.Now(), 1, 0))
	s.setHardware(hardwareOf("disk")) // nothing new
	if n := s.status().LearntUnits; n != 59 {
		t.Errorf("%d units; want those of the same hardware kept", n)
	}
	s.setHardware(hardwareOf("disk", "interface"))
	if now := s.status(); now.LearntUnits != 0 || now.Reason.Code != reasonGathering || !strings.Contains(now.Reason.Text, "59 gathered before are of other hardware") {
		t.Errorf("%d units, %+v; want none, and why", now.LearntUnits, now.Reason)
	}
	s.observe(load(60, time.Now().Add(time.Hour), 1, 0))
	p := s.judge.profile
	if p == nil || p.Training.Units != 60 || p.Training.Dropped != 0 || len(p.Fingerprint.Devices) != 2 {
		t.Errorf("profile %+v; want one of the new hardware alone", p)
	}
}

// A profile that is thrown away does not come back with the next daemon; where that cannot be made sure, it is not thrown away.
func TestLearnAnew(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	if err := s.judge.relearn(30); err != nil {
		t.Fatal(err)
	}
	if s.judge.plan.wanted != 30 || !s.m.store.HasPrevious(s.domain.UUID) {
		t.Errorf("%d units wanted; want 30, and the old profile kept for a rollback", s.judge.plan.wanted)
	}
	again, err := newWatcher(s.domain, s.m) // as the next daemon does
	if err != nil || again.judge.profile != nil {
		t.Errorf("profile %v, %v; want none", again.judge.profile, err)
	}
	s.observe(load(30, time.Now().Add(time.Hour), 1, 0))
	learnt := s.judge.profile
	dir := s.m.cfg.Profiles.Dir
	path, err := s.m.store.Path(s.domain.UUID)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + ".prev"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path+".prev/full", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.judge.relearn(0); err == nil || !strings.Contains(err.Error(), dir) || s.judge.profile != learnt {
		t.Errorf("relearn where nothing can be kept = %v, profile %v", err, s.judge.profile)
	}
}

// What an operator puts in force is not replaced by what the domain has brought along, however new.
func TestOperatorBeforeTravel(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.setHardware(hardwareOf("disk"))
	s.learn()
	wanted, brought := *s.judge.profile, *s.judge.profile
	brought.Created = time.Now().Add(time.Hour)
	if err := s.judge.use(&wanted); err != nil {
		t.Fatal(err)
	}
	s.bring(&brought, "elsewhere")
	if s.judge.profile != &wanted {
		t.Errorf("in force is the profile of %v", s.judge.profile.Created)
	}
}

// A profile that comes before it is known what the domain runs on waits for that.
func TestTravelWaitsForHardware(t *testing.T) {
	away := newSingle(t, testConfig(t))
	away.begin()
	away.setHardware(hardwareOf("disk"))
	away.learn()
	for _, kind := range []string{"disk", "interface"} {
		s := newSingle(t, testConfig(t))
		s.begin()
		s.bring(away.judge.profile, "elsewhere")
		if s.judge.profile != nil || s.judge.looked.Load() {
			t.Error("it is settled before the hardware is known")
		}
		s.setHardware(hardwareOf(kind))
		if fits := kind == "disk"; s.status().Profile != fits || !s.judge.looked.Load() {
			t.Errorf("%s: profile %v; want %v", kind, s.status().Profile, fits)
		}
	}
}
