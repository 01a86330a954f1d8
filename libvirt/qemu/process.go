package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Roots of the two trees in which a domain's process is looked up.
const (
	DefaultRunDir  = "/run/libvirt" // libvirt's run-time state: qemu/NAME.pid
	DefaultProcDir = "/proc"        // proc(5)
)

// ErrNoProcess says that a domain's QEMU process is not (or no longer) there.
var ErrNoProcess = errors.New("no QEMU process")

// Process is one QEMU process. PID and Start together name it for ever: PIDs are used again, but not with the same start time.
type Process struct {
	PID   int
	Start uint64 // clock ticks after boot, proc_pid_stat(5) field 22
}

// Processes finds domains' QEMU processes.
type Processes struct {
	RunDir  string // DefaultRunDir
	ProcDir string // DefaultProcDir
}

// Find reads the PID that libvirt wrote for the domain and checks that the process is the domain's QEMU: it was started for the domain's UUID, and not
// after the PID was written. Check says of its executable what can be said.
// Errors: ErrNoProcess when there is no PID file, or no such process (any more).
func (p Processes) Find(d Domain) (Process, error) {
	pid, err := p.readPID(d.Name)
	if err != nil {
		return Process{}, err
	}
	q, err := p.find(pid, d)
	if err != nil {
		return Process{}, fmt.Errorf("qemu: domain %s: %w", d.UUID, err)
	}
	return q, nil
}

func (p Processes) find(pid int, d Domain) (Process, error) {
	start, err := p.startTime(pid)
	if err != nil {
		return Process{}, err
	}
	q := Process{PID: pid, Start: start}
	args, err := p.arguments(pid)
	if err != nil {
		return Process{}, err
	}
	if !strings.EqualFold(uuidOf(args), d.UUID) {
		return Process{}, fmt.Errorf("process %d was not started for it: %w", pid, ErrNoProcess)
	}
	if err := p.announced(q, d.Name); err != nil {
		return Process{}, err
	}
	if !p.Alive(q) { // what was read may be of two processes
		return Process{}, fmt.Errorf("process %d has ended: %w", pid, ErrNoProcess)
	}
	return q, nil
}

// Identify finds out whose the QEMU process is that NAME.pid names. libvirt writes the file before it executes QEMU, so ErrNoProcess may
// mean: not yet.
func (p Processes) Identify(name string) (Domain, error) {
	pid, err := p.readPID(name)
	if err != nil {
		return Domain{}, err
	}
	args, err := p.arguments(pid)
	if err != nil {
		return Domain{}, fmt.Errorf("qemu: domain %s: %w", name, err)
	}
	uuid := uuidOf(args)
	if uuid == "" {
		return Domain{}, fmt.Errorf("qemu: domain %s: process %d has no -uuid: %w", name, pid, ErrNoProcess)
	}
	return Domain{UUID: uuid, Name: name}, nil
}

// Alive says whether exactly this process still runs. A zombie does not. Where that cannot be found out, as no file can be opened, it does: it did before.
func (p Processes) Alive(q Process) bool {
	start, err := p.startTime(q.PID)
	if err != nil {
		return !errors.Is(err, ErrNoProcess)
	}
	return start == q.Start
}

// Watch is Alive for who asks often: one system call, where /proc/PID/stat is several, and has the kernel add up all threads' times. Call end in the end.
func (p Processes) Watch(q Process) (alive func() bool, end func()) {
	alive, end = func() bool { return p.Alive(q) }, func() {}
	if p.ProcDir != DefaultProcDir {
		return alive, end
	}
	fd, err := unix.PidfdOpen(q.PID, 0)
	if err != nil {
		return alive, end
	}
	if !p.Alive(q) { // it may be another one's by now
		return func() bool { return false }, func() { _ = unix.Close(fd) }
	}
	return func() bool {
		// It is readable once the process has terminated, waited for or not: pidfd_open(2).
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a file descriptor
		n, err := unix.Poll(ready, 0)
		return err != nil || n == 0
	}, func() { _ = unix.Close(fd) }
}

// ticks of the clock in a second, in which proc(5) counts: USER_HZ, which is 100 on every Linux that user space sees.
const ticks = 100

// Age is how long ago the process began.
func (p Processes) Age(q Process) (time.Duration, error) {
	text, err := readFile(filepath.Join(p.ProcDir, "uptime"), mostStat)
	if err != nil {
		return 0, fmt.Errorf("qemu: read the host's uptime: %w", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	up, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0, fmt.Errorf("qemu: read the host's uptime: %w", err)
	}
	age := up - float64(q.Start)/ticks
	return max(0, time.Duration(age*float64(time.Second))), nil
}

// GuestTime is for how long the process's virtual CPUs have run, in all: the CPU time of its threads of the name that libvirt has QEMU give them
// ("CPU 0/KVM"; proc_pid_task(5), schedstat). libvirt starts QEMU with its CPUs stopped.
func (p Processes) GuestTime(q Process) (time.Duration, error) {
	tasks, err := filepath.Glob(p.proc(q.PID, "task/*/comm"))
	if err != nil {
		return 0, fmt.Errorf("qemu: list threads of process %d: %w", q.PID, err)
	}
	total := time.Duration(0)
	for _, comm := range tasks {
		name, err := os.ReadFile(comm)
		if err != nil || !strings.HasPrefix(string(name), "CPU ") {
			continue // a thread that has ended, or no virtual CPU
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(comm), "schedstat"))
		if err != nil {
			return 0, fmt.Errorf("qemu: read CPU time of process %d: %w", q.PID, noProcess(err))
		}
		first, _, _ := strings.Cut(string(stat), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("qemu: read CPU time of process %d: %w", q.PID, err)
		}
		total += time.Duration(ns)
	}
	return total, nil
}

func (p Processes) proc(pid int, name string) string {
	return filepath.Join(p.ProcDir, strconv.Itoa(pid), name)
}

func (p Processes) startTime(pid int) (uint64, error) {
	stat, err := readFile(p.proc(pid, "stat"), mostStat)
	if err != nil {
		return 0, noProcess(err)
	}
	state, start, err := parseStat(stat)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	if state == 'Z' || state == 'X' {
		return 0, fmt.Errorf("process %d has ended: %w", pid, ErrNoProcess)
	}
	return start, nil
}

func noProcess(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return ErrNoProcess
	}
	return err
}

// parseStat reads state (field 3) and start time (field 22) of a proc_pid_stat(5) line. The command name (field 2) may hold blanks and parentheses,
// so fields are counted after its last parenthesis.
func parseStat(stat []byte) (state byte, start uint64, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, errors.New("stat line without a command name")
	}
	fields := strings.Fields(string(stat[end+1:]))
	const startField = 22 - 3
	if len(fields) <= startField || len(fields[0]) != 1 {
		return 0, 0, fmt.Errorf("stat line with %d fields after the command name", len(fields))
	}
	if c := fields[0][0] | 0x20; c < 'a' || c > 'z' {
		return 0, 0, fmt.Errorf("stat line: the state is %q, no letter", fields[0])
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("stat line: start time: %w", err)
	}
	return fields[0][0], start, nil
}

// uuidOf returns the UUID after "-uuid", as libvirt gives every QEMU, among arguments; "" if there is none.
func uuidOf(args []string) string {
	for i := 1; i < len(args); i++ {
		if args[i-1] == "-uuid" && uuidForm.MatchString(args[i]) {
			return strings.ToLower(args[i])
		}
	}
	return ""
}

var uuidForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
