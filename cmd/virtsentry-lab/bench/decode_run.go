package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng/ctf"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// DecodeRun says how to measure [Decode].
type DecodeRun struct {
	Virtsentry string      // the command
	Source     string      // testdata/dense, in the project's checkout
	Rounds     int         // of measurements
	Share      int         // traces are shorter by it: 1 for those whose figures count
	Pairs      [][2]string // traces to be read besides those that it makes: a short one and a longer one
	Report     func(what string)
}

// Measure records traces, and lets all readers read them in turns.
func (run DecodeRun) Measure(ctx context.Context) (d Decode, err error) {
	dir, err := os.MkdirTemp("", "virtsentry-decode")
	if err != nil {
		return d, fmt.Errorf("make traces: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	version, err := exec.CommandContext(ctx, decodeBabeltrace, "--version").Output()
	if err != nil {
		return d, fmt.Errorf("babeltrace2 (apt-get install babeltrace2): %w", err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	d.Babeltrace = strings.ToLower(strings.Join(strings.Fields(first)[:2], " "))
	type pair struct{ name, short, long string }
	var pairs []pair
	for _, kind := range []string{"qemu", "dense"} {
		p := pair{kind, filepath.Join(dir, kind, "short"), filepath.Join(dir, kind, "long")}
		if err := run.record(ctx, dir, kind, p.short, p.long); err != nil {
			return d, err
		}
		pairs = append(pairs, p)
	}
	for _, p := range run.Pairs {
		pairs = append(pairs, pair{filepath.Base(p[0]) + ", " + filepath.Base(p[1]), p[0], p[1]})
	}
	for _, p := range pairs {
		t, err := run.measure(ctx, p.name, p.short, p.long)
		if err != nil {
			return d, err
		}
		d.Traces = append(d.Traces, t)
	}
	return d, nil
}

// record makes a trace of so many events as figures are wanted for, and one of a tenth of them, in a mount namespace of its own: the host's session daemon is not
// touched.
func (run DecodeRun) record(ctx context.Context, dir, kind, short, long string) error {
	run.Report("recording traces: " + kind)
	program := filepath.Join(dir, "program")
	build := exec.CommandContext(ctx, "gcc", "-O2", "-I", run.Source, "-o", program, filepath.Join(run.Source, "dense.c"), "-llttng-ust", "-ldl", "-lpthread")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s (apt-get install gcc liblttng-ust-dev; is this the top of the project's checkout?): %w\n%s", run.Source, err, out)
	}
	take := exec.CommandContext(ctx, filepath.Join(run.Source, "take"), program, kind,
		strconv.Itoa(decodeShort/run.Share), short, strconv.Itoa(decodeEvents/run.Share), long)
	take.Cancel = func() error { return unix.Kill(-take.Process.Pid, unix.SIGTERM) } // the session daemon is one of them
	take.WaitDelay = 10 * time.Second
	take.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Setpgid: true}
	if out, err := take.CombinedOutput(); err != nil {
		return fmt.Errorf("record a trace (as root; lttng-tools): %w\n%s", err, out)
	}
	return nil
}

// commands are the readers' whole commands, by reader.
func (run DecodeRun) commands(trace string) [][]string {
	return [][]string{
		{decodeBabeltrace, trace, "-c", "sink.utils.counter"},
		{run.Virtsentry, "replay", trace, "--features", decodeCounts, "--units", os.DevNull},
		{run.Virtsentry, "replay", trace, "--features", decodeDefault, "--units", os.DevNull},
	}
}

func (run DecodeRun) measure(ctx context.Context, name, short, long string) (t DecodeTrace, err error) {
	t = DecodeTrace{Name: name, Readers: decodeReaders}
	for _, input := range []struct {
		dir string
		to  *DecodeInput
	}{{short, &t.Short}, {long, &t.Long}} {
		run.Report("comparing totals: " + name)
		if *input.to, err = decodeTotals(ctx, input.dir); err != nil {
			return t, err
		}
	}
	if t.Long.Events < 2*t.Short.Events {
		return t, fmt.Errorf("traces of %d and %d events: the second one must be far longer", t.Short.Events, t.Long.Events)
	}
	for n := range run.Rounds {
		run.Report(fmt.Sprintf("%s: round %d of %d", name, n+1, run.Rounds))
		r := DecodeRound{Short: make([]float64, len(t.Readers)), Long: make([]float64, len(t.Readers))}
		shorts, longs := run.commands(short), run.commands(long)
		for i := range t.Readers {
			reader := (n + i) % len(t.Readers) // another one is the first each round
			if r.Short[reader], err = decodeTime(ctx, shorts[reader]); err != nil {
				return t, err
			}
			if r.Long[reader], err = decodeTime(ctx, longs[reader]); err != nil {
				return t, err
			}
		}
		if r.Read, err = readTime(long); err != nil {
			return t, err
		}
		t.Rounds = append(t.Rounds, r)
	}
	return t, nil
}

// decodeTime is the CPU time that a command takes on one core, in seconds.
func decodeTime(ctx context.Context, command []string) (float64, error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"--cpu-list", "0"}, command...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, complaints.Bytes())
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}

// dataFiles are those of all traces at or below a directory, without their indexes.
func dataFiles(dir string) (files []string, err error) {
	traces, err := ctf.FindTraces(dir)
	for _, d := range traces {
		t, err := ctf.Open(d)
		if err != nil {
			return nil, err
		}
		for _, s := range t.Streams {
			files = append(files, s.Files...)
		}
	}
	return files, err
}

// readTime is the CPU time that reading a trace's files takes, in seconds, in pieces that stay in a core's cache.
func readTime(dir string) (float64, error) {
	files, err := dataFiles(dir)
	if err != nil {
		return 0, err
	}
	buf := bytes.Repeat([]byte{1}, 256<<10)
	before, err := ownTime()
	if err != nil {
		return 0, err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		for err == nil {
			_, err = f.Read(buf)
		}
		_ = f.Close()
		if !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	after, err := ownTime()
	return after - before, err
}

// ownTime is this process's CPU time, in seconds.
func ownTime() (float64, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("own CPU time: %w", err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, nil
}

// eventsCounted is in the line of babeltrace2's counter sink with all events.
var eventsCounted = regexp.MustCompile(`(\d+) Event messages`)

// eventPrinted is what stands before an event's fields in a line of babeltrace2's text: its name, of all that the line's begin may hold the only thing with a brace
// behind it.
var eventPrinted = regexp.MustCompile(`^\[[^]]*\] \([^)]*\) .*? ?([^ ]+): \{`)

// decodeTotals counts a trace's events by name with babeltrace2 and with virtsentry, which must agree.
func decodeTotals(ctx context.Context, dir string) (in DecodeInput, err error) {
	files, err := dataFiles(dir)
	if err != nil {
		return in, err
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return in, err
		}
		in.Bytes += info.Size()
	}
	want, err := babeltraceTotals(ctx, dir)
	if err != nil {
		return in, err
	}
	cut, err := unit.Cut(dir, unit.Counts)
	if err != nil {
		return in, err
	}
	got := make(map[string]uint64)
	for _, u := range cut.Units {
		for i, n := range u.Counts {
			got[cut.Features[i]] += n
			in.Events += n
		}
	}
	if !maps.Equal(want, got) {
		names := slices.Sorted(maps.Keys(want))
		for _, name := range append(names, slices.Sorted(maps.Keys(got))...) {
			if want[name] != got[name] {
				return in, fmt.Errorf("trace %s: %d events %s by babeltrace2, %d by virtsentry", dir, want[name], name, got[name])
			}
		}
	}
	in.Kinds = len(got)
	out, err := exec.CommandContext(ctx, decodeBabeltrace, dir, "-c", "sink.utils.counter").Output()
	if err != nil {
		return in, fmt.Errorf("babeltrace2 %s: %w", dir, err)
	}
	all := eventsCounted.FindAllSubmatch(out, -1)
	if len(all) == 0 || string(all[len(all)-1][1]) != strconv.FormatUint(in.Events, 10) {
		return in, fmt.Errorf("trace %s: virtsentry counts %d events, babeltrace2's counter sink says\n%s", dir, in.Events, out)
	}
	return in, nil
}

// babeltraceTotals counts the events that babeltrace2 prints, by name.
func babeltraceTotals(ctx context.Context, dir string) (map[string]uint64, error) {
	cmd := exec.CommandContext(ctx, decodeBabeltrace, dir)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("babeltrace2 %s: %w", dir, err)
	}
	totals := make(map[string]uint64)
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 0, 64<<10), 16<<20)
	for lines.Scan() {
		m := eventPrinted.FindSubmatch(lines.Bytes())
		if m == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return nil, fmt.Errorf("babeltrace2 %s: a line with no event: %.200q", dir, lines.Bytes())
		}
		totals[unit.FeatureName(string(m[1]))]++
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return nil, fmt.Errorf("babeltrace2 %s: %w\n%s", dir, err, complaints.Bytes())
	}
	return totals, nil
}
