package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/syscallname"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// maxSyscall bounds the numbers that are told apart: the kernel has some 470.
const maxSyscall = 1024

// syscallCounts are the calls by unit and number. Units are on package unit's
// grid, by the real-time clock.
type syscallCounts struct {
	idOffset int
	offset   int64                             // of the real-time clock to that of the records
	calls    map[int64]*[maxSyscall + 1]uint64 // by grid number; the last element is for numbers out of bounds
	lost     map[int64]uint64
}

// syscallTail is where the reading of one ring has come to.
type syscallTail struct {
	last int64  // time of the last record
	owed uint64 // losses since then
}

func newSyscallCounts(idOffset int, offset int64) *syscallCounts {
	return &syscallCounts{idOffset: idOffset, offset: offset, calls: make(map[int64]*[maxSyscall + 1]uint64), lost: make(map[int64]uint64)}
}

// maxGap bounds how far one record's time is from the one before, and with it
// the units that a loss may concern.
const maxGap = int64(24 * 3600e9)

// add counts the records of perf_event_open(2) in b, which has no partial one.
func (s *syscallCounts) add(tail *syscallTail, b []byte) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return fmt.Errorf("ring: %d bytes where a record begins", len(b))
		}
		kind, size := binary.NativeEndian.Uint32(b), int(binary.NativeEndian.Uint16(b[6:]))
		if size < 8 || size > len(b) {
			return fmt.Errorf("ring: a record of %d bytes with %d left", size, len(b))
		}
		body := b[8:size]
		b = b[size:]
		var err error
		switch kind {
		case unix.PERF_RECORD_SAMPLE:
			err = s.addCall(tail, body)
		case unix.PERF_RECORD_LOST: // id, number
			if len(body) < 16 {
				err = errors.New("ring: a loss without number")
				break
			}
			tail.owed += max(1, binary.NativeEndian.Uint64(body[8:]))
		case unix.PERF_RECORD_THROTTLE:
			tail.owed++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addCall counts one record: time, size of the raw part, raw part.
func (s *syscallCounts) addCall(tail *syscallTail, body []byte) error {
	const head = 8 + 4
	if len(body) < head || int(binary.NativeEndian.Uint32(body[8:])) > len(body)-head {
		return errors.New("ring: a system call's record is too short")
	}
	raw := body[head : head+int(binary.NativeEndian.Uint32(body[8:]))]
	if len(raw) < s.idOffset+8 {
		return errors.New("ring: a system call's record has no number")
	}
	clock := binary.NativeEndian.Uint64(body)
	t := int64(clock) + s.offset
	if clock > 1<<62 || tail.last != 0 && (t > tail.last+maxGap || t < tail.last-maxGap) {
		return fmt.Errorf("ring: time %d is out of bounds", clock)
	}
	n := binary.NativeEndian.Uint64(raw[s.idOffset:])
	slot := t / int64(unit.Width)
	if s.calls[slot] == nil {
		s.calls[slot] = new([maxSyscall + 1]uint64)
	}
	s.calls[slot][min(n, maxSyscall)]++
	s.settle(tail, t)
	tail.last = t
	return nil
}

// settle notes what is owed in each unit from the last record to time t, since
// it may be missing from any of them.
func (s *syscallCounts) settle(tail *syscallTail, t int64) {
	if tail.owed == 0 {
		return
	}
	last := t / int64(unit.Width)
	first := last
	if tail.last != 0 {
		first = min(last, tail.last/int64(unit.Width))
	}
	for slot := first; slot <= last; slot++ {
		s.lost[slot] += tail.owed
	}
	tail.owed = 0
}

// file returns the units that lie within begin and end, times in nanoseconds,
// with a column for each call that occurs in one.
func (s *syscallCounts) file(begin, end int64) unit.File {
	width := int64(unit.Width)
	first, last := (begin+width-1)/width, end/width-1
	var seen [maxSyscall + 1]bool
	for slot := first; slot <= last; slot++ {
		if c := s.calls[slot]; c != nil {
			for i, n := range c {
				seen[i] = seen[i] || n > 0
			}
		}
	}
	type column struct {
		name string
		i    int
	}
	var columns []column
	for i, there := range seen {
		if there {
			columns = append(columns, column{syscallFeature(i), i})
		}
	}
	slices.SortFunc(columns, func(a, b column) int { return strings.Compare(a.name, b.name) })
	f := unit.File{Features: []string{}}
	for _, c := range columns {
		f.Features = append(f.Features, c.name)
	}
	for slot := first; slot <= last; slot++ {
		u := unit.Unit{Start: slot * width, Duration: width, Lost: s.lost[slot], Counts: make([]uint64, len(columns))}
		if calls := s.calls[slot]; calls != nil {
			for i, c := range columns {
				u.Counts[i] = calls[c.i]
			}
		}
		f.Units = append(f.Units, u)
	}
	return f
}

// syscallFeature names a column; by the number where no name is known.
func syscallFeature(n int) string {
	if n == maxSyscall {
		return "syscall:other"
	}
	if name := syscallname.Of(runtime.GOARCH, n); name != "" {
		return "syscall:" + name
	}
	return "syscall:" + strconv.Itoa(n)
}

// parseTracePoint reads a trace point's files id and format.
func parseTracePoint(id, format string) (tracePoint, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(id), 10, 32)
	if err != nil {
		return tracePoint{}, fmt.Errorf("trace point's id: %w", err)
	}
	for line := range strings.Lines(format) {
		fields := strings.Split(strings.TrimSpace(line), ";")
		if len(fields) < 3 || fields[0] != "field:long id" {
			continue
		}
		offset, ok := strings.CutPrefix(strings.TrimSpace(fields[1]), "offset:")
		at, err := strconv.Atoi(offset)
		if !ok || err != nil || at < 0 || at > 1<<10 || strings.TrimSpace(fields[2]) != "size:8" {
			return tracePoint{}, fmt.Errorf("trace point's format: %.80q is no place of 8 bytes", strings.TrimSpace(line))
		}
		return tracePoint{id: n, idOffset: at}, nil
	}
	return tracePoint{}, errors.New("trace point's format: no field \"long id\"")
}

// parseCPUs reads a list of CPUs such as 0-3,8.
func parseCPUs(text string) ([]int, error) {
	const most = 4096
	var cpus []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || a < 0 || b < a || b >= most {
			return nil, fmt.Errorf("list of CPUs %.80q: want for example 0-3,8, below %d", text, most)
		}
		for cpu := a; cpu <= b; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	if len(cpus) > most {
		return nil, fmt.Errorf("list of CPUs %.80q: some are there twice", text)
	}
	return cpus, nil
}
