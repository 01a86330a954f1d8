package monitor

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// spent runs f and returns the CPU time that the thread took for it (CLOCK_THREAD_CPUTIME_ID, clock_gettime(2)); 0 where that cannot be known. What f has other
// goroutines do is not in it.
func spent(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Timespec
	failed := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &before)
	f()
	if failed != nil || unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &after) != nil {
		return 0
	}
	return time.Duration(after.Nano() - before.Nano())
}
