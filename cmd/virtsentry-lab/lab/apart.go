package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng"
)

// SetApart gives a process the host's first CPU, and all others to this process and to the tracer's daemons, and so to what these start; and has all of them
// go before what else runs on the host. It returns how to undo that. On a host with one CPU it does nothing.
func (l *Lab) SetApart(pid int) (undo func() error, err error) {
	if runtime.NumCPU() < 2 {
		return func() error { return nil }, nil
	}
	others, err := l.Tracers()
	if err != nil {
		return nil, err
	}
	others = append(others, os.Getpid())
	online, err := onlineCPUs()
	if err != nil {
		return nil, err
	}
	place := func(first, rest []int, nice int) error {
		err := schedule(pid, first, nice)
		for _, other := range others {
			err = errors.Join(err, schedule(other, rest, nice))
		}
		return err
	}
	return func() error { return place(online, online, 0) }, place(online[:1], online[1:], -20)
}

// schedule says on which CPUs all threads of a process may run, and how nice they are. Those that it starts later follow the thread that starts them.
func schedule(pid int, cpus []int, nice int) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	// Where sessions are scheduled as groups (sched(7), the autogroup feature), it is the group whose niceness counts.
	if err := os.WriteFile(procPath(pid, "autogroup"), []byte(strconv.Itoa(nice)), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("set the priority of process %d's group: %w", pid, err)
	}
	for range 2 { // threads that began meanwhile
		tids, err := threads(pid)
		if err != nil {
			return err
		}
		for _, tid := range tids {
			if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("set the CPUs of thread %d: %w", tid, err)
			}
			if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("set the priority of thread %d: %w", tid, err)
			}
		}
	}
	return nil
}

// Tracers are the processes of LTTng's daemons: the session daemon that the lab has started, and what that has started.
func (l *Lab) Tracers() ([]int, error) {
	if !lttng.Alive() {
		return nil, lttng.ErrNoSessionDaemon
	}
	st, err := l.loadState()
	if err != nil {
		return nil, err
	}
	p := st.proc(sessiondName)
	if p == nil || !p.Alive() {
		return nil, errors.New("the lttng-sessiond that answers is not the lab's own; end it, or run the lab in a mount namespace of its own")
	}
	return descendants(p.PID)
}

// descendants are a process and all that it and these have started and that run.
func descendants(pid int) ([]int, error) {
	list := []int{pid}
	tids, err := threads(pid)
	if err != nil {
		return nil, err
	}
	for _, tid := range tids {
		raw, err := os.ReadFile(procPath(pid, "task", strconv.Itoa(tid), "children")) // proc(5)
		if _, statErr := os.Stat(procPath(pid, "task", strconv.Itoa(tid))); statErr != nil {
			continue // the thread has ended
		}
		if err != nil {
			return nil, fmt.Errorf("children of process %d (the kernel needs CONFIG_PROC_CHILDREN): %w", pid, err)
		}
		for child := range strings.FieldsSeq(string(raw)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				return nil, fmt.Errorf("children of process %d: %w", pid, err)
			}
			below, err := descendants(n)
			if err != nil {
				continue // it has ended
			}
			list = append(list, below...)
		}
	}
	return list, nil
}
