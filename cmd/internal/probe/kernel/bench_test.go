package kernel

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// BenchmarkPacket sends a UDP packet of 64 bytes by a veth pair: without anything attached, and with each way to observe it. The device
// is one end of the pair; a packet passes it once.
func BenchmarkPacket(b *testing.B) {
	for _, way := range []struct {
		name    string
		headers bool
		way     *tapWay
	}{{"nothing", false, nil}, {"tcx", false, &byTCX}, {"tcx with headers", true, &byTCX}, {"packet socket", false, &byPacketSocket}} {
		b.Run(way.name, func(b *testing.B) {
			newNetwork(b)
			ip(b, "link add v0 type veth peer name v1")
			ip(b, "addr add 192.0.2.1/24 dev v0")
			ip(b, "link set v1 up")
			ip(b, "link set v0 up")
			ip(b, "neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev v0")
			s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = unix.Close(s) }()
			if err := unix.Connect(s, &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 2}, Port: 9}); err != nil {
				b.Fatal(err)
			}
			var c *Counter
			if way.way != nil {
				c = attachBy(b, *way.way, Options{Headers: way.headers}, device(b, "v0"))
			}
			payload := make([]byte, 22)
			sent := uint64(0)
			for b.Loop() {
				sent++
				if _, err := unix.Write(s, payload); err != nil {
					b.Fatal(err)
				}
			}
			if c != nil {
				measured := inKernel(b, c, func() {
					sent++
					_, _ = unix.Write(s, payload)
				})
				b.ReportMetric(measured, "ns-in-kernel/op")
				if got, lost := rest(b, c, probe.Tap); got[lengthColumn("received", 64)] != sent || lost > 0 {
					b.Errorf("counted %v of %d, lost %d", got, sent, lost)
				}
			}
		})
	}
}

// inKernel returns how long a source's programs take for what f does, nanoseconds, as the kernel measures it: less disturbed by what else
// the machine does, but its measuring is in it. 0 where the kernel does not measure.
func inKernel(b *testing.B, c *Counter, f func()) float64 {
	b.Helper()
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return 0
	}
	defer func() { _ = stats.Close() }()
	const times = 20000
	_, before := c.Stats()
	for range times {
		f()
	}
	_, after := c.Stats()
	return float64(after-before) / times
}

// BenchmarkSyscall calls getppid: while nobody is observed, while another process is, and while this one is.
func BenchmarkSyscall(b *testing.B) {
	needRoot(b)
	calls := func(b *testing.B) {
		for b.Loop() {
			_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
	}
	observed := func(pid, times int) func(b *testing.B) {
		return func(b *testing.B) {
			for range times {
				c, err := Attach(probe.Syscalls, Target{PID: pid}, Options{})
				if errors.Is(err, ErrUnsupported) {
					b.Skip(err)
				}
				closing(b, c, err)
			}
			calls(b)
		}
	}
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	b.Run("nobody observed", calls)
	b.Run("another observed", observed(other.Process.Pid, 1))
	// Each observer of the same process has a program of its own: what ten domains would cost if each had.
	b.Run("another observed by 10 programs", observed(other.Process.Pid, 10))
	b.Run("observed", observed(os.Getpid(), 1))
}

// BenchmarkCollect reads a unit of the widest source.
func BenchmarkCollect(b *testing.B) {
	needRoot(b)
	attached, err := Attach(probe.Syscalls, Target{PID: os.Getpid()}, Options{})
	c := closing(b, attached, err)
	into := make([]uint64, c.ring.columns)
	for b.Loop() {
		if err := c.ring.take(0, into); err != nil {
			b.Fatal(err)
		}
	}
}
