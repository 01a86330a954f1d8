//go:build integration

package main

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/hooks"
)

// testIdentity has another process tell LTTng-UST that it is the guest's QEMU. What that one reports is not the guest's.
func (s *stack) testIdentity(t *testing.T) {
	s.web.judged(t)
	daemon, ours, err := s.lab.SessionDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if !ours {
		t.Skip("the host has a session daemon of its own, which is not ours to restart")
	}
	event := time.Now()
	impostor := s.impostor(t)
	identity := func(d control.DomainStatus) int {
		return slices.IndexFunc(d.Incidents, func(x control.Incident) bool { return x.Kind == "identity" })
	}
	blind := s.web.becomes(t, event, "blind", func(c hooks.Change) bool { return c.State == "blind" && c.Reason != nil && c.Reason.Code == "identity" })
	s.within(t, "an incident is open", func() bool {
		d, ok := s.web.status(t)
		return ok && identity(d) >= 0
	})
	d, _ := s.web.status(t)
	if text := d.Incidents[identity(d)].Text; !strings.Contains(text, strconv.Itoa(impostor.Pid)) {
		t.Errorf("the incident %q does not name process %d", text, impostor.Pid)
	}
	balanced(t, d)
	seen := time.Now()
	s.within(t, "it is still an impostor some units later", func() bool {
		d, ok := s.web.status(t)
		return ok && time.Since(seen) > 10*time.Second && identity(d) >= 0
	})
	for _, u := range s.heard.since(s.web.uuid, blind.Since) {
		if u.Judged {
			t.Errorf("a unit of an impostor's was judged: %+v", u)
		}
	}
	if c, ok := s.heard.change(s.web.uuid, blind.Since, func(c hooks.Change) bool { return c.State != "blind" }); ok {
		t.Errorf("the guest was said to be %s because of what an impostor reports: %+v", c.State, c)
	}
	// LTTng-UST registers again with another session daemon: now the guest's QEMU, and nobody else.
	if err := impostor.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(daemon.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	event = time.Now()
	s.repair(t)
	s.web.judgedAfter(t, event)
	s.within(t, "the incident is over", func() bool {
		d, ok := s.web.status(t)
		return ok && identity(d) < 0 && d.State != "blind"
	})
}

// impostor builds and starts a program that registers with LTTng as the guest's QEMU and reports the trace points of one.
func (s *stack) impostor(t *testing.T) *os.Process {
	t.Helper()
	const source = "../../testdata/impostor"
	binary := s.file("qemu-system-x86") // the name that a QEMU goes by with LTTng
	build := exec.CommandContext(t.Context(), "gcc", "-O2", "-I", source, "-o", binary, source+"/impostor.c", "-llttng-ust", "-ldl", "-lpthread")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build impostor: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, "1000", "1")
	cmd.Env = append(os.Environ(), "IMPOSTOR_PID="+strconv.Itoa(s.web.pid(t)))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process
}
