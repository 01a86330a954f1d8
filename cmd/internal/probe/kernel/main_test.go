package kernel

import (
	"os"
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// The main thread is the test's own: no test runs in it, which would make its thread's role another than what the test wants.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needRoot skips a test that only root can run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it needs root")
	}
}

// closing closes a counter at the end of a test.
func closing(t testing.TB, c *Counter, err error) *Counter {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
