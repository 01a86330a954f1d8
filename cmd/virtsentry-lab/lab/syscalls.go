package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	ringPages = 1 << 10 // of a CPU's ring, without its head: some 40,000 calls
	ringPoll  = 100 * time.Millisecond
)

// syscallCounter counts the system calls that all threads of one process make,
// those included that begin later. The kernel writes each call's number and
// time into a ring for each CPU (perf_event_open(2), the trace point
// raw_syscalls:sys_enter), which is emptied ten times a second: the process
// never stops, as it does under strace(1).
type syscallCounter struct {
	begin  time.Time
	events []int // descriptors; the first of each CPU has the ring
	rings  []*syscallRing
	counts *syscallCounts
	stop   context.CancelFunc
	done   chan error
}

// syscallRing is what the kernel writes of one CPU.
type syscallRing struct {
	mem  []byte
	size uint64 // without the first page
	buf  []byte
	tail syscallTail
}

// countSyscalls begins to count. Stop must be called.
func countSyscalls(pid int) (*syscallCounter, error) {
	c, err := startSyscalls(pid)
	if err != nil {
		return nil, fmt.Errorf("count system calls of process %d: %w", pid, err)
	}
	return c, nil
}

func startSyscalls(pid int) (*syscallCounter, error) {
	tp, err := syscallTracePoint()
	if err != nil {
		return nil, err
	}
	cpus, err := onlineCPUs()
	if err != nil {
		return nil, err
	}
	offset, err := clockOffset()
	if err != nil {
		return nil, err
	}
	c := &syscallCounter{counts: newSyscallCounts(tp.idOffset, offset), done: make(chan error, 1)}
	if err := c.attach(pid, cpus, tp.id); err != nil {
		c.close()
		return nil, err
	}
	for _, fd := range c.events {
		if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
			c.close()
			return nil, fmt.Errorf("enable: %w", err)
		}
	}
	c.begin = time.Now()
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go func() { c.done <- c.run(ctx) }()
	return c, nil
}

// Stop ends the counting. The units that it returns were observed from their
// begin to their end.
func (c *syscallCounter) Stop() (unit.File, error) {
	for _, fd := range c.events {
		_ = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_DISABLE, 0) // of a process that is gone
	}
	end := time.Now()
	c.stop()
	err := <-c.done
	for _, r := range c.rings {
		c.counts.settle(&r.tail, end.UnixNano())
	}
	c.close()
	if err != nil {
		return unit.File{}, fmt.Errorf("count system calls: %w", err)
	}
	return c.counts.file(c.begin.UnixNano(), end.UnixNano()), nil
}

func (c *syscallCounter) close() {
	for _, r := range c.rings {
		_ = unix.Munmap(r.mem)
	}
	for _, fd := range c.events {
		_ = unix.Close(fd)
	}
	c.rings, c.events = nil, nil
}

// attach opens the trace point for each thread on each CPU. A thread that
// begins while that goes on would be counted twice or not at all: then all is
// done again.
func (c *syscallCounter) attach(pid int, cpus []int, id uint64) error {
	for range 50 {
		before, err := threads(pid)
		if err != nil {
			return err
		}
		err = c.open(before, cpus, id)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		after, listErr := threads(pid)
		if listErr != nil {
			return listErr
		}
		if err == nil && slices.Equal(before, after) {
			return nil
		}
		c.close()
	}
	return errors.New("its threads come and go too fast; try again under less load")
}

func (c *syscallCounter) open(tids, cpus []int, id uint64) error {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample: 1, Sample_type: unix.PERF_SAMPLE_TIME | unix.PERF_SAMPLE_RAW,
		Bits: unix.PerfBitDisabled | unix.PerfBitInherit | unix.PerfBitUseClockID, Clockid: unix.CLOCK_MONOTONIC, // not all kernels take CLOCK_REALTIME
	}
	attr.Size = uint32(unsafe.Sizeof(attr))
	for _, tid := range tids {
		for i, cpu := range cpus {
			fd, err := unix.PerfEventOpen(&attr, tid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
			if err != nil {
				return fmt.Errorf("perf_event_open for thread %d on CPU %d (it needs root, and system call trace points in the kernel): %w", tid, cpu, err)
			}
			c.events = append(c.events, fd) // those of the first thread are in the order of rings
			if len(c.rings) <= i {
				err = c.mapRing(fd)
			} else {
				err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_OUTPUT, c.events[i])
			}
			if err != nil {
				return fmt.Errorf("ring of CPU %d: %w", cpu, err)
			}
		}
	}
	return nil
}

