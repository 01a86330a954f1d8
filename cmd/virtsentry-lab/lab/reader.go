package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/ctf"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// allProbes are all trace points that QEMU has.
var allProbes = []string{"qemu:*"}

// ReadUnit is one unit of a process, of which all trace points are counted.
type ReadUnit struct {
	PID     int     `json:"pid"` // 0: none yet, but all processes are recorded now
	Start   int64   `json:"start_ns"`
	Elapsed float64 `json:"elapsed_seconds"` // from the unit's end until it was counted
	Events  uint64  `json:"events"`
	Lost    uint64  `json:"lost"`
}

// ReadAll records trace points of processes, all of QEMU's if none is named, each process by a session of its own, and counts them in units, which it reports, until
// ctx ends. That is no error. Directory output is for the traces; report is called by one goroutine at a time. All of QEMU's are what the paper compares its
// selected probes with.
func ReadAll(ctx context.Context, events []string, pids []int, output string, report func(ReadUnit) error) (err error) {
	if len(events) == 0 {
		events = allProbes
	}
	sessions := make([]*lttng.Session, 0, len(pids))
	defer func() {
		for _, s := range sessions {
			err = errors.Join(err, s.Destroy())
		}
	}()
	for _, pid := range pids {
		name := fmt.Sprintf("%s-%d", readerName, pid)
		if err := lttng.DestroySession(name); err != nil { // of a reader that was killed
			return err
		}
		s, err := lttng.NewSession(lttng.Config{
			Name: name, Output: filepath.Join(output, strconv.Itoa(pid)), RemoveOutput: true,
			PID: pid, Events: events, SubBufferBytes: 1 << 20, SubBuffers: 8,
		})
		if err != nil {
			return err
		}
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		if err := s.Start(); err != nil {
			return err
		}
	}
	if err := report(ReadUnit{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reports, ended := make(chan ReadUnit), make(chan error, 1)
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range sessions {
		group.Go(func() error { return readUnits(ctx, s, pids[i], reports) })
	}
	go func() {
		defer close(reports)
		ended <- group.Wait()
	}()
	for r := range reports { // to its end, whatever goes wrong
		if err == nil {
			if err = report(r); err != nil {
				cancel()
			}
		}
	}
	return errors.Join(err, <-ended)
}

// readerName begins the names of the reader's sessions.
const readerName = "virtsentry-lab-all"

// refusedMost is how many rotations in a row may be refused, as they are of a session that has been stopped meanwhile.
const refusedMost = 3

// readUnits rotates a session at the end of each unit, and counts.
func readUnits(ctx context.Context, s *lttng.Session, pid int, reports chan<- ReadUnit) error {
	cutter := unit.NewCutter(nil)
	cutter.LimitOpen(64)
	begun, failed := false, 0
	var whole wholeMetadata
	for {
		end := time.Now().Truncate(unit.Width).Add(unit.Width)
		if sleep(ctx, time.Until(end)) != nil {
			return nil //nolint:nilerr // that is its end
		}
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		chunk, err := s.Rotate(limit)
		cancel()
		if err != nil {
			if failed++; failed > refusedMost {
				return fmt.Errorf("process %d: %w", pid, err)
			}
			continue
		}
		failed = 0
		if !begun {
			cutter.Begin(end.UnixNano()) // what was before is in no whole unit
			begun = true
		} else if err := readWhole(ctx, cutter, &whole, chunk); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // that is its end
			}
			return fmt.Errorf("process %d: %w", pid, err)
		}
		if err := os.RemoveAll(chunk); err != nil {
			return err
		}
		for _, u := range cutter.Advance(end.UnixNano()) {
			r := ReadUnit{PID: pid, Start: u.Start, Elapsed: time.Since(time.Unix(0, u.Start+u.Duration)).Seconds(), Lost: u.Lost}
			for _, n := range u.Counts {
				r.Events += n
			}
			reports <- r
		}
	}
}

// readWhole counts the events of a chunk once its metadata is whole.
func readWhole(ctx context.Context, cutter *unit.Cutter, whole *wholeMetadata, chunk string) error {
	if err := whole.wait(ctx, chunk, wholeLimit); err != nil {
		return err
	}
	return cutter.ReadTrace(chunk)
}

