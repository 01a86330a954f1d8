package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// stepName keeps a step's files below the plan's directory.
var stepName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// planFiles are the unit files of each recording.
var planFiles = []string{FileDefault, FilePaper, FileCounts, FileSyscalls}

// stepOverhead is about what a recording takes beside its own span: the load's
// beginning and the cutting into units.
const stepOverhead = settle + 3*time.Second

// PlanRun is one run of a plan.
type PlanRun struct {
	Steps      []Step
	Output     string // directory; see [Manifest]
	Guest      string // DefaultGuest if empty
	KeepTraces bool   // keep the raw traces beside their unit files
	Sources    bool   // record all sources instead of all trace points
	// Begun hears of each step's begin, Done of its end; either may be nil.
	Begun func(PlanProgress)
	Done  func(PlanProgress, Recorded)
}

// PlanProgress is where a run has come to.
type PlanProgress struct {
	Step          Step
	Number, Steps int       // of the step from 1 on, and how many the plan has
	StepEnd, End  time.Time // expected
	Skipped       bool      // it was complete already
}

// RunPlan makes the recordings of a plan one after the other, each with its unit
// files and its entry in the manifest. What is complete in the directory is
// left as it is; what is there in part is made again. One that fails is left
// out, and is in the error at the end; a second one after it ends the run.
func (l *Lab) RunPlan(ctx context.Context, r PlanRun) error {
	if r.Guest == "" {
		r.Guest = DefaultGuest
	}
	if err := checkSteps(r.Steps); err != nil {
		return err
	}
	files, record := planFiles, l.runStep
	if r.Sources {
		o, err := l.observable()
		if err != nil {
			return fmt.Errorf("run plan: %w", err)
		}
		files = o.files()
		record = func(ctx context.Context, r PlanRun, s Step) (Recorded, error) { return l.runSources(ctx, r, s, o) }
	}
	versions, err := l.versions(ctx, files)
	if err != nil {
		return fmt.Errorf("run plan: %w", err)
	}
	if l.loadRuns() {
		return errors.New("run plan: a load runs in the background, and would be in all recordings; end it with load --stop")
	}
	m, err := openManifest(r.Output)
	if err != nil {
		return err
	}
	var failed error
	inRow := 0
	for i, s := range r.Steps {
		now := time.Now()
		p := PlanProgress{Step: s, Number: i + 1, Steps: len(r.Steps), StepEnd: now, End: now.Add(m.left(r.Output, r.Steps[i:], files))}
		if m.complete(r.Output, s, files) {
			p.Skipped = true
			r.tell(p, nil)
			continue
		}
		p.StepEnd = now.Add(s.For + stepOverhead)
		r.tell(p, nil)
		m.drop(s.Name)
		if err := m.write(r.Output); err != nil {
			return err
		}
		rec, err := l.attempt(ctx, r, s, record)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("recording %s: %w", s.Name, err))
			if inRow++; ctx.Err() != nil || inRow == 2 {
				return failed
			}
			l.log.WithError(err).Warnf("recording %s failed; the next one follows", s.Name)
			continue
		}
		inRow = 0
		rec.Versions = versions
		m.put(rec)
		if err := m.write(r.Output); err != nil {
			return err
		}
		r.tell(p, &rec)
	}
	return failed
}

func (r PlanRun) tell(p PlanProgress, done *Recorded) {
	switch {
	case done == nil && r.Begun != nil:
		r.Begun(p)
	case done != nil && r.Done != nil:
		r.Done(p, *done)
	}
}

// left is how long the steps that are not complete will take.
func (m *Manifest) left(dir string, steps []Step, files []string) time.Duration {
	var d time.Duration
	for _, s := range steps {
		if !m.complete(dir, s, files) {
			d += s.For + stepOverhead
		}
	}
	return d
}

