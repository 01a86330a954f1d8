package monitor

import (
	"testing"
	"time"
)

func TestSpent(t *testing.T) {
	if took := spent(func() { time.Sleep(200 * time.Millisecond) }); took < 0 || took > 100*time.Millisecond {
		t.Errorf("sleeping took %v of CPU time", took)
	}
	took := spent(func() {
		for begin := time.Now(); time.Since(begin) < time.Second; { // however little of it this thread gets
		}
	})
	if took <= 0 || took > 1500*time.Millisecond {
		t.Errorf("a second of work took %v of CPU time", took)
	}
}
