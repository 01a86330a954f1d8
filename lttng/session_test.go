package lttng_test

import (
	"strings"
	"testing"

	"github.com/virtsentry/virtsentry/lttng"
)

func TestConfigRefused(t *testing.T) {
	good := lttng.Config{Name: "a", Output: "/nonexistent/a", PID: 1, Events: []string{"qemu:*"}}
	tests := map[string]struct {
		change    func(*lttng.Config)
		complaint string
	}{
		"no name":         {func(c *lttng.Config) { c.Name = "" }, "session name"},
		"name as a path":  {func(c *lttng.Config) { c.Name = "../a" }, "session name"},
		"name as an URL":  {func(c *lttng.Config) { c.Name = "a/b:c" }, "session name"},
		"long name":       {func(c *lttng.Config) { c.Name = strings.Repeat("a", 300) }, "session name"},
		"no process":      {func(c *lttng.Config) { c.PID = 0 }, "process id"},
		"no events":       {func(c *lttng.Config) { c.Events = nil }, "no events"},
		"relative output": {func(c *lttng.Config) { c.Output = "a" }, "absolute"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := good
			test.change(&c)
			if s, err := lttng.NewSession(c); err == nil || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("NewSession = %v, %v; want a complaint about %q", s, err, test.complaint)
			}
		})
	}
}
