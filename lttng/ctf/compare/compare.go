// Package compare checks the reader in lttng/ctf against babeltrace2: every event of a
// trace, in the same order, with the same value in every field, and the same reports
// of discarded events and packets.
//
// Both print each event as one line of text with all names, headers, contexts and
// fields; the lines are compared as they come, so traces of any size can be compared.
// Floating-point numbers are compared to the six digits that babeltrace2 prints.
//
// babeltrace2 before 2.0.5 prints the text of some earlier event where a text field is
// empty. With such a version, and only then, any text of theirs is accepted where ours
// is empty; how many were is reported.
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
	Empty       uint64 // empty texts in whose place an old babeltrace2 shows another

	lenient bool
}

// Run compares all traces at or below dir, reports the first differences and the
// totals to w, and returns ErrDiffers if there is any difference.
func Run(dir string, w io.Writer) error {
	res, err := compare(dir, w)
	if err != nil {
		return fmt.Errorf("compare %s: %w", dir, err)
	}
	if res.Empty > 0 {
		fmt.Fprintf(w, "%s: %d empty texts, in place of which babeltrace2 before 2.0.5 shows those of earlier events\n", dir, res.Empty)
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
	if res.lenient, err = showsOldTexts(); err != nil {
		return res, err
	}
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
	if err != nil {
		return err
	}
	defer m.Close()
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
		if !bytes.Equal(line, other) && !res.equalButEmpty(line, other, f.empty) {
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

// showsOldTexts tells whether the installed babeltrace2 is one that shows an earlier
// event's text in place of an empty one.
func showsOldTexts() (bool, error) {
	out, err := exec.Command("babeltrace2", "--version").Output()
	if err != nil {
		return false, fmt.Errorf("babeltrace2 --version: %w", err)
	}
	var patch int
	n, _ := fmt.Sscanf(string(out), "Babeltrace 2.0.%d", &patch)
	return n == 1 && patch < 5, nil
}

// equalButEmpty tells whether the lines are equal but for texts that are empty in
// ours, at the offsets in empty.
func (res *Result) equalButEmpty(ours, theirs []byte, empty []int) bool {
	if !res.lenient || len(empty) == 0 {
		return false
	}
	from, accepted := 0, uint64(0)
	for _, at := range empty {
		rest, ok := bytes.CutPrefix(theirs, ours[from:at])
		if !ok || len(rest) == 0 || rest[0] != '"' {
			return false
		}
		end := 1
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(rest) {
			return false
		}
		if end > 1 {
			accepted++
		}
		theirs, from = rest[end+1:], at+len(`""`)
	}
	if !bytes.Equal(ours[from:], theirs) {
		return false
	}
	res.Empty += accepted
	return true
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
