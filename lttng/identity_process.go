package lttng

import (
	"bufio"
	"bytes"
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
// It takes the right to trace the process (ptrace(2), PTRACE_MODE_READ).
func Recorded(pid int, trace ctf.UUID) (bool, error) { return host("/proc").recorded(pid, trace) }

// Recorders lists the processes that write the trace of that UUID, in whatever PID namespace, with the process IDs that they have in this one. It
// looks at every process of the host.
func Recorders(trace ctf.UUID) ([]Process, error) { return host("/proc").recorders(trace) }

// Registered says whether the process pid is connected to a session daemon, which LTTng 2.13 and later show by what they share with each process
// that has registered. One that is, and of which nothing is recorded, was pushed out by another that has registered with its process ID.
func Registered(pid int) (bool, error) {
	found := false
	err := host("/proc").shared(pid, accountingName, func(_ int, _, _ uint64) bool {
		found = true
		return true
	})
	if err != nil {
		return false, fmt.Errorf("lttng: look whether process %d is registered: %w", pid, err)
	}
	return found, nil
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

func (h host) path(pid int, name string) string {
	return filepath.Join(string(h), strconv.Itoa(pid), name)
}

func (h host) recorded(pid int, trace ctf.UUID) (bool, error) {
	if trace == (ctf.UUID{}) {
		return false, errors.New("lttng: a trace without a UUID is nobody's")
	}
	memory, err := os.Open(h.path(pid, "mem"))
	if err == nil {
		defer func() { _ = memory.Close() }()
		found := false
		err = h.shared(pid, ringBufferName, func(maker int, from, to uint64) bool {
			uuid, ok := bufferUUID(memory, from, to)
			found = ok && uuid == trace && maker != pid // the consumer daemon reads what it has made
			return found
		})
		if err == nil {
			return found, nil
		}
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

// bufferUUID finds the header of a packet in a ring buffer, which is at a page's begin: magic number and trace's UUID (CTF 1.8, 5.1). All packets of a
// buffer are of one trace.
func bufferUUID(memory io.ReaderAt, from, to uint64) (uuid ctf.UUID, ok bool) {
	const magic, page, mostPages = 0xC1FC1FC1, 4096, 1 << 16
	var head [4 + len(uuid)]byte
	to = min(to, from+page*mostPages)
	for at := from; at < to; at += page {
		if _, err := memory.ReadAt(head[:], int64(at)); err != nil { //nolint:gosec // shared parses no address beyond 63 bits
			return uuid, false
		}
		if binary.NativeEndian.Uint32(head[:]) == magic {
			copy(uuid[:], head[4:])
			return uuid, true
		}
	}
	return uuid, false
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
