package kernel

import (
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// TestStats has the kernel keep run statistics for a while.
func TestStats(t *testing.T) {
	newNetwork(t)
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Skipf("no run statistics: %v", err)
	}
	defer func() { _ = stats.Close() }()
	g := newTap(t, "a0")
	c := attachBy(t, byTCX, Options{}, g.TapDevice)
	for range 100 {
		g.send(t, frame{}.pad(100))
	}
	hits, ns := c.Stats()
	if hits != 100 || ns == 0 {
		t.Errorf("%d hits in %d ns", hits, ns)
	}
	t.Logf("%d ns for a packet", ns/hits)
	if _, err := c.Collect(true); err != nil {
		t.Error(err)
	}
	if after, _ := c.Stats(); after != hits {
		t.Errorf("%d hits after the last units", after)
	}
}

// TestSharedStats has two observers share what one program does.
func TestSharedStats(t *testing.T) {
	needRoot(t)
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Skipf("no run statistics: %v", err)
	}
	defer func() { _ = stats.Close() }()
	attached, err := Attach(probe.Syscalls, Target{PID: os.Getpid()}, Options{})
	a := closing(t, attached, err)
	alone, _ := a.Stats()
	for range 1000 {
		_ = unix.Flock(-1, unix.LOCK_UN)
	}
	first, _ := a.Stats()
	if first < alone+1000 {
		t.Errorf("1,000 calls of one process are %d hits", first-alone)
	}
	attached, err = Attach(probe.Syscalls, Target{PID: 1}, Options{})
	b := closing(t, attached, err)
	before, _ := a.Stats()
	for range 1000 {
		_ = unix.Flock(-1, unix.LOCK_UN)
	}
	of, _ := a.Stats()
	other, ns := b.Stats()
	if of-before < 500 || other < 500 || ns == 0 {
		t.Errorf("1,000 calls are %d and %d hits, %d ns", of-before, other, ns)
	}
}
