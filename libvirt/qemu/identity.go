package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrOtherExecutable says that a process does not run its domain's emulator.
var ErrOtherExecutable = errors.New("not the domain's emulator")

// deleted is what the kernel puts behind the path of a file that has been removed or replaced, proc_pid_exe(5).
const deleted = " (deleted)"

// Executable is the path of the file that the process runs. It ends with " (deleted)" when that file has been removed since or replaced, such as by
// an upgrade. Errors: ErrNoProcess; or the caller may not look.
func (p Processes) Executable(q Process) (string, error) {
	path, err := os.Readlink(p.proc(q.PID, "exe"))
	if err != nil {
		return "", fmt.Errorf("qemu: read which executable process %d runs: %w", q.PID, noProcess(err))
	}
	return path, nil
}

// Check says whether the process runs the emulator that its domain's definition names: that file, by whatever path, or what was there before an
// upgrade. Of an emulator that is a script nothing can be said, because it may run anything, and there is no error.
// Errors: ErrOtherExecutable, ErrNoProcess; or the caller may not look.
func (p Processes) Check(q Process, emulator string) error {
	path, err := p.Executable(q)
	if err != nil {
		return err
	}
	before := strings.TrimSuffix(path, deleted)
	if path == emulator || before == emulator {
		return nil
	}
	if target, err := filepath.EvalSymlinks(emulator); err == nil && before == target {
		return nil
	}
	wanted, err := os.Stat(emulator)
	if err != nil {
		return fmt.Errorf("qemu: process %d runs %q: %w, which is %q and cannot be looked at: %w", q.PID, path, ErrOtherExecutable, emulator, err)
	}
	if runs, err := os.Stat(p.proc(q.PID, "exe")); err == nil && os.SameFile(runs, wanted) {
		return nil
	}
	if isScript(emulator) {
		return nil
	}
	return fmt.Errorf("qemu: process %d runs %q: %w, which is %q", q.PID, path, ErrOtherExecutable, emulator)
}

// isScript says whether the file begins as a script does, execve(2).
func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	var head [2]byte
	n, _ := f.Read(head[:])
	return string(head[:n]) == "#!"
}

// Restored says whether the QEMU was started to go on with a guest that ran before, saved or on another host: such a guest does not boot.
// Errors: ErrNoProcess; or the caller may not look.
func (p Processes) Restored(q Process) (bool, error) {
	args, err := p.arguments(q.PID)
	if err != nil {
		return false, fmt.Errorf("qemu: read how process %d was started: %w", q.PID, err)
	}
	return slices.Contains(args, "-incoming") || slices.Contains(args, "-loadvm"), nil
}

// arguments are a process's; a kernel thread and a process that has ended have none.
func (p Processes) arguments(pid int) ([]string, error) {
	cmdline, err := readFile(p.proc(pid, "cmdline"), mostCmdline)
	if err != nil {
		return nil, noProcess(err)
	}
	return strings.Split(string(bytes.TrimSuffix(cmdline, []byte{0})), "\x00"), nil
}

// clockSlack is by how much a process may seem to have been started after its PID file was written: what clocks are adjusted by.
const clockSlack = 10 * time.Second

// announced checks that the process is the one of which libvirt has written the PID file: it is not younger than the file. Where it seems to be
// because the host's clock has been set since, it has the lock on the file: libvirt takes that in the process that becomes QEMU.
func (p Processes) announced(q Process, name string) error {
	file := p.pidFile(name)
	info, err := os.Stat(file)
	if err != nil {
		return noProcess(err)
	}
	age, err := p.Age(q)
	if err != nil {
		return err
	}
	late := time.Since(info.ModTime()) - age
	if late <= clockSlack || holds(q, file) {
		return nil
	}
	return fmt.Errorf("process %d was started %v after %s was written: %w", q.PID, late.Round(time.Second), file, ErrNoProcess)
}

// holds says whether a process has the lock on a file, fcntl_locking(2).
func holds(q Process, file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock)
	return err == nil && lock.Type != syscall.F_UNLCK && int(lock.Pid) == q.PID
}

func (p Processes) pidFile(name string) string {
	return filepath.Join(p.RunDir, "qemu", name+".pid")
}

// readPID reads the file in which libvirt keeps the PID of a domain's QEMU.
func (p Processes) readPID(name string) (int, error) {
	file := p.pidFile(name)
	text, err := readFile(file, mostPIDFile)
	if err != nil {
		return 0, fmt.Errorf("qemu: domain %s: read %s: %w", name, file, noProcess(err))
	}
	trimmed := strings.TrimSpace(string(text))
	pid, err := strconv.ParseInt(trimmed, 10, 32)
	switch {
	case trimmed == "": // it is being written
		return 0, fmt.Errorf("qemu: domain %s: %s is empty: %w", name, file, ErrNoProcess)
	case err != nil || pid <= 0:
		return 0, fmt.Errorf("qemu: domain %s: %s holds no process id: %.40q", name, file, trimmed)
	}
	return int(pid), nil
}
