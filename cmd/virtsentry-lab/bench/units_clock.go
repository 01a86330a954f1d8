package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// schedClock is CPUCLOCK_SCHED of the kernel's include/linux/posix-timers_types.h: the clock of a process's CPU time as the scheduler counts it.
const schedClock = 2

// Clock is [CPU] to the nanosecond: the clock of clock_getcpuclockid(3), whose number is made from the process's as there.
func Clock(pid int) (time.Duration, error) {
	if pid <= 0 {
		return 0, fmt.Errorf("CPU time of process %d: not a process", pid)
	}
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedClock, &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
