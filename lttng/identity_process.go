package lttng

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// Process is a process of the host that has to do with a registration.
type Process struct {
	PID        int
	UID        uint32
	Name       string // as the kernel has it, proc_pid_comm(5)
	Executable string // empty: not known
}

// String says who it is. What a process says of itself is quoted.
func (p Process) String() string {
	return fmt.Sprintf("process %d (%q, executable %q, user %d)", p.PID, p.Name, p.Executable, p.UID)
}

// Recorded says whether the process pid, and no other that goes by its process ID, writes the trace of that UUID: whether it has one of the trace's
// ring buffers in its memory. The consumer daemon makes these buffers and the session daemon hands them to the process that is registered;
// each packet in them begins with the trace's UUID.
// It takes the right to trace the process (ptrace(2), PTRACE_MODE_ATTACH): CAP_SYS_PTRACE, for another user's.
func Recorded(pid int, trace ctf.UUID) (bool, error) { return this.recorded(pid, trace) }

// Recorders lists the processes that write the trace of that UUID, in whatever PID namespace, with the process IDs that they have in this one. It
// looks at every process of the host.
func Recorders(trace ctf.UUID) ([]Process, error) { return this.recorders(trace) }

// Registered says whether the process pid is connected to a session daemon, which LTTng 2.13 and later show by what they share with each process
// that has registered. One that is, and of which nothing is recorded, was pushed out by another that has registered with its process ID.
func Registered(pid int) (bool, error) {
	found := false
	err := this.shared(pid, accountingName, func(_ int, _, _ uint64) bool {
		found = true
		return true
	})
	if err != nil {
		return false, fmt.Errorf("lttng: look whether process %d is registered: %w", pid, err)
	}
	return found, nil
}

// Consumer finds the consumer daemon that made the ring buffers which a process writes into. What it returns is to be released; Ended tells whether it still
// lives. It takes the right to see the process's memory map (ptrace(2), PTRACE_MODE_READ).
func Consumer(pid int) (*os.Process, error) {
	found := 0
	err := this.shared(pid, ringBufferName, func(maker int, _, _ uint64) bool {
		found = maker
		return maker > 0 && maker != pid
	})
	if err == nil && found == 0 {
		err = errors.New("it has no ring buffers of LTTng")
	}
	if err != nil {
		return nil, fmt.Errorf("lttng: find the consumer daemon of process %d: %w", pid, err)
	}
	return os.FindProcess(found)
}

// Ended says whether a process that Consumer has found has ended. The session daemon does not wait for a consumer daemon that has: that is a zombie then, which
// takes signals as ever.
func Ended(p *os.Process) bool {
	ended := false
	err := p.WithHandle(func(fd uintptr) {
		// A process's file descriptor is readable once it has terminated, waited for or not: pidfd_open(2).
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a file descriptor
		n, err := unix.Poll(ready, 0)
		ended = err == nil && n > 0
	})
	if err == nil {
		return ended
	}
	if errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone) {
		return true
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	// The state follows the command's name, which is in parentheses and may hold some itself, proc_pid_stat(5).
	after := text[bytes.LastIndexByte(text, ')')+1:]
	return bytes.HasPrefix(after, []byte(" Z")) || bytes.HasPrefix(after, []byte(" X"))
}

// Names of shared memory that LTTng makes, shm_open(3), without the process ID of the daemon that made it.
const (
	ringBufferName = "/dev/shm/shm-ust-consumer-"
	accountingName = "/dev/shm/shm-event-notifier-error-accounting-"
)

// errEnded says that a process is no more.
var errEnded = errors.New("the process has ended")

// host is where proc(5) is mounted.
type host string

// this is the host that the program runs on.
const this host = "/proc"

func (h host) path(pid int, name string) string {
	return filepath.Join(string(h), strconv.Itoa(pid), name)
}

