package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// functionWays are the ways to attach.
var functionWays = map[string]func(*executable, int, chosen) (instrument, error){"multi": attachMulti, "each": attachEach}

// attachFunctionsBy attaches in one way alone.
func attachFunctionsBy(tb testing.TB, way string, t Target) *Counter {
	tb.Helper()
	attachers[probe.Functions] = func(t Target, _ Options) (_ instrument, err error) {
		x, err := openExecutable(t.Executable)
		if err != nil {
			return instrument{}, err
		}
		defer func() { err = errors.Join(err, x.close()) }()
		what, err := choose(x)
		if err != nil {
			return instrument{}, err
		}
		return functionWays[way](x, t.PID, what)
	}
	defer func() { attachers[probe.Functions] = attachFunctions }()
	return attachOrSkip(tb, probe.Functions, t)
}

// attachOrSkip attaches a source, or skips the test where the user may not.
func attachOrSkip(tb testing.TB, s probe.Source, t Target) *Counter {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("only root may attach eBPF programs")
	}
	c, err := Attach(s, t, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// named returns the counts of all units that are not 0, by the names of their columns.
func named(tb testing.TB, s probe.Source, c *Counter) map[string]uint64 {
	tb.Helper()
	units, err := c.Collect(true)
	if err != nil {
		tb.Fatal(err)
	}
	sums := make(map[string]uint64)
	for _, u := range units {
		if u.Lost != 0 {
			tb.Errorf("unit at %d has lost %d", u.Start, u.Lost)
		}
		for i, column := range s.Columns() {
			if u.Counts[i] > 0 {
				sums[strings.TrimPrefix(column.Name, string(s)+":")] += u.Counts[i]
			}
		}
	}
	return sums
}

// caller is a process of testdata/calls.
type caller struct {
	path string
	pid  int
	in   io.Writer
	out  *bufio.Reader
}

// startCaller builds testdata/calls with a macro defined, and starts it.
func startCaller(tb testing.TB, macro string, flags ...string) *caller {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "calls")
	flags = append(flags, "-O2", "-pthread", "-rdynamic", "-D"+macro, "-o", path, "testdata/calls/calls.c")
	out, err := exec.Command("gcc", flags...).CombinedOutput()
	if err != nil {
		tb.Fatalf("gcc (Debian packages gcc and systemtap-sdt-dev): %v\n%s", err, out)
	}
	return runCaller(tb, path)
}

func runCaller(tb testing.TB, path string) *caller {
	tb.Helper()
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close() // it ends
		_ = cmd.Wait()
	})
	return &caller{path: path, pid: cmd.Process.Pid, in: in, out: bufio.NewReader(out)}
}

func (c *caller) target() Target { return Target{PID: c.pid, Executable: c.path} }

// call has it call a function, and returns how long that took and how many SDT probes are watched.
func (c *caller) call(tb testing.TB, function string, times int, a, b int64, where string) (took time.Duration, watched int) {
	tb.Helper()
	if _, err := fmt.Fprintln(c.in, function, times, a, b, where); err != nil {
		tb.Fatal(err)
	}
	if _, err := fmt.Fscanf(c.out, "done %d %d\n", &took, &watched); err != nil {
		tb.Fatal(err)
	}
	return took, watched
}

