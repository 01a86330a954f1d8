//go:build integration

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// starts is how many real guests start and stop.
func starts(t *testing.T) int {
	t.Helper()
	text := os.Getenv(faultsStarts)
	if text == "" {
		return 4
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number of guests", faultsStarts, text)
	}
	return n
}

func (s *stack) faultChurn(t *testing.T) seen {
	n := starts(t)
	event := time.Now()
	for i := range n {
		g := s.second(t, 2+i%20)
		g.attached(t)
		if i%2 == 0 { // some live for a while
			from := time.Now()
			g.within(t, "a unit of it comes", func() bool { return len(g.heard.since(g.uuid, from.Truncate(2*time.Second))) > 0 })
		}
		if d, ok := g.status(t); ok {
			balanced(t, d)
		}
		s.end(t, g)
	}
	s.web.unmoved(t, event, 2)
	return seen{times: n, text: fmt.Sprintf("%.1f s for each", time.Since(event).Seconds()/float64(n))}
}

// faultDiesAttaching kills QEMUs as soon as libvirt has written their PID files, and somewhat later.
func (s *stack) faultDiesAttaching(t *testing.T) seen {
	const times = 8
	event := time.Now()
	for i := range times {
		number := 30 + i
		file := filepath.Join(s.lab.RunLibvirt(), "qemu", fmt.Sprintf("tiny-%d.pid", number))
		started := make(chan error, 1)
		go func() {
			_, err := s.lab.StartTiny(t.Context(), number)
			started <- err
		}()
		pid := 0
		s.within(t, "libvirt has written the PID file", func() bool {
			text, err := os.ReadFile(file)
			if err == nil {
				pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
			}
			return err == nil
		})
		time.Sleep(time.Duration(i) * 300 * time.Millisecond)
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended because libvirt gave up
		err := <-started                       // an error, where it was still being started
		t.Logf("killed %d ms after its PID file: %v", i*300, err)
	}
	s.within(t, "nothing is left of them", func() bool {
		list, err := s.control().Domains(t.Context())
		return err == nil && len(list) == 1 && len(s.sessions(t)) == 1
	})
	s.web.unmoved(t, event, 4)
	s.within(t, "libvirt has seen them end", func() bool {
		list, err := s.client.Running()
		return err == nil && len(list) == 1
	})
	return seen{times: times}
}
