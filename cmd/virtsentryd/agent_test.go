//go:build integration

package main

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"
)

const exampleAgent = "../../packaging/examples/follow_states.py"

// said is a line of the agent's.
type said struct {
	Event, Verdict, Why, Value, UUID, Host string
}

// agent is packaging/examples/follow_states.py, which knows libvirt and nothing of virtsentry.
type agent struct {
	*stack
	errors strings.Builder

	mu    sync.Mutex // guards lines
	lines []said
}

func (s *stack) agent(t *testing.T) *agent {
	t.Helper()
	a := &agent{stack: s}
	c := exec.Command("/usr/bin/python3", "-B", exampleAgent, "--uri", s.lab.URI())
	c.Stderr = &a.errors
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var x said
			if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
				x.Event = "no JSON: " + lines.Text()
			}
			a.mu.Lock()
			a.lines = append(a.lines, x)
			a.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
		defer late.Stop()
		reading.Wait()
		if err := c.Wait(); err != nil {
			t.Errorf("the agent: %v\n%s", err, a.errors.String())
		}
	})
	return a
}

// hear waits for a line, after those that were heard before.
func (a *agent) hear(t *testing.T, what string, is func(said) bool) {
	t.Helper()
	a.within(t, "the agent says: "+what, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		for i, x := range a.lines {
			if is(x) {
				a.lines = a.lines[i+1:]
				return true
			}
		}
		return false
	})
}

func (s *stack) testAgent(t *testing.T) {
	s.web.judged(t)
	a := s.agent(t)
	of := func(verdict, why string) func(said) bool {
		return func(x said) bool { return x.UUID == s.web.uuid && x.Verdict == verdict && x.Why == why }
	}
	believed := func(x said) bool {
		return x.UUID == s.web.uuid && (x.Verdict == "ok" || x.Verdict == "watch" || x.Verdict == "alarm")
	}
	a.hear(t, "connected", func(x said) bool { return x.Event == "connected" && x.Host == s.lab.Hostname() })
	a.hear(t, "a state that may be believed", believed)
	pause := func() {
		t.Helper()
		s.web.domain(t, (*golibvirt.Domain).Suspend)
		a.hear(t, "paused", of("off", ""))
		s.web.domain(t, (*golibvirt.Domain).Resume)
		a.hear(t, "not paused", func(x said) bool { return x.UUID == s.web.uuid && x.Verdict != "off" })
	}
	pause()

	// libvirt's daemon goes away and comes back; the state is said again.
	p, err := s.lab.LibvirtDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.hear(t, "disconnected", func(x said) bool { return x.Event == "disconnected" })
	s.disconnect()
	s.repair(t)
	s.connect(t)
	a.hear(t, "connected again", func(x said) bool { return x.Event == "connected" })
	s.web.judgedAfter(t, time.Now())
	pause()

	// A daemon that cannot say that it ends leaves a state that ends of itself.
	_ = s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	s.daemon = nil
	left, err := s.client.State(s.web.uuid)
	if err != nil || left == nil {
		t.Fatalf("the state that was left: %+v, %v", left, err)
	}
	left.ValidUntil = time.Now().Add(3 * time.Second)
	if err := s.client.SetState(s.web.uuid, *left); err != nil {
		t.Fatal(err)
	}
	a.hear(t, "not seen any more", of("not-seen", "expired"))
	out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-B", exampleAgent, "--once", "--uri", s.lab.URI()).Output()
	if err != nil || !strings.Contains(string(out), `"expired"`) {
		t.Errorf("once: %v\n%s", err, out)
	}
	s.startDaemon(t)
	a.hear(t, "seen again", believed)
	s.web.judgedAfter(t, time.Now())

	s.web.domain(t, (*golibvirt.Domain).Destroy)
	a.hear(t, "gone", func(x said) bool { return x.Event == "gone" && x.UUID == s.web.uuid })
	s.web.gone(t)
	s.web.judged(t)
	a.hear(t, "back", believed)
}