// callAll calls each function, and returns what is to be counted.
func (c *caller) callAll(tb testing.TB) map[string]uint64 {
	for _, l := range []struct {
		function string
		times    int
		a, b     int64
		where    string
	}{
		{"virtqueue_fill", 5, 0, 0, "here"},
		{"virtqueue_fill", 6, 1, 0, "here"},
		{"virtqueue_fill", 7, 4097, 0, "here"},
		{"virtqueue_fill", 1, 512 + 108, 0, "here"},
		{"virtqueue_fill", 8, 76, 0, "here"},
		{"virtqueue_fill", 9, 76, 0, "thread"},
		{"virtqueue_fill", 10, 1526, 0, "here"},
		{"virtqueue_fill", 1, 108, 0, "here"},
		{"block_acct_start", 11, 4096, 1, "here"},
		{"block_acct_start", 12, 512, 2, "thread"},
		{"block_acct_start", 13, 0, 3, "here"},
		{"block_acct_start", 14, 1 << 30, 4, "here"},
		{"bdrv_co_preadv_part", 15, 65536, 0, "here"},
		{"bdrv_co_pwritev_part", 16, 1 << 40, 0, "here"},
		{"bdrv_co_pwritev_part", 1, -1, 0, "here"},
		{"qemu_net_queue_send", 17, 66, 0, "here"},
		{"qemu_net_queue_send", 1, -1, 0, "here"},
		{"qemu_net_queue_send_iov", 18, 66, 1, "here"},
		{"qemu_net_queue_send_iov", 19, 1514, 3, "here"},
		{"qemu_net_queue_send_iov", 20, 20 * 3000, 20, "here"},
		{"qemu_net_queue_send_iov", 2, 40 * 3000, 40, "here"}, // only 20 are looked at
		{"qemu_net_queue_send_iov", 1, 0, 0, "here"},
		{"qemu_net_queue_send_iov", 3, 0, -1, "here"}, // no such memory
		{"msix_notify", 21, 0, 0, "here"},
		{"memory_region_dispatch_write", 22, 0, 0, "here"},
		{"memory_region_dispatch_write", 23, 1, 0, "here"},
		{"memory_region_dispatch_write", 24, 2 | 1<<5, 0, "here"},
		{"memory_region_dispatch_write", 25, 3, 0, "thread"},
	} {
		c.call(tb, l.function, l.times, l.a, l.b, l.where)
	}
	return map[string]uint64{
		"virtqueue_fill:taken":                    5,
		"virtqueue_fill:written":                  6,
		"virtqueue_fill:read":                     8,
		"virtqueue_fill:received:len=72-79":       17,
		"virtqueue_fill:received:len=1408-1535":   10,
		"virtqueue_fill:received:len=104-111":     1,
		"block_acct_start:read:len=4096-5119":     11,
		"block_acct_start:write:len=512-639":      12,
		"block_acct_start:flush":                  13,
		"block_acct_start:other":                  14,
		"bdrv_co_preadv_part:len=65536-81919":     15,
		"bdrv_co_pwritev_part:len>=4194304":       16,
		"bdrv_co_pwritev_part:len<512":            1,
		"qemu_net_queue_send:len=64-71":           17,
		"qemu_net_queue_send:len<32":              1,
		"qemu_net_queue_send_iov:len=64-71":       18,
		"qemu_net_queue_send_iov:len=1408-1535":   19,
		"qemu_net_queue_send_iov:len=57344-61439": 22,
		"qemu_net_queue_send_iov:len<32":          4,
		"msix_notify":                             21,
		"memory_region_dispatch_write:bytes1":     22,
		"memory_region_dispatch_write:bytes2":     23,
		"memory_region_dispatch_write:bytes4":     24,
		"memory_region_dispatch_write:bytes8":     25,
	}
}

// TestFunctionsCounts counts calls of a program that exports functions of the same names, or has SDT probes of these names as well.
func TestFunctionsCounts(t *testing.T) {
	for _, way := range []string{"multi", "each"} {
		for _, macro := range []string{"EXPORTED", "MARKED", "SDT"} {
			t.Run(way+"/"+macro, func(t *testing.T) {
				protection := map[bool]string{true: "branch", false: "none"}[macro == "MARKED"]
				c := startCaller(t, macro, "-fcf-protection="+protection)
				other := runCaller(t, c.path)
				counter := attachFunctionsBy(t, way, c.target())
				t.Log(counter.Detail())
				other.callAll(t) // is not counted
				want := c.callAll(t)
				probes := map[string]int{"SDT": 3}[macro]
				if _, watched := c.call(t, "nothing", 0, 0, 0, "here"); watched != probes {
					t.Errorf("%d SDT probes are watched, want %d", watched, probes)
				}
				if _, watched := other.call(t, "nothing", 0, 0, 0, "here"); watched != 0 {
					t.Errorf("%d SDT probes of another process are watched", watched)
				}
				if diff := cmp.Diff(want, named(t, probe.Functions, counter)); diff != "" {
					t.Errorf("counts (-want +got):\n%s", diff)
				}
				if err := counter.Close(); err != nil {
					t.Fatal(err)
				}
				c.callAll(t)
				if _, watched := c.call(t, "nothing", 0, 0, 0, "here"); watched != 0 {
					t.Errorf("%d SDT probes are watched after Close", watched)
				}
			})
		}
	}
}

