package monitor

import (
	"errors"
	"fmt"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
)

// TestComplain: what is wrong is logged when it begins, and when it is another thing; a hostile process cannot make another thing of each packet.
func TestComplain(t *testing.T) {
	log, said := logtest.NewNullLogger()
	w := &watcher{log: log}
	for i := range 100 {
		w.complain(fmt.Errorf("%w: unknown event %d", errUnreadable, i), "could not collect")
	}
	if n := len(said.AllEntries()); n != 1 {
		t.Errorf("%d lines about a trace that cannot be read; want 1", n)
	}
	for range 3 {
		w.complain(errors.New("another"), "could not collect")
	}
	if n := len(said.AllEntries()); n != 2 {
		t.Errorf("%d lines; want another one", n)
	}
}