func checkSteps(steps []Step) error {
	seen := make(map[string]bool)
	for _, s := range steps {
		if !stepName.MatchString(s.Name) || s.Name == ManifestFile || seen[s.Name] {
			return fmt.Errorf("plan: recording %q: want names of lower case letters, digits, - and _, each once", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

// attempt makes one recording in DIR/NAME.
func (l *Lab) attempt(ctx context.Context, r PlanRun, s Step, record func(context.Context, PlanRun, Step) (Recorded, error)) (Recorded, error) {
	dir := filepath.Join(r.Output, s.Name)
	if err := os.RemoveAll(dir); err != nil { // of a run that ended within
		return Recorded{}, fmt.Errorf("remove what is there in part: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return Recorded{}, err
	}
	return record(ctx, r, s)
}

// runStep makes one recording of all trace points and system calls.
func (l *Lab) runStep(ctx context.Context, r PlanRun, s Step) (Recorded, error) {
	dir := filepath.Join(r.Output, s.Name)
	pid, err := l.GuestPID(r.Guest)
	if err != nil {
		return Recorded{}, err
	}
	counter, err := countSyscalls(pid)
	if err != nil {
		return Recorded{}, err
	}
	load := s.Load
	load.Guest = r.Guest
	trace, err := l.Record(ctx, Recording{Scenario: s.Scenario, For: s.For, Output: dir, All: true, Rate: s.Rate, Load: load})
	syscalls, countErr := counter.Stop()
	if err := errors.Join(err, countErr); err != nil {
		return Recorded{}, err
	}
	return s.cut(r, trace, syscalls)
}

// cut makes the unit files of a recording and puts its trace away.
func (s Step) cut(r PlanRun, trace string, syscalls unit.File) (Recorded, error) {
	rec := s.recorded()
	rec.Files = make(map[string]string)
	write := func(name string, f unit.File) error {
		rec.Files[name] = filepath.Join(s.Name, name+".csv")
		return unit.WriteFile(filepath.Join(r.Output, rec.Files[name]), func(w io.Writer) error { return unit.Write(w, f) })
	}
	for name, set := range map[string]string{
		FileDefault: catalogue.DefaultSet, FilePaper: catalogue.PaperSet, FileCounts: unit.Counts,
	} {
		f, err := unit.Cut(trace, set)
		if err != nil {
			return rec, err
		}
		f.Units = inner(f.Units)
		if len(f.Units) == 0 {
			return rec, errors.New("the trace has too few units; were QEMU and lttng-sessiond there all the time?")
		}
		if name == FileDefault {
			rec.Begin = time.Unix(0, f.Units[0].Start).UTC()
			rec.Units, rec.LossyUnits = len(f.Units), lossy(f.Units)
			syscalls.Units = within(syscalls.Units, f.Units)
		}
		if err := write(name, f); err != nil {
			return rec, err
		}
	}
	if len(syscalls.Units) != rec.Units {
		return rec, fmt.Errorf("%d units of system calls for %d of the trace: was the clock set?", len(syscalls.Units), rec.Units)
	}
	rec.SyscallLossyUnits = lossy(syscalls.Units)
	if err := write(FileSyscalls, syscalls); err != nil {
		return rec, err
	}
	if !r.KeepTraces {
		return rec, os.RemoveAll(trace)
	}
	return rec, os.Rename(trace, filepath.Join(r.Output, s.Name, "trace"))
}

// inner leaves of a recording's units the whole ones but the first and the last:
// in these, or in the parts of units before and after them, the tracing began
// and ended. QEMU makes thousands of system calls to begin it.
func inner(units []unit.Unit) []unit.Unit {
	var whole []unit.Unit
	for _, u := range units {
		if u.Full() {
			whole = append(whole, u)
		}
	}
	if len(whole) < 2 {
		return nil
	}
	return whole[1 : len(whole)-1]
}

// within leaves of units those that begin as one of the span's.
func within(units, span []unit.Unit) []unit.Unit {
	begins := make(map[int64]bool)
	for _, u := range span {
		begins[u.Start] = true
	}
	return slices.DeleteFunc(slices.Clone(units), func(u unit.Unit) bool { return !begins[u.Start] })
}

func lossy(units []unit.Unit) int {
	n := 0
	for _, u := range units {
		if u.Lost > 0 {
			n++
		}
	}
	return n
}

// versions tells what the lab records these unit files with.
func (l *Lab) versions(ctx context.Context, files []string) (Versions, error) {
	v := Versions{Sets: make(map[string]string)}
	st, err := l.loadState()
	if err != nil {
		return v, err
	}
	if st.QEMU == "" {
		return v, ErrNotUp
	}
	if v.QEMU, err = firstLine(ctx, st.QEMU, "--version"); err != nil {
		return v, err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return v, fmt.Errorf("kernel's version: %w", err)
	}
	v.Kernel = unix.ByteSliceToString(uts.Release[:])
	perf := slices.Contains(files, FileCounts) // and no sources
	v.Syscalls = "eBPF"
	if perf {
		v.Syscalls = "perf"
	}
	for _, name := range files {
		var columns []string
		switch {
		case name == FileDefault, name == FilePaper:
			set, err := catalogue.Load(name)
			if err != nil {
				return v, err
			}
			columns = set.Names()
			if v.LTTng, err = firstLine(ctx, "lttng", "--version"); err != nil {
				return v, err
			}
		case perf:
			continue // whatever occurs
		default:
			for _, c := range probe.Source(name).Columns() {
				columns = append(columns, c.Name)
			}
		}
		v.Sets[name] = fmt.Sprintf("%d columns, sha256 %.8x", len(columns), sha256.Sum256([]byte(strings.Join(columns, "\n")+"\n")))
	}
	return v, nil
}

func firstLine(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", program, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}
