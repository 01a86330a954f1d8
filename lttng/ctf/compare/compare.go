// Package compare checks the reader in lttng/ctf against babeltrace2: every event of a
// trace, in the same order, with the same value in every field, and the same reports
// of discarded events and packets.
//
// Both print each event as one line of text with all names, headers, contexts and
// fields; the lines are compared as they come, so traces of any size can be compared.
// Floating-point numbers are compared to the six digits that babeltrace2 prints.
package compare

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// ErrDiffers says that the two readers do not agree.
var ErrDiffers = errors.New("differs from babeltrace2")

// maxShown is how many differences are reported.
const maxShown = 5

// Result is what a comparison found.
type Result struct {
	Traces      int    // trace directories
	Events      uint64 // that ctf read
	Theirs      uint64 // that babeltrace2 read
	Differences uint64 // lines that differ, with those that only one side has
	Discarded   int    // reports of discarded events or packets, the same on both sides
}

// Run compares all traces at or below dir, reports the first differences and the
// totals to w, and returns ErrDiffers if there is any difference.
func Run(dir string, w io.Writer) error {
	res, err := compare(dir, w)
	if err != nil {
		return fmt.Errorf("compare %s: %w", dir, err)
	}
	fmt.Fprintf(w, "%s: %d traces, %d events compared field by field, babeltrace2 has %d, %d differences, %d reports of discarded items agree\n",
		dir, res.Traces, res.Events, res.Theirs, res.Differences, res.Discarded)
	if res.Differences > 0 {
		return fmt.Errorf("compare %s: %d lines: %w", dir, res.Differences, ErrDiffers)
	}
	return nil
}

func compare(dir string, w io.Writer) (res Result, err error) {
	dirs, err := ctf.FindTraces(dir)
	if err != nil {
		return res, err
	}
	if len(dirs) == 0 {
		return res, ctf.ErrNotTrace
	}
	var traces []*ctf.Trace
	for _, d := range dirs {
		t, err := ctf.Open(d)
		if err != nil {
			return res, err
		}
		traces = append(traces, t)
	}
	res.Traces = len(traces)
	cmd := exec.Command("babeltrace2", append([]string{"--names=all", "--fields=all", "--clock-seconds", "--no-delta"}, dirs...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "BABELTRACE_TERM_COLOR=never")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return res, err
	}
	if err := cmd.Start(); err != nil {
		return res, err
	}
	err = res.events(traces, bufio.NewReaderSize(out, 1<<20), w)
	if err != nil {
		cmd.Process.Kill() //nolint:errcheck // it may have ended already
	}
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("babeltrace2: %w: %.2000s", werr, stderr.Bytes())
	}
	if err != nil {
		return res, err
	}
	return res, res.discards(traces, stderr.Bytes(), w)
}

// events compares our events with their lines.
func (res *Result) events(traces []*ctf.Trace, theirs *bufio.Reader, w io.Writer) error {
	m, err := ctf.NewMerger(traces...)
	defer m.Close()
	if err != nil {
		return err
	}
	var f formatter
	for m.Next() {
		res.Events++
		line, err := f.format(m.Event())
		if err != nil {
			return err
		}
		other, err := readLine(theirs)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(other) > 0 {
			res.Theirs++
		}
		if !bytes.Equal(line, other) {
			res.differ(w, fmt.Sprintf("event %d", res.Events), line, other)
		}
	}
	if err := m.Err(); err != nil {
		return err
	}
	for {
		other, err := readLine(theirs)
		if len(other) == 0 {
			return ignoreEOF(err)
		}
		res.Theirs++
		res.differ(w, fmt.Sprintf("event %d", res.Theirs), nil, other)
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	long := bytes.Clone(line)
	rest, err := r.ReadBytes('\n')
	return append(long, rest...), err
}

func (res *Result) differ(w io.Writer, what string, ours, theirs []byte) {
	res.Differences++
	if res.Differences <= maxShown {
		fmt.Fprintf(w, "%s:\n  ours:   %s\n  theirs: %s\n", what, shown(ours), shown(theirs))
	}
}

func shown(line []byte) string {
	if len(line) == 0 {
		return "(none)"
	}
	return string(bytes.TrimSuffix(line, []byte{'\n'}))
}
