package control

import (
	"os"
	"testing"
)

func TestDaemonTakes(t *testing.T) {
	_, c, end := serve(t)
	defer end()
	d, err := c.Daemon(t.Context())
	if err != nil || d.PID != os.Getpid() || d.Goroutines < 2 || d.Files < 3 || d.Heap == 0 {
		t.Errorf("Daemon = %+v, %v", d, err)
	}
}