// The metadata of all of a QEMU's trace points has a megabyte and more. Where the host is busy, the consumer still writes a chunk's when the rotation has ended.
const (
	wholeLimit = 20 * time.Second // for all of it to be there
	wholeEvery = 20 * time.Millisecond
)

// wholeMetadata knows the last metadata that was whole: those of a session's chunks are the same.
type wholeMetadata struct{ text string }

// wait returns when the metadata of all traces below a directory can be parsed and grows no more, or with what is wrong with it after so long, or ctx ends.
func (w *wholeMetadata) wait(ctx context.Context, dir string, limit time.Duration) error {
	traces, err := ctf.FindTraces(dir)
	if err != nil {
		return err
	}
	until := time.Now().Add(limit)
	for _, trace := range traces {
		before := ""
		for {
			text, err := w.read(trace)
			if err == nil && (text == before || text == w.text) {
				w.text = text
				break
			}
			before = text
			if time.Now().Before(until) {
				if sleep(ctx, wholeEvery) != nil {
					return ctx.Err()
				}
				continue
			}
			if err == nil {
				err = errors.New("it still grows")
			}
			return fmt.Errorf("metadata of %s is not whole after %v: %w", trace, limit, err)
		}
	}
	return nil
}

// read returns the text of a trace's metadata, if it can be parsed.
func (w *wholeMetadata) read(trace string) (string, error) {
	data, err := ctf.ReadMetadataFile(trace)
	if err != nil {
		return "", err
	}
	text, err := ctf.MetadataText(data)
	if err != nil || text == w.text {
		return text, err
	}
	_, err = ctf.ParseMetadata([]byte(text))
	return text, err
}

// Reading is a process of its own that does [ReadAll]: its CPU time is what that takes.
type Reading struct {
	PID   int
	Units <-chan ReadUnit // must be read; closed when it has ended

	cmd *exec.Cmd
	dir string
	err error // once Units is closed
}

// Read starts a command that does [ReadAll] of the processes that its last arguments name, into the directory before these, and writes the units as lines of
// JSON; and waits until it records. End must be called.
func (l *Lab) Read(command []string, pids ...int) (*Reading, error) {
	dir, err := os.MkdirTemp(l.dir, "all-")
	if err != nil {
		return nil, fmt.Errorf("record all trace points: %w", err)
	}
	units := make(chan ReadUnit, 64)
	r := &Reading{dir: dir, Units: units}
	args := append(slices.Clone(command[1:]), dir)
	for _, pid := range pids {
		args = append(args, strconv.Itoa(pid))
	}
	r.cmd = exec.Command(command[0], args...)
	var said strings.Builder
	r.cmd.Stderr = &said
	ownGroup(r.cmd)
	r.cmd.Cancel = nil
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("record all trace points: %w", err), os.RemoveAll(dir))
	}
	r.PID = r.cmd.Process.Pid
	go func() {
		defer close(units)
		parseErr := parseReadUnits(out, units)
		if err := errors.Join(parseErr, r.cmd.Wait()); err != nil {
			r.err = fmt.Errorf("record all trace points: %w: %s", err, tail([]byte(said.String())))
		}
	}()
	if _, ok := <-units; !ok {
		return nil, errors.Join(errors.New("record all trace points: it ended before it began"), r.err, os.RemoveAll(dir))
	}
	return r, nil
}

func parseReadUnits(out io.Reader, units chan<- ReadUnit) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var u ReadUnit
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			return fmt.Errorf("read units: %w", err)
		}
		units <- u
	}
	return lines.Err()
}

// End ends the reader; what it has read since is dropped.
func (r *Reading) End() error {
	err := r.cmd.Process.Signal(os.Interrupt)
	timeout := time.AfterFunc(time.Minute, func() { _ = r.cmd.Process.Kill() })
	for range r.Units { //nolint:revive // until it has ended
	}
	timeout.Stop()
	return errors.Join(err, r.err, os.RemoveAll(r.dir))
}