func (c *syscallCounter) mapRing(fd int) error {
	page := os.Getpagesize()
	mem, err := unix.Mmap(fd, 0, (1+ringPages)*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	size := ringPages * page
	c.rings = append(c.rings, &syscallRing{mem: mem, size: uint64(size), buf: make([]byte, size)})
	return nil
}

// run empties the rings until ctx ends, and once more then.
func (c *syscallCounter) run(ctx context.Context) error {
	var errs error
	for ended := false; !ended && errs == nil; {
		ended = sleep(ctx, ringPoll) != nil
		for _, r := range c.rings {
			errs = errors.Join(errs, c.counts.add(&r.tail, r.read()))
		}
	}
	return errs
}

// read takes what is new out of the ring. The result is good until the next
// call.
func (r *syscallRing) read() []byte {
	page := (*unix.PerfEventMmapPage)(unsafe.Pointer(&r.mem[0]))
	head := atomic.LoadUint64(&page.Data_head)
	data := r.mem[uint64(len(r.mem))-r.size:]
	n := min(head-page.Data_tail, r.size)
	from := page.Data_tail % r.size
	got := copy(r.buf[:n], data[from:])
	copy(r.buf[got:n], data)
	atomic.StoreUint64(&page.Data_tail, head)
	return r.buf[:n]
}

// clockOffset is what the real-time clock is ahead of the monotonic one, in
// nanoseconds. LTTng's clock has such an offset too.
func clockOffset() (int64, error) {
	var monotonic, realtime unix.Timespec
	err := errors.Join(unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic), unix.ClockGettime(unix.CLOCK_REALTIME, &realtime))
	if err != nil {
		return 0, fmt.Errorf("read the clocks: %w", err)
	}
	return realtime.Nano() - monotonic.Nano(), nil
}

// threads lists the threads of a process.
func threads(pid int) ([]int, error) {
	entries, err := os.ReadDir(procPath(pid, "task"))
	if err != nil {
		return nil, fmt.Errorf("list threads: %w", err)
	}
	var tids []int
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, fmt.Errorf("list threads: %w", err)
		}
		tids = append(tids, tid)
	}
	slices.Sort(tids)
	return tids, nil
}

// tracePoint is what tracefs says of raw_syscalls:sys_enter.
type tracePoint struct {
	id       uint64
	idOffset int // of the call's number in a record
}

const tracefs = "/sys/kernel/tracing"

// syscallTracePoint asks tracefs, which is mounted where nobody else sees it if
// it is not mounted yet.
func syscallTracePoint() (tp tracePoint, err error) {
	const dir = tracefs + "/events/raw_syscalls/sys_enter"
	err = onThread(func() error {
		if _, err := os.Stat(dir); err != nil {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("unshare mounts: %w", err)
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return fmt.Errorf("make mounts private: %w", err)
			}
			if err := unix.Mount("virtsentry-lab", tracefs, "tracefs", 0, ""); err != nil {
				return fmt.Errorf("mount tracefs on %s (the kernel needs system call trace points): %w", tracefs, err)
			}
		}
		id, err := os.ReadFile(dir + "/id")
		if err != nil {
			return err
		}
		format, err := os.ReadFile(dir + "/format")
		if err != nil {
			return err
		}
		tp, err = parseTracePoint(string(id), string(format))
		return err
	})
	return tp, err
}

func onlineCPUs() ([]int, error) {
	const file = "/sys/devices/system/cpu/online"
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	cpus, err := parseCPUs(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cpus, nil
}
