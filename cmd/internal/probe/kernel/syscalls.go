package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// procRoot is where process information is.
const procRoot = "/proc"

// Roles of threads: enum role of bpf/syscalls.bpf.c, in the order of [probe.SyscallRoles]. What is neither is told by the program itself: the
// main thread by its ID, any other is a worker.
const (
	roleVCPU uint32 = iota
	roleIOThread
)

// numbers is how many system call numbers have a kind: NUMBERS of bpf/syscalls.bpf.c.
const numbers = 512

// syscallsPool observes system calls of all domains.
var syscallsPool = &pool{
	source: probe.Syscalls,
	read: func() (*ebpf.CollectionSpec, error) {
		spec, err := loadSyscalls()
		if err != nil {
			return nil, err
		}
		kinds := kindsOfNumbers()
		return spec, spec.Variables["kinds"].Set(kinds[:])
	},
	attach: func(c *ebpf.Collection) ([]link.Link, error) {
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: c.Programs["entered"]})
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: it has no trace point sys_enter (CONFIG_FTRACE_SYSCALLS): %w", ErrUnsupported, err)
		}
		return []link.Link{l}, err
	},
}

// kindsOfNumbers returns the column of each system call within those of a role.
func kindsOfNumbers() (kinds [numbers]byte) {
	other := byte(len(probe.SyscallNames) - 1)
	for i := range kinds {
		kinds[i] = other
	}
	for i, name := range probe.SyscallNames {
		if n, ok := syscallNumbers[name]; ok && n < numbers {
			kinds[n] = byte(i)
		}
	}
	return kinds
}

// attachSyscalls attaches the program of [probe.Syscalls]. The process ID must be that of the initial PID namespace, where programs see it.
func attachSyscalls(t Target, _ Options) (instrument, error) {
	if t.PID <= 0 {
		return instrument{}, fmt.Errorf("process %d: %w", t.PID, ErrGone)
	}
	m, err := syscallsPool.join(t.PID)
	if err != nil {
		return instrument{}, err
	}
	threads := &threads{proc: procRoot, pid: t.PID, roles: m.at.Maps["roles"]}
	if err := threads.refresh(); err != nil {
		return instrument{}, errors.Join(err, m.detach(), m.leave())
	}
	in := m.instrument()
	in.refresh, in.detail = threads.refresh, threads.detail
	in.close = func() error { return errors.Join(threads.forget(), m.leave()) }
	return in, nil
}

// roleMap is the part of a map that threads use.
type roleMap interface {
	Put(key, value any) error
	Delete(key any) error
}

// threads tells the program which threads of a process are vCPUs and iothreads.
type threads struct {
	proc  string
	pid   int
	roles roleMap
	told  map[uint32]uint32 // role by thread ID
}

// refresh tells the program of threads that are new, and of those that are gone. It fails when the process is gone.
func (t *threads) refresh() error {
	found, err := t.find()
	if err != nil {
		return err
	}
	for tid, role := range found {
		if was, ok := t.told[tid]; ok && was == role {
			continue
		}
		if err := t.roles.Put(tid, role); err != nil {
			return fmt.Errorf("tell the role of thread %d: %w", tid, err)
		}
	}
	for tid := range t.told {
		if _, ok := found[tid]; !ok {
			if err := t.roles.Delete(tid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return fmt.Errorf("forget the role of thread %d: %w", tid, err)
			}
		}
	}
	t.told = found
	return nil
}

// find reads the roles of the threads that have one.
func (t *threads) find() (map[uint32]uint32, error) {
	dir := filepath.Join(t.proc, strconv.Itoa(t.pid), "task")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil, fmt.Errorf("process %d: %w", t.pid, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("list the threads of process %d: %w", t.pid, err)
	}
	found := make(map[uint32]uint32)
	for _, e := range entries {
		tid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			continue
		}
		name, err := os.ReadFile(filepath.Join(dir, e.Name(), "comm"))
		if err != nil {
			continue // a thread that has just ended
		}
		if role, ok := roleOf(string(bytes.TrimSuffix(name, []byte("\n")))); ok {
			found[uint32(tid)] = role
		}
	}
	return found, nil
}

// roleOf returns the role that QEMU names a thread by: "CPU 0/KVM", "CPU 0/TCG" ("ALL CPUs/TCG" where one thread does all), "IO iothread1". The monitor's "IO mon_iothread" is none:
// what it does comes of the host's management.
func roleOf(name string) (uint32, bool) {
	switch {
	case strings.HasPrefix(name, "CPU "), strings.HasPrefix(name, "ALL CPUs"):
		return roleVCPU, true
	case strings.HasPrefix(name, "IO ") && name != "IO mon_iothread":
		return roleIOThread, true
	}
	return 0, false
}

// detail says how many threads of each role there are.
func (t *threads) detail() string {
	var n [2]int
	for _, role := range t.told {
		n[role]++
	}
	return fmt.Sprintf("%s, %s", amount(n[roleVCPU], "vCPU thread"), amount(n[roleIOThread], "iothread"))
}

// amount returns a number and what there is of it.
func amount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// forget has the program forget all threads.
func (t *threads) forget() (err error) {
	for _, tid := range slices.Sorted(maps.Keys(t.told)) {
		if e := t.roles.Delete(tid); e != nil && !errors.Is(e, ebpf.ErrKeyNotExist) {
			err = errors.Join(err, e)
		}
	}
	t.told = nil
	return err
}
