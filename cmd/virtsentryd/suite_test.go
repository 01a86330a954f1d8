//go:build integration

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/reliability"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/hooks"
)

// What packaging/faults says by the environment.
const (
	// faultsAll has the cases run: the process has mounts of its own, so that space can be limited.
	faultsAll = "VIRTSENTRY_FAULTS"
	// faultsResults is the directory in which results are kept.
	faultsResults = "VIRTSENTRY_RELIABILITY"
	// faultsStarts is how many real guests start and stop.
	faultsStarts = "VIRTSENTRY_FAULTS_STARTS"
	// faultsLab is the name of the lab. Labs of one name end each other, in whatever namespaces they are.
	faultsLab = "VIRTSENTRY_FAULTS_LAB"
)

var results = reliability.NewRecorder(os.Getenv(faultsResults))

// faultsDir is the lab's directory; name is its name if none is given.
func faultsDir(name string) string { return filepath.Join("/run", cmp.Or(os.Getenv(faultsLab), name)) }

// seen is what a case has found beside what is promised.
type seen struct {
	times int    // the fault was caused; 0: once
	text  string // figures
}

// TestFaults causes faults on the real stack, reliability.Cases, and checks what is promised: of each case what it says, and of all that nothing crashes, that
// nothing is left of it, that every second of the guest's life is accounted for, and that the state is right within two units. The guest is a tiny one.
// Each case makes ready what it needs, so that any one can be run alone (-run TestFaults/metadata).
func TestFaults(t *testing.T) {
	if os.Getenv(faultsAll) == "" {
		t.Skip("make faults runs it")
	}
	if err := lab.CheckRoot(); err != nil {
		t.Fatal(err)
	}
	s := newStack(t, lab.Config{Dir: faultsDir("virtsentry-lab-faults"), Guest: "web", DefineOnly: true})
	tiny, err := s.lab.DefineTiny(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.web, s.tiny = s.guest(t, tiny.Name), tiny
	tests := s.faults()
	for _, c := range reliability.Cases {
		f, here := tests[c.ID]
		if !here { // it is a test elsewhere
			continue
		}
		delete(tests, c.ID)
		t.Run(c.ID, func(t *testing.T) {
			s.cause(t, c, f)
		})
	}
	for id := range tests {
		t.Errorf("%s is not in the list of cases", id)
	}
	s.stopDaemon(t)
	if !t.Failed() { // a daemon of a failed case was killed
		s.noSession(t)
	}
}

// faults are the cases that are tested here.
func (s *stack) faults() map[string]func(*testing.T) seen {
	plain := func(f func(*testing.T)) func(*testing.T) seen {
		return func(t *testing.T) seen { f(t); return seen{} }
	}
	return map[string]func(*testing.T) seen{
		"kill-daemon":     func(t *testing.T) seen { s.testKill(t); return seen{times: 2} },
		"kill-incident":   s.faultKillIncident,
		"kill-libvirtd":   plain(s.testLibvirt),
		"kill-virtlogd":   plain(s.faultLogDaemon),
		"kill-sessiond":   plain(s.testSessionDaemon),
		"kill-consumerd":  s.faultConsumer,
		"kill-qemu":       plain(s.faultQEMU),
		"stop-libvirtd":   s.faultSlowLibvirt,
		"stop-sessiond":   s.faultSlowSessions,
		"stop-daemon":     s.faultSlowDaemon,
		"modify-job":      s.faultModifyJob,
		"full-profiles":   s.faultFullProfiles,
		"full-history":    s.faultFullHistory,
		"full-traces":     s.faultFullTraces,
		"full-start":      s.faultFullStart,
		"small-shm":       s.faultSharedMemory,
		"few-descriptors": s.faultDescriptors,
		"profile-files":   s.faultProfileFiles,
		"metadata":        s.faultMetadata,
		"profile-element": plain(s.faultProfileElement),
		"policy-element":  plain(s.faultPolicy),
		"profile-copy":    s.faultProfileCopy,
		"history-files":   s.faultHistoryFiles,
		"two-daemons":     s.faultTwoDaemons,
		"quick-restarts":  func(t *testing.T) seen { s.testQuick(t); return seen{times: 2} },
		"dies-attaching":  s.faultDiesAttaching,
		"guest-churn":     s.faultChurn,
		"clock-steps":     s.faultClock,
	}
}

// cause runs a case between two counts of what there is, and notes what was seen.
func (s *stack) cause(t *testing.T, c reliability.Case, f func(*testing.T) seen) {
	begin := time.Now()
	r := reliability.Result{Case: c.ID, Begin: begin, Times: 1, Broken: 1} // unless it gets to its end
	t.Cleanup(func() {
		if t.Failed() && s.daemon != nil { // the next case is not to suffer
			_ = s.daemon.Process.Kill()
			_ = s.daemon.Wait()
			s.daemon = nil
		}
		if t.Skipped() {
			return
		}
		if err := results.Note(r); err != nil {
			t.Error(err)
		}
	})
	s.repair(t)
	s.web.judged(t)
	before := s.census(t)
	s.worst = recovery{}
	found := f(t)
	r.Seen = found.text
	if found.times > 0 {
		r.Times = found.times
	}
	s.web.judged(t)
	s.sound(t)
	s.nothingLeft(t, before)
	s.uncrashed(t)
	r.Right, r.Units, r.Seconds = s.worst.measured, s.worst.units, s.worst.took.Seconds()
	if !t.Failed() {
		r.Broken = 0
	}
}

// uncrashed looks for what a Go program says when it crashes, or the race detector finds something, in all that daemons have said so far.
func (s *stack) uncrashed(t *testing.T) {
	t.Helper()
	for i := range s.starts {
		text, err := os.ReadFile(s.file(fmt.Sprintf("log.%d", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "WARNING: DATA RACE") {
				t.Errorf("a daemon has crashed:\n%s", text[strings.Index(string(text), line):])
				return
			}
		}
	}
}

// recovery is the longest that a state took to be right.
type recovery struct {
	measured bool
	units    int // of the guest's, that were reported meanwhile
	took     time.Duration
}

// took notes how long a state took to be right.
func (s *stack) took(units int, d time.Duration) {
	s.worst = recovery{true, max(s.worst.units, units), max(s.worst.took, d)}
}

// unmoved waits for so many units of the guest after a time, and checks that all were judged, and that its state did not change, but for a suspicion.
func (g *guest) unmoved(t *testing.T, since time.Time, units int) {
	t.Helper()
	g.within(t, fmt.Sprintf("%d units of %s", units, g.name), func() bool { return len(g.heard.since(g.uuid, since)) >= units })
	for _, u := range g.heard.since(g.uuid, since) {
		if !u.Judged || u.Lost > 0 || u.Duration < 2 {
			t.Errorf("a unit of %s was not judged, or not whole: %+v", g.name, u)
		}
	}
	for _, c := range g.heard.changes() {
		if c.UUID == g.uuid && c.Since.After(since) && c.State != "normal" && c.State != "suspect" {
			t.Errorf("the state of %s changed: %+v", g.name, c)
		}
	}
}

// seesAgain is a change to a state that rests on what is seen.
func seesAgain(c hooks.Change) bool { return c.State != "blind" && c.State != "starting" }
