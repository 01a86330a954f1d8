package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

func TestSyscallsColumns(t *testing.T) {
	columns := probe.Syscalls.Columns()
	if want := len(probe.SyscallRoles) * len(probe.SyscallNames); len(columns) != want || want > 400 {
		t.Errorf("%d columns", len(columns))
	}
	seen := make(map[string]bool)
	for _, c := range columns {
		if seen[c.Name] {
			t.Errorf("%s twice", c.Name)
		}
		seen[c.Name] = true
	}
	for _, name := range probe.SyscallNames[:len(probe.SyscallNames)-1] {
		if n, ok := syscallNumbers[name]; runtime.GOARCH == "amd64" && (!ok || n >= numbers) {
			t.Errorf("%s has no number", name)
		}
	}
	if _, words, _ := probe.Describe("syscalls:vcpu:ioctl"); words != "system calls ioctl by vCPU threads" {
		t.Errorf("described as %q", words)
	}
}

// asThread runs f in a thread with a name, which ends with it.
func asThread(t *testing.T, name string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		b := append([]byte(name), 0)
		if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b[0])), 0, 0, 0); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// TestSyscallsRoles counts what this process does itself, in threads named as QEMU's are. flock is what Go's runtime does not call.
func TestSyscallsRoles(t *testing.T) {
	needRoot(t)
	want := map[string]uint64{"syscalls:vcpu:flock": 1000, "syscalls:iothread:flock": 200, "syscalls:worker:flock": 30}
	asThread(t, "CPU 0/KVM", func() {
		c, err := Attach(probe.Syscalls, Target{PID: os.Getpid()}, Options{})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		if got := c.Detail(); got != "1 vCPU thread, 0 iothreads" {
			t.Errorf("detail %q", got)
		}
		flock := func(n int) {
			for range n {
				_ = unix.Flock(-1, unix.LOCK_UN)
			}
		}
		flock(1000)
		asThread(t, "IO iothread1", func() {
			if _, err := c.Collect(false); err != nil { // it looks for threads
				t.Error(err)
			}
			flock(200)
		})
		asThread(t, "IO mon_iothread", func() { flock(30) })
		got, lost := rest(t, c, probe.Syscalls)
		for name := range got {
			if !strings.HasSuffix(name, ":flock") {
				delete(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || lost != 0 {
			t.Errorf("lost %d, %s", lost, diff)
		}
	})
}

// TestSyscallsParallel has several threads call at once while units are read.
func TestSyscallsParallel(t *testing.T) {
	needRoot(t)
	attached, err := Attach(probe.Syscalls, Target{PID: os.Getpid()}, Options{})
	c := closing(t, attached, err)
	const threads, each = 4, 100000
	var group errgroup.Group
	for range threads {
		group.Go(func() error {
			for range each {
				_ = unix.Flock(-1, unix.LOCK_UN)
			}
			return nil
		})
	}
	column := slices.IndexFunc(probe.Syscalls.Columns(), func(c probe.Column) bool { return c.Name == "syscalls:worker:flock" })
	var units []unit.Unit
	for range 10 {
		more, err := c.Collect(false)
		if err != nil {
			t.Error(err)
		}
		units = append(units, more...)
	}
	_ = group.Wait()
	more, err := c.Collect(true)
	if err != nil {
		t.Error(err)
	}
	sum := uint64(0)
	for _, u := range append(units, more...) {
		sum += u.Counts[column] + u.Lost
	}
	if sum != threads*each {
		t.Errorf("%d of %d calls", sum, threads*each)
	}
}

// child is a process that begins to do something when it is told.
type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// newChild starts a shell that waits for a line before it becomes dd, which writes so many times.
func newChild(t *testing.T, writes int) *child {
	t.Helper()
	needRoot(t)
	dd, err := exec.LookPath("dd")
	if err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: exec.Command("sh", "-c", fmt.Sprintf("echo ready; read line; exec %s if=/dev/zero of=/dev/null bs=1 status=none count=%d", dd, writes))}
	if c.in, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	if line, err := c.out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return c
}

// run has the program run until it ends. It is not waited for: the process stays.
func (c *child) run(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
}

// TestSyscallsOthers observes other processes: two by one program, one of them twice.
func TestSyscallsOthers(t *testing.T) {
	a, b, unseen := newChild(t, 1000), newChild(t, 50), newChild(t, 7)
	var counters []*Counter
	for _, p := range []*child{a, b, a} {
		c, err := Attach(probe.Syscalls, Target{PID: p.Process.Pid}, Options{})
		counters = append(counters, closing(t, c, err))
	}
	if n := len(syscallsPool.serves); n != 2 {
		t.Errorf("%d programs observe", n)
	}
	for _, p := range []*child{a, b, unseen} {
		p.run(t)
	}
	for i, writes := range []uint64{1000, 50, 1000} {
		got, lost := rest(t, counters[i], probe.Syscalls)
		if got["syscalls:main:write"] != writes || got["syscalls:main:execve"] != 1 || lost != 0 {
			t.Errorf("observer %d: %v, lost %d", i, got, lost)
		}
		for name := range got {
			if !strings.HasPrefix(name, "syscalls:main:") {
				t.Errorf("observer %d: %s", i, name)
			}
		}
	}
	for _, c := range counters {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := len(syscallsPool.serves); n != 0 {
		t.Errorf("%d programs stay", n)
	}
}

// TestSyscallsGone observes a process until it ends, and one that is not there.
func TestSyscallsGone(t *testing.T) {
	p := newChild(t, 10)
	attached, err := Attach(probe.Syscalls, Target{PID: p.Process.Pid}, Options{})
	c := closing(t, attached, err)
	p.run(t)
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	units, err := c.Collect(false)
	if !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), strconv.Itoa(p.Process.Pid)) || len(units) == 0 {
		t.Errorf("the process has ended: %v, %d units", err, len(units))
	}
	for _, pid := range []int{p.Process.Pid, 0, -1} {
		if _, err := Attach(probe.Syscalls, Target{PID: pid}, Options{}); !errors.Is(err, ErrGone) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

// fakeRoles is a map of roles.
type fakeRoles map[uint32]uint32

func (f fakeRoles) Put(key, value any) error { f[key.(uint32)] = value.(uint32); return nil }
func (f fakeRoles) Delete(key any) error     { delete(f, key.(uint32)); return nil }

func TestThreads(t *testing.T) {
	proc := t.TempDir()
	name := func(tid, comm string) {
		dir := filepath.Join(proc, "7", "task", tid)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "comm"), []byte(comm), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for tid, comm := range map[string]string{
		"7": "qemu-system-x86\n", "8": "CPU 0/KVM\n", "9": "CPU 1/TCG\n", "10": "IO iothread1\n", "11": "IO mon_iothread\n", "12": "worker\n",
		"13": "CPU", "14": "", "x": "CPU 2/KVM\n", "99999999999": "CPU 3/KVM\n", "15": "ALL CPUs/TCG\n", "16": "vhost-7\n",
	} {
		name(tid, comm)
	}
	roles := make(fakeRoles)
	th := &threads{proc: proc, pid: 7, roles: roles}
	if err := th.refresh(); err != nil {
		t.Fatal(err)
	}
	want := fakeRoles{8: roleVCPU, 9: roleVCPU, 10: roleIOThread, 15: roleVCPU}
	if diff := cmp.Diff(want, roles); diff != "" {
		t.Error(diff)
	}
	if got := th.detail(); got != "3 vCPU threads, 1 iothread" {
		t.Errorf("detail %q", got)
	}
	if err := os.RemoveAll(filepath.Join(proc, "7", "task", "9")); err != nil {
		t.Fatal(err)
	}
	name("10", "worker\n")
	name("17", "IO iothread2\n")
	if err := th.refresh(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fakeRoles{8: roleVCPU, 15: roleVCPU, 17: roleIOThread}, roles); diff != "" {
		t.Error(diff)
	}
	if err := th.forget(); err != nil || len(roles) != 0 {
		t.Errorf("forgotten but %v, %v", roles, err)
	}
	th.pid = 8
	if err := th.refresh(); !errors.Is(err, ErrGone) {
		t.Errorf("no such process: %v", err)
	}
}