// TestFunctionsBuckets has the program put the ends of all buckets where package catalogue puts them.
func TestFunctionsBuckets(t *testing.T) {
	c := startCaller(t, "EXPORTED")
	counter := attachFunctionsBy(t, "multi", c.target())
	want := make(map[string]uint64)
	for _, f := range []struct {
		function, column string
		buckets          catalogue.Buckets
	}{
		{"qemu_net_queue_send", "qemu_net_queue_send", probe.TapLengths},
		{"bdrv_co_preadv_part", "bdrv_co_preadv_part", probe.RequestLengths},
	} {
		for i := range f.buckets.Count() {
			lo, hi := f.buckets.Range(i)
			c.call(t, f.function, 1, int64(lo), 0, "here")
			c.call(t, f.function, 1, int64(min(hi, math.MaxInt32)), 0, "here")
			want[f.column+":len"+f.buckets.Label(i)] = 2
		}
	}
	if diff := cmp.Diff(want, named(t, probe.Functions, counter)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// TestFunctionsProcessEnds ends the process while it is watched.
func TestFunctionsProcessEnds(t *testing.T) {
	for _, way := range []string{"multi", "each"} {
		t.Run(way, func(t *testing.T) {
			c := startCaller(t, "SDT")
			counter := attachFunctionsBy(t, way, c.target())
			c.call(t, "msix_notify", 3, 0, 0, "here")
			if err := unix.Kill(c.pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if _, err := c.out.ReadByte(); err != io.EOF {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]uint64{"msix_notify": 3}, named(t, probe.Functions, counter)); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if err := counter.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFunctionsRefused names what is wrong with a target.
func TestFunctionsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may attach eBPF programs")
	}
	dir := t.TempDir()
	pipe, text := filepath.Join(dir, "pipe"), filepath.Join(dir, "text")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := startCaller(t, "STRIPPED")
	full := startCaller(t, "EXPORTED")
	gone := full.target()
	gone.PID = math.MaxInt32
	for _, tt := range []struct {
		name string
		Target
		is   error
		text string
	}{
		{"no functions", none.target(), ErrUnsupported, "exports none of virtqueue_fill, "},
		{"no file", Target{PID: none.pid, Executable: filepath.Join(dir, "no")}, os.ErrNotExist, "no such file"},
		{"a pipe", Target{PID: none.pid, Executable: pipe}, nil, "no regular file"},
		{"a directory", Target{PID: none.pid, Executable: dir}, nil, "no regular file"},
		{"no ELF file", Target{PID: none.pid, Executable: text}, nil, "no ELF file"},
		{"no process", gone, ErrGone, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Attach(probe.Functions, tt.Target, Options{})
			if err == nil {
				t.Fatal("attached", c.Close())
			}
			if tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q, want %v, %q", err, tt.is, tt.text)
			}
		})
	}
}

// TestFunctionsTable holds the table of functions against the columns.
func TestFunctionsTable(t *testing.T) {
	columns, described := functionColumns(), make(map[string]bool)
	for _, f := range functions {
		if _, ok := columns[f.first]; !ok {
			t.Errorf("%s: there is no column %q", f.name, f.first)
		}
		described[f.name] = true
	}
	for name := range columns {
		if function, _, _ := strings.Cut(name, ":"); !described[function] {
			t.Errorf("column %q: no such function is watched", name)
		}
	}
	if len(columns) != len(probe.Functions.Columns()) || len(columns)-1 > maxColumn {
		t.Errorf("%d names for %d columns of %d at most", len(columns), len(probe.Functions.Columns()), maxColumn+1)
	}
}

// BenchmarkFunctionsHit measures what a hit costs the process, beside the same call that is not watched.
func BenchmarkFunctionsHit(b *testing.B) {
	plain, marked := startCaller(b, "EXPORTED", "-fcf-protection=none"), startCaller(b, "EXPORTED", "-fcf-protection=branch")
	const calls = 200_000
	for _, bb := range []struct {
		*caller
		name, way, function string
		a, b                int64
	}{
		{plain, "not_watched", "", "virtqueue_fill", 76, 0},
		{plain, "multi/count", "multi", "msix_notify", 0, 0},
		{plain, "multi/bucket", "multi", "virtqueue_fill", 76, 0},
		{plain, "multi/iovec", "multi", "qemu_net_queue_send_iov", 1514, 3},
		{marked, "multi/bucket,_endbr64", "multi", "virtqueue_fill", 76, 0},
		{plain, "each/bucket", "each", "virtqueue_fill", 76, 0},
	} {
		b.Run(bb.name, func(b *testing.B) {
			if bb.way != "" {
				defer func(c *Counter) { _ = c.Close() }(attachFunctionsBy(b, bb.way, bb.target()))
			}
			var total time.Duration
			n := 0
			for b.Loop() {
				took, _ := bb.call(b, bb.function, calls, bb.a, bb.b, "here")
				total += took
				n += calls
			}
			b.ReportMetric(float64(total.Nanoseconds())/float64(n), "ns/hit")
		})
	}
}
