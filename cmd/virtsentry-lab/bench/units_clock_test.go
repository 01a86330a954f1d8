package bench

import (
	"os"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	coarse, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	before, err := Clock(os.Getpid())
	if err != nil || before+tick < coarse { // both of the same account
		t.Fatal(before, coarse, err)
	}
	for x, end := 0, time.Now().Add(20*time.Millisecond); time.Now().Before(end); x++ { //nolint:revive // it is to take time
	}
	if after, err := Clock(os.Getpid()); err != nil || after <= before {
		t.Errorf("%v after %v, %v", after, before, err)
	}
	for _, pid := range []int{0, -1, 1 << 27} {
		if _, err := Clock(pid); err == nil {
			t.Errorf("process %d: no error", pid)
		}
	}
}
