package bench

import (
	"strings"
	"testing"
)

func TestChurnLeft(t *testing.T) {
	take := ChurnTake{Domains: 10, Sessions: 10, Routines: 80, Heap: 10 << 20, Shared: 20 << 20, Traces: 10, Daemon: Usage{PSS: 40 << 20, Files: 100}}
	c := Churn{Starts: 100, Before: take, After: take}
	if left := c.Left(); left != "" {
		t.Errorf("left: %s", left)
	}
	c.After.Sessions++
	c.After.Daemon.Files += 20
	left := c.Left()
	for _, want := range []string{"LTTng sessions: 11, 10 before", "descriptors of virtsentryd: 120, 100 before"} {
		if !strings.Contains(left, want) {
			t.Errorf("left: %s; want %s", left, want)
		}
	}
	if text := c.String(); !strings.Contains(text, "descriptors of virtsentryd 100 and 120") {
		t.Error(text)
	}
}
