//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A host's clock cannot be set for one process: time namespaces (time_namespaces(7)) have clocks of their own, but CLOCK_REALTIME is not among them, and a
// Go program asks the kernel past any library that could be put before it. So virtsentryd is built with a time.Now whose wall clock, and that alone, is as
// much ahead as a file says: go build -overlay puts changed copies of two source files in place of those that there are. All else, libvirt and LTTng
// included, has the host's time.
const (
	nowLine  = "sec, nsec, mono := runtimeNow()\n"
	nowAhead = nowLine + "\tsec += Ahead.Load()\n"
	aheadVar = "\n// Ahead is by how many seconds the wall clock is set ahead.\nvar Ahead ahead\n\n" +
		"type ahead struct{ n int64 }\n\nfunc (a *ahead) Load() int64 { return a.n }\n\nfunc (a *ahead) Store(n int64) { a.n = n }\n"
	aheadReader = `package main

import (
	"fmt"
	"os"
	"time"
)

func init() {
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			text, _ := os.ReadFile(%q)
			var n int64
			if _, err := fmt.Sscan(string(text), &n); err == nil {
				time.Ahead.Store(n)
			}
		}
	}()
}
`
)

// clockFlags are the flags to build such a daemon with. It looks into the file, which holds a number of seconds, twenty times a second.
func (s *stack) clockFlags(t *testing.T, file string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), nowLine) != 1 {
		t.Fatalf("%s: no line %q in time.Now: this Go has another one", source, nowLine)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]string{source: s.file("time.go"), filepath.Join(here, "ahead.go"): s.file("ahead.go")}
	overlay, err := json.Marshal(map[string]any{"Replace": changed})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"time.go": strings.Replace(string(text), nowLine, nowAhead, 1) + aheadVar, "ahead.go": fmt.Sprintf(aheadReader, file), "overlay.json": string(overlay),
	} {
		if err := os.WriteFile(s.file(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"-overlay", s.file("overlay.json")}
}

func (s *stack) faultClock(t *testing.T) seen {
	file := s.file("ahead")
	set := func(d time.Duration) {
		if err := os.WriteFile(file, fmt.Append(nil, int64(d.Seconds())), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	s.stopDaemon(t)
	s.flags = s.clockFlags(t, file)
	t.Cleanup(func() {
		s.stopDaemon(t)
		s.flags = nil
	})
	event := time.Now()
	s.startDaemon(t)
	s.web.judgedAfter(t, event)
	s.web.judgedAfter(t, time.Now())
	before, _ := s.web.status(t)
	steps := []time.Duration{time.Hour, 0, -time.Hour, 0}
	for _, ahead := range steps {
		event = time.Now()
		set(ahead)
		s.within(t, fmt.Sprintf("the state is valid by a clock that is %v ahead", ahead), func() bool {
			state, err := s.client.State(s.web.uuid)
			there := time.Now().Add(ahead)
			return err == nil && state != nil && state.Updated.Sub(there).Abs() < 10*time.Second && state.ValidUntil.After(there)
		})
		s.took(len(s.heard.between(s.web.uuid, event, time.Now())), time.Since(event))
		if s.worst.units > mostUnits {
			t.Errorf("valid only after %d units", s.worst.units)
		}
		s.web.unmoved(t, event, 4) // by the clock of the trace, which was begun before
	}
	after, _ := s.web.status(t)
	if after.Units.Lossy > before.Units.Lossy || after.Units.Late > before.Units.Late || after.Units.Unread > before.Units.Unread {
		t.Errorf("before %+v, after %+v; want no event lost, late or unread", before.Units, after.Units)
	}
	balanced(t, after)
	s.stopDaemon(t)
	s.flags = nil
	event = time.Now()
	s.startDaemon(t)
	s.web.judgedAfter(t, event)
	return seen{times: len(steps)}
}
