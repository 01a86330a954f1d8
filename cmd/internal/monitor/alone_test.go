package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

// single is a watcher that no goroutine runs: a test calls what it would do, one thing after the other.
type single struct {
	*watcher
	t      *testing.T
	source *fakeSource
}

func newSingle(t *testing.T, cfg config.Config) *single {
	t.Helper()
	d := libvirt.Domain{UUID: "6695eb01-f6a4-8304-79aa-97f2502e193f", Name: "web", ID: 1}
	m := New(cfg, testSet, libsvm.Engine{}, silent())
	m.processes.ProcDir = t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(cfg.Libvirt.RunDir, "qemu", "web.pid"):        "4321\n",
		filepath.Join(m.processes.ProcDir, "4321", "stat"):          "4321 (qemu) S" + strings.Repeat(" 1", 18) + " 500 0\n",
		filepath.Join(m.processes.ProcDir, "4321", "cmdline"):       "qemu\x00-uuid\x00" + d.UUID + "\x00",
		filepath.Join(m.processes.ProcDir, "uptime"):                "1000.00 1.0\n",
		filepath.Join(m.processes.ProcDir, "4321/task/2/comm"):      "CPU 0/KVM\n",
		filepath.Join(m.processes.ProcDir, "4321/task/2/schedstat"): "900000000 7 3\n", // it has run
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	f := &fakeSource{}
	m.attach = func(libvirt.Domain, qemu.Process, wish) (source, error) { return f, nil }
	w, err := newWatcher(d, m)
	if err != nil {
		t.Fatal(err)
	}
	w.cancel = func() {}
	return &single{watcher: w, t: t, source: f}
}

// begin attaches to a guest that runs.
func (s *single) begin() {
	s.t.Helper()
	if err := s.tryAttach(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.resume(now())
}

// observe hands units over.
func (s *single) observe(units []unit.Unit) {
	s.source.put(batch{registered: true, units: units})
	s.collect()
}

func (s *single) learn() {
	s.t.Helper()
	s.observe(load(60, time.Now(), 1, 0))
	if !s.status().Profile {
		s.t.Fatalf("not learnt: %+v", s.status())
	}
}

// watched puts in force whether the domain is to be watched.
func (s *single) watched(yes bool) {
	settings := s.settings
	settings.Watch = yes
	s.configure(settings, nil)
	if !yes {
		s.detach()
		s.refresh()
	}
}

// Where nothing is seen, the seconds have that reason: before, while and after there is a session.
func TestBlindSeconds(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.attached = time.Now()
	s.begin()
	s.attached = time.Now().Add(-time.Minute)
	s.collect()
	time.Sleep(50 * time.Millisecond)
	s.collect()
	l := s.status().Ledger
	if l.Reasons[reasonNoTracePoints] < 0.05 {
		t.Errorf("ledger %+v; want the time since it is blind under no-trace-points", l)
	}
	time.Sleep(50 * time.Millisecond)
	if err := os.RemoveAll(filepath.Join(s.m.processes.ProcDir, "4321")); err != nil {
		t.Fatal(err)
	}
	s.detach()
	s.refresh()
	if l = s.status().Ledger; l.Reasons[reasonNoTracePoints] < 0.1 || l.Reasons[reasonPartial] > 0 {
		t.Errorf("ledger %+v; want its last seconds under no-trace-points, too", l)
	}
	balanced(t, l)
}

// A domain that is watched again has seen nothing yet.
func TestWatchedAgain(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.watched(false)
	s.watched(true)
	time.Sleep(50 * time.Millisecond)
	s.begin()
	s.refresh()
	if l := s.status().Ledger; l.Scored > 0 {
		t.Errorf("%v s are said to be scored; not a unit was", l.Scored)
	}
}

// Nothing stays open of a domain that nobody wants to be watched.
func TestDisabledHasNoIncidents(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.observe(load(lossWindow, time.Now(), 1, 7))
	if len(s.status().Incidents) != 1 {
		t.Errorf("incidents %v; want the loss", s.status().Incidents)
	}
	s.watched(false)
	if now := s.status(); now.State != stateDisabled || len(now.Incidents) > 0 {
		t.Errorf("%s with %v", now.State, now.Incidents)
	}
}

// An anomaly has ended when it was seen to end, and not when nothing is seen.
func TestAnomalyEndsSeen(t *testing.T) {
	for name, then := range map[string]func(*single){
		"paused":      func(s *single) { s.pause(now()) },
		"rebooted":    func(s *single) { s.settings.Learning.Starting = config.Duration(time.Minute); s.reboot(now()) },
		"daemon gone": func(s *single) { s.failed(lttng.ErrNoSessionDaemon) },
		"disk plugged": func(s *single) {
			s.setHardware(libvirt.Hardware{Machine: "pc", Devices: []libvirt.Device{{Kind: "disk"}}})
		},
	} {
		s := newSingle(t, testConfig(t))
		s.begin()
		s.setHardware(libvirt.Hardware{Machine: "pc"})
		s.learn()
		s.observe(load(5, time.Now().Add(300*time.Second), 20, 0))
		then(s)
		if now := s.status(); len(now.Incidents) != 1 || now.Incidents[0].Kind != incidentAnomaly {
			t.Errorf("%s: %s with %v; want the anomaly still", name, now.State, now.Incidents)
		}
	}
}

// A guest that loses events in two units of three is not called normal for the third.
func TestLossyRhythm(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	at := time.Now().Add(time.Hour)
	for i := range 3 * lossWindow {
		lost := uint64(1000)
		if i%3 == 2 {
			lost = 0
		}
		s.observe(load(1, at.Add(time.Duration(i)*unit.Width), 1, lost))
		if now := s.status().State; i >= lossWindow && now != stateUnknown {
			t.Fatalf("%s after %d units; want unknown", now, i)
		}
	}
}

// A trace of which nobody knows whose it is, is nobody's.
func TestDoubt(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.source.put(batch{registered: true, units: load(3, time.Now(), 1, 0), doubt: errors.New("permission denied")})
	s.collect()
	now := s.status()
	if now.State != stateBlind || now.Reason.Code != reasonNoAccess || now.LearntUnits > 0 || now.Coverage != coverageNone {
		t.Errorf("%+v; want blind, no-access, and nothing learnt", now)
	}
	s.observe(load(1, time.Now().Add(time.Minute), 1, 0))
	if now = s.status(); now.State != stateLearning || now.LearntUnits != 1 {
		t.Errorf("%+v; want learning", now)
	}
}
