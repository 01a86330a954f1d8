package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what processes have taken of the machine.
type Usage struct {
	CPU   time.Duration `json:"cpu"`   // so far, of all threads, those that have ended included
	PSS   uint64        `json:"pss"`   // bytes of memory, what is shared divided among those who share it (proc_pid_smaps(5))
	RSS   uint64        `json:"rss"`   // bytes of memory, shared or not
	Files int           `json:"files"` // open file descriptors
}

func (u Usage) plus(v Usage) Usage {
	return Usage{CPU: u.CPU + v.CPU, PSS: u.PSS + v.PSS, RSS: u.RSS + v.RSS, Files: u.Files + v.Files}
}

// since is a usage with the CPU time since an earlier one.
func (u Usage) since(before Usage) Usage {
	u.CPU -= before.CPU
	return u
}

// usage is what some processes take together.
func usage(pids ...int) (Usage, error) {
	var sum Usage
	for _, pid := range pids {
		u, err := processUsage(pid)
		if err != nil {
			return sum, fmt.Errorf("usage of process %d: %w", pid, err)
		}
		sum = sum.plus(u)
	}
	return sum, nil
}

func processUsage(pid int) (u Usage, err error) {
	if u.CPU, err = cpuTime(pid); err != nil {
		return u, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return u, err
	}
	u.Files = len(files)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return u, err
	}
	u.PSS, u.RSS, err = parseRollup(text)
	return u, err
}

// cpuTime is a process's CPU time to the nanosecond: its clock, clock_getcpuclockid(3), as Linux numbers it.
func cpuTime(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// parseRollup reads PSS and RSS, bytes, from proc_pid_smaps(5), smaps_rollup.
func parseRollup(text []byte) (pss, rss uint64, err error) {
	for key, to := range map[string]*uint64{"Pss:": &pss, "Rss:": &rss} {
		found := false
		for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan() && !found; {
			fields := strings.Fields(s.Text())
			if len(fields) < 2 || fields[0] != key {
				continue
			}
			kib, err := strconv.ParseUint(fields[1], 10, 50)
			if err != nil {
				return 0, 0, fmt.Errorf("smaps_rollup: %w", err)
			}
			*to, found = kib<<10, true
		}
		if !found {
			return 0, 0, fmt.Errorf("smaps_rollup: no %s", key)
		}
	}
	return pss, rss, nil
}

// children are the processes that a process has started and that live, with what they start in turn.
func children(parent int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	of := map[int][]int{}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		pid, pidErr := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		ppid, ppidErr := strconv.Atoi(fields[1])
		if pidErr == nil && ppidErr == nil {
			of[ppid] = append(of[ppid], pid)
		}
	}
	list := append([]int(nil), of[parent]...)
	for i := 0; i < len(list); i++ {
		list = append(list, of[list[i]]...)
	}
	return list, nil
}

func processName(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // none: it has ended
	return strings.TrimSpace(string(text))
}
