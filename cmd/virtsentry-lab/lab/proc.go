package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Proc identifies one process for as long as the machine runs: a PID alone
// is used again, a PID with its start time and executable is not.
type Proc struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of proc_pid_stat(5)
	Exe   string `json:"exe"`
}

// identify reads who runs as pid now.
func identify(name string, pid int) (Proc, error) {
	_, start, err := readStat(pid)
	if err != nil {
		return Proc{}, fmt.Errorf("identify %s: %w", name, err)
	}
	exe, err := os.Readlink(procPath(pid, "exe"))
	if err != nil {
		return Proc{}, fmt.Errorf("identify %s: %w", name, err)
	}
	return Proc{Name: name, PID: pid, Start: start, Exe: strings.TrimSuffix(exe, " (deleted)")}, nil
}

// Alive reports whether this very process still runs. A zombie does not.
func (p Proc) Alive() bool {
	state, start, err := readStat(p.PID)
	if err != nil || state == 'Z' || state == 'X' || start != p.Start {
		return false
	}
	exe, err := os.Readlink(procPath(p.PID, "exe"))
	return err == nil && strings.TrimSuffix(exe, " (deleted)") == p.Exe
}

func procPath(pid int, elem ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(pid)}, elem...)...)
}

func readStat(pid int) (state byte, start uint64, err error) {
	raw, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return 0, 0, err
	}
	return parseStat(raw)
}

// parseStat takes the state and the start time from a line of proc_pid_stat(5).
// The command's name is in parentheses and may itself hold parentheses.
func parseStat(raw []byte) (state byte, start uint64, err error) {
	end := bytes.LastIndexByte(raw, ')')
	if end < 0 {
		return 0, 0, errors.New("parse process status: no command name")
	}
	f := strings.Fields(string(raw[end+1:]))
	if len(f) < 20 || len(f[0]) != 1 {
		return 0, 0, errors.New("parse process status: too short")
	}
	start, err = strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("parse process status: %w", err)
	}
	return f[0][0], start, nil
}

// residents are the processes that belong to the lab by where they live: in
// its network namespace, in one of its mount namespaces, or as its own
// lttng-sessiond. They are found without the state file.
func (l *Lab) residents(netnsIno uint64) ([]Proc, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	mine := ancestors()
	var found []Proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || slices.Contains(mine, pid) {
			continue
		}
		if !l.resides(pid, netnsIno) {
			continue
		}
		p, err := identify("", pid)
		if err != nil || !p.Alive() {
			continue // it ended meanwhile
		}
		p.Name = filepath.Base(p.Exe)
		found = append(found, p)
	}
	return found, nil
}

func (l *Lab) resides(pid int, netnsIno uint64) bool {
	if netnsIno != 0 {
		var st unix.Stat_t
		if unix.Stat(procPath(pid, "ns", "net"), &st) == nil && st.Ino == netnsIno {
			return true
		}
	}
	// Another lab of that name may be in a mount namespace that has a /run of its own.
	var here, there unix.Stat_t
	if unix.Stat("/run", &here) == nil && unix.Stat(procPath(pid, "root", "run"), &there) == nil && here.Dev != there.Dev {
		return false
	}
	if raw, err := os.ReadFile(procPath(pid, "mountinfo")); err == nil && hasLabMount(raw, l.name) {
		return true
	}
	raw, err := os.ReadFile(procPath(pid, "cmdline"))
	return err == nil && slices.Contains(strings.Split(string(raw), "\x00"), l.sessiondPidArg())
}

// hasLabMount looks through a proc_pid_mountinfo(5) for the lab's own
// directory on /run/libvirt, which only the lab's mount namespaces have.
func hasLabMount(mountinfo []byte, name string) bool {
	for line := range strings.Lines(string(mountinfo)) {
		f := strings.Fields(line)
		if len(f) < 5 || f[4] != "/run/libvirt" {
			continue
		}
		if strings.HasSuffix(strings.TrimSuffix(f[3], "//deleted"), "/"+name+"/run-libvirt") {
			return true
		}
	}
	return false
}

// mountedAnywhere reports whether dir is a mount point in any process's mount
// namespace. To remove such a directory would unmount it there.
func mountedAnywhere(dir string) bool {
	tables, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		return true
	}
	for _, table := range tables {
		raw, err := os.ReadFile(table)
		if err != nil {
			continue // it ended meanwhile
		}
		if slices.Contains(mountsBelow(raw, dir), dir) {
			return true
		}
	}
	return false
}

// ancestors are this process and those above it: never to be ended.
func ancestors() []int {
	pids := []int{os.Getpid()}
	for pid := os.Getppid(); pid > 1; {
		pids = append(pids, pid)
		raw, err := os.ReadFile(procPath(pid, "stat"))
		if err != nil {
			break
		}
		f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(f) < 2 {
			break
		}
		if pid, err = strconv.Atoi(f[1]); err != nil {
			break
		}
	}
	return append(pids, 1)
}

// terminate asks the processes to end, insists after grace, and waits until
// they are gone. A process is signalled only while its identity holds.
func terminate(ctx context.Context, procs []Proc, grace time.Duration) error {
	if left := signalUntilGone(ctx, procs, unix.SIGTERM, grace); len(left) > 0 {
		left = signalUntilGone(ctx, left, unix.SIGKILL, 10*time.Second)
		if len(left) > 0 {
			return fmt.Errorf("end process %d (%s): it is still there", left[0].PID, left[0].Exe)
		}
	}
	return ctx.Err()
}

func signalUntilGone(ctx context.Context, procs []Proc, sig unix.Signal, limit time.Duration) []Proc {
	alive := func() []Proc {
		var left []Proc
		for _, p := range procs {
			if p.Alive() {
				left = append(left, p)
			}
		}
		return left
	}
	for _, p := range alive() {
		_ = unix.Kill(p.PID, sig) // gone is as good as signalled
		if sig == unix.SIGTERM {
			_ = unix.Kill(p.PID, unix.SIGCONT) // a stopped process would not hear it
		}
	}
	deadline := time.Now().Add(limit)
	for {
		left := alive()
		if len(left) == 0 || time.Now().After(deadline) || ctx.Err() != nil {
			return left
		}
		_ = sleep(ctx, 50*time.Millisecond)
	}
}
