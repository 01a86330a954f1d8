package lab

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// everydayLog is the time line of a recording: what began and ended when, by
// the host's clock, which is the trace's too.
type everydayLog struct {
	mu   sync.Mutex // guards all below
	f    *os.File
	err  error           // the first of writing
	seen map[string]bool // "ID JOB begin" and "ID JOB end"
	bad  []string        // jobs that failed, as their lines say
}

func newEverydayLog(path string) (*everydayLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the recording's time line: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make the recording's time line: %w", err)
	}
	return &everydayLog{f: f, seen: make(map[string]bool)}, nil
}

// add writes what happened at a time: "ID JOB begin", or "ID JOB end CODE"
// with the last of what a failed job has said.
func (e *everydayLog) add(at time.Time, line string) {
	line = oneLine(line)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.write(at, line)
	f := strings.SplitN(line, " ", 4)
	if len(f) < 3 {
		return
	}
	e.seen[strings.Join(f[:3], " ")] = true
	if f[2] == "end" && (len(f) < 4 || !strings.HasPrefix(f[3]+" ", "0 ")) {
		e.bad = append(e.bad, line)
	}
}

// note writes a comment.
func (e *everydayLog) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.write(time.Now(), "# "+oneLine(fmt.Sprintf(format, args...)))
}

func (e *everydayLog) write(at time.Time, line string) {
	_, err := fmt.Fprintf(e.f, "%s %s\n", at.UTC().Format("2006-01-02T15:04:05.000000000Z07:00"), line)
	if e.err == nil {
		e.err = err
	}
}

// noteClocks writes how far the clock of the time line is from the one since
// boot, which traces count in: what changes between two notes is the drift.
func (e *everydayLog) noteClocks() {
	var since unix.Timespec
	now := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &since); err == nil {
		e.note("clocks: wall - monotonic = %d ns", now.UnixNano()-since.Nano())
	}
}

// merge adds what the guest has written down itself and nobody heard.
func (e *everydayLog) merge(guestLog []byte) (lost int) {
	sc := bufio.NewScanner(strings.NewReader(string(guestLog)))
	for sc.Scan() {
		stamp, line, ok := strings.Cut(sc.Text(), " ")
		f := strings.SplitN(line, " ", 4)
		seconds, err := strconv.ParseFloat(stamp, 64)
		if !ok || err != nil || len(f) < 3 {
			continue
		}
		e.mu.Lock()
		known := e.seen[strings.Join(f[:3], " ")]
		e.mu.Unlock()
		if known {
			continue
		}
		lost++
		e.note("not heard, by the guest's own clock:")
		e.add(time.UnixMicro(int64(seconds*1e6)), line)
	}
	return lost
}

// verdict tells which runs of the schedule failed, never began though their
// time had come by elapsed, or did not end.
func (e *everydayLog) verdict(runs []run, elapsed time.Duration) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	told := slices.Clone(e.bad)
	for _, r := range runs {
		key := fmt.Sprintf("%d %s ", r.id, r.name)
		switch {
		case e.seen[key+"begin"] && !e.seen[key+"end"]:
			told = append(told, key+"did not end in time")
		case !e.seen[key+"begin"] && r.at+settle < elapsed:
			told = append(told, key+"did not begin")
		}
	}
	return told
}

func (e *everydayLog) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.f.Close(); e.err == nil {
		e.err = err
	}
	if e.err != nil {
		return fmt.Errorf("write the recording's time line: %w", e.err)
	}
	return nil
}

// oneLine makes what a guest sends fit for a line of text.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}