func (h host) recorded(pid int, trace ctf.UUID) (bool, error) {
	if trace == (ctf.UUID{}) {
		return false, errors.New("lttng: a trace without a UUID is nobody's")
	}
	memory, err := h.memory(pid)
	if err == nil {
		defer func() { _ = memory.Close() }()
		found, pages := false, mostPages
		var refused error
		err = h.shared(pid, ringBufferName, func(maker int, from, to uint64) bool {
			uuid, ok, readErr := bufferUUID(memory, from, to, &pages)
			if errors.Is(readErr, fs.ErrPermission) || errors.Is(readErr, syscall.ENOSYS) {
				refused = readErr
			}
			found = ok && uuid == trace && maker != pid // the consumer daemon reads what it has made
			return found || refused != nil || pages == 0
		})
		if err == nil && refused == nil && !found && pages == 0 {
			err = fmt.Errorf("its ring buffers have more than %d pages without a packet", mostPages)
		}
		if err == nil && refused == nil {
			return found, nil
		}
		err = cmp.Or(err, refused)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		err = errEnded
	}
	return false, fmt.Errorf("lttng: look whether process %d is recorded: %w", pid, err)
}

// shared calls f with each shared mapping whose name begins so, until it says that it has seen enough: the process ID of who made it, with which the
// name ends, and its address range.
func (h host) shared(pid int, name string, f func(maker int, from, to uint64) bool) error {
	maps, err := os.Open(h.path(pid, "maps"))
	if err != nil {
		return err
	}
	defer func() { _ = maps.Close() }()
	return sharedIn(maps, name, f)
}

// sharedIn is shared with a process's memory map, which the process can fill as it likes: with names of its own, and many of them.
func sharedIn(maps io.Reader, name string, f func(maker int, from, to uint64) bool) error {
	lines := bufio.NewScanner(maps)
	lines.Buffer(nil, 1<<16)
	empty := true
	for lines.Scan() {
		empty = false
		// address perms offset dev inode pathname: proc_pid_maps(5)
		field := strings.Fields(lines.Text())
		if len(field) < 6 || !strings.HasSuffix(field[1], "s") || !strings.HasPrefix(field[5], name) {
			continue
		}
		first, last, _ := strings.Cut(field[0], "-")
		from, err := strconv.ParseUint(first, 16, 63)
		if err != nil {
			return fmt.Errorf("memory map: %w", err)
		}
		to, err := strconv.ParseUint(last, 16, 63)
		if err != nil {
			return fmt.Errorf("memory map: %w", err)
		}
		maker, _ := strconv.Atoi(field[5][len(name):])
		if f(maker, from, to) {
			return nil
		}
	}
	if err := lines.Err(); err != nil || !empty {
		return err
	}
	return errEnded // a zombie
}

// mostPages is how many pages of one process's memory are looked at for a packet. It stands on one of the first pages of a ring buffer; a process that shares
// a great deal of other memory by that name is not to hold up who looks.
const mostPages = 1 << 16

// bufferUUID finds the header of a packet in a ring buffer, which is at a page's begin: magic number and trace's UUID (CTF 1.8, 5.1). All packets of a
// buffer are of one trace. Each page that it looks at is taken off pages.
func bufferUUID(memory io.ReaderAt, from, to uint64, pages *int) (uuid ctf.UUID, ok bool, err error) {
	const magic, page = 0xC1FC1FC1, 4096
	var head [4 + len(uuid)]byte
	for at := from; at < to && *pages > 0; at += page {
		*pages--
		if _, err := memory.ReadAt(head[:], int64(at)); err != nil { //nolint:gosec // shared parses no address beyond 63 bits
			return uuid, false, err
		}
		if binary.NativeEndian.Uint32(head[:]) == magic {
			copy(uuid[:], head[4:])
			return uuid, true, nil
		}
	}
	return uuid, false, nil
}

func (h host) recorders(trace ctf.UUID) ([]Process, error) {
	entries, err := os.ReadDir(string(h))
	if err != nil {
		return nil, fmt.Errorf("lttng: look who is recorded: %w", err)
	}
	var found []Process
	var denied error
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		switch yes, err := h.recorded(pid, trace); {
		case yes:
			found = append(found, h.who(pid))
		case err != nil && !errors.Is(err, errEnded):
			denied = err // such as a process that the caller may not trace
		}
	}
	if len(found) == 0 {
		return nil, denied
	}
	return found, nil
}

// who is what can be said of a process; nothing of it is an error.
func (h host) who(pid int) Process {
	p := Process{PID: pid}
	if name, err := os.ReadFile(h.path(pid, "comm")); err == nil {
		p.Name = string(bytes.TrimSuffix(name, []byte("\n")))
	}
	p.Executable, _ = os.Readlink(h.path(pid, "exe"))
	var stat syscall.Stat_t
	if syscall.Stat(h.path(pid, "."), &stat) == nil {
		p.UID = stat.Uid
	}
	return p
}
