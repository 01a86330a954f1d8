//go:build integration

package lab

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// All calls of a process are counted, and of what it starts: dd makes one read
// and one write for each byte.
func TestCountSyscalls(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const n = 10_000 // fit into the ring
	cmd := exec.Command("sh", "-c", "read x; dd if=/dev/zero of=/dev/null bs=1 count=10000; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = in.Close() }()
	c, err := countSyscalls(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Error(err)
	}
	// It says when it is through, before it waits again.
	if _, err := io.ReadAtLeast(out, make([]byte, 1<<10), 40); err != nil {
		t.Error(err)
	}
	counts := c.counts
	if _, err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	var reads, writes uint64
	for _, calls := range counts.calls {
		reads += calls[unix.SYS_READ]
		writes += calls[unix.SYS_WRITE]
	}
	if len(counts.lost) > 0 {
		t.Errorf("lost: %v", counts.lost)
	}
	if reads < n || reads > n+100 || writes < n || writes > n+100 {
		t.Errorf("%d reads and %d writes, want a few more than %d", reads, writes, n)
	}
}

func TestCountSyscallsOfNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if c, err := countSyscalls(1 << 30); err == nil {
		_, _ = c.Stop()
		t.Error("no error")
	}
}
