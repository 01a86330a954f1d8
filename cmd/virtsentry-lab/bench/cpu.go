package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: sysconf(_SC_CLK_TCK), which is 100 a second on Linux whatever the kernel's own.
const tick = 10 * time.Millisecond

// CPU is the CPU time that all threads of a process have taken so far, those that ended included and children not, to 10 ms (proc(5), utime + stime).
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	// The name may hold anything, a closing bracket too; what follows its last one is numbers, of which state is the first and field 3.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("CPU time of process %d: %d fields in /proc/%[1]d/stat", pid, len(fields))
	}
	user, err := strconv.ParseUint(fields[11], 10, 63)
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	system, err := strconv.ParseUint(fields[12], 10, 63)
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(user+system) * tick, nil
}
