package kernel

import (
	"testing"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

func TestAttachLoopback(t *testing.T) {
	c, err := Attach(probe.Tap, Target{Taps: []TapDevice{{"lo", 1}}}, Options{Headers: true})
	if err != nil {
		t.Fatal(err)
	}
	u, err := c.Collect(true)
	t.Log(u, err)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
