package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// load writes unit files of a simulated guest whose counts follow its load, more or less.
type load struct {
	random *rand.Rand
	dir    string
	at     int64
}

func newLoad(t *testing.T) *load {
	return &load{random: rand.New(rand.NewPCG(1, 2)), dir: t.TempDir(), at: 1000}
}

// write writes the guest's next n units, the first of them a partial one, and returns the file's name. Packets are multiplied by
// factor in every second unit if half is true, in all otherwise.
func (l *load) write(t *testing.T, name string, n int, factor float64, half bool, edit func(*unit.File)) string {
	t.Helper()
	f := unit.File{Features: []string{"tap_send", "virtqueue_fill", "blk_co_pwritev"}}
	for i := range n {
		load := math.Exp(0.3 * l.random.NormFloat64())
		packets := 30 * load
		if !half || i%2 == 0 {
			packets *= factor
		}
		disk := 8 * load
		u := unit.Unit{Start: l.at * int64(unit.Width), Duration: int64(unit.Width)}
		if i == 0 {
			u.Start, u.Duration = u.Start+1000, u.Duration-1000
		}
		for _, mean := range []float64{packets, packets + disk, disk} {
			u.Counts = append(u.Counts, uint64(max(0, math.Round(mean+math.Sqrt(mean)*l.random.NormFloat64()))))
		}
		f.Units = append(f.Units, u)
		l.at++
	}
	l.at += 100
	if edit != nil {
		edit(&f)
	}
	path := filepath.Join(l.dir, name)
	if err := unit.WriteFile(path, func(w io.Writer) error { return unit.Write(w, f) }); err != nil {
		t.Fatal(err)
	}
	return path
}

// evalArgs are the files of a guest that is learnt and attacked.
func evalArgs(t *testing.T) []string {
	l := newLoad(t)
	lossy := func(f *unit.File) {
		for i := 5; i < 15; i++ {
			f.Units[i].Lost = 10
		}
	}
	lean := func(f *unit.File) { // without a column
		f.Features = f.Features[:2]
		for i := range f.Units {
			f.Units[i].Counts = f.Units[i].Counts[:2]
		}
	}
	return []string{
		"eval", "--train", l.write(t, "train1.csv", 80, 1, false, nil), "--train", l.write(t, "train2.csv", 41, 1, false, lossy),
		"--normal", l.write(t, "normal.csv", 81, 1, false, nil),
		"--anomaly", "flood=" + l.write(t, "flood1.csv", 21, 30, false, nil),
		"--anomaly", "pulses=" + l.write(t, "pulses.csv", 31, 20, true, lossy),
		"--anomaly", "flood=" + l.write(t, "flood2.csv", 11, 40, false, nil),
		"--anomaly", "none=" + l.write(t, "none.csv", 31, 1, false, nil),
		"--anomaly", "nodisk=" + l.write(t, "nodisk.csv", 31, 1, false, lean),
		"--anomaly", "boot=" + filepath.Join(traces, "boot"),
	}
}

func TestEval(t *testing.T) {
	args := evalArgs(t)
	for name, more := range map[string][]string{
		"eval.json":      {"-o", "json"},
		"eval-more.txt":  {"--cross-validate", "4", "--curve", "20,50,100,200"},
		"eval-more.json": {"--cross-validate", "4", "--curve", "20,50,100,200", "-o", "json"},
		"eval-paper.txt": {"--method", "paper", "--engine", "libsvm-go", "--features", "counts", "--cross-validate", "3", "--curve", "50"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := run(t.Context(), append(slices.Clone(args), more...)...)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, got)
		})
	}
}

// Without an attack there are false alarms to tell of.
func TestEvalWithoutAttack(t *testing.T) {
	got, _, err := run(t.Context(), append(slices.Clone(evalArgs(t)[:7]), "-o", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	var e model.Evaluation
	if err := json.Unmarshal([]byte(got), &e); err != nil || e.NormalUnits != 80 || e.Scenarios == nil || e.MedianFMeasure != nil {
		t.Errorf("%s, %v", got, err)
	}
	// A file that is both learnt from and judged is pooled once.
	file := evalArgs(t)[2]
	if got, _, err = run(t.Context(), "eval", "--train", file, "--normal", file, "--cross-validate", "4"); err != nil || !strings.Contains(got, "of 79 units in 4 blocks") {
		t.Errorf("%s, %v", got, err)
	}
}

// Wrong input is an error that says what is wrong, and where.
func TestEvalRefuses(t *testing.T) {
	args := evalArgs(t)
	train, normal := args[2], args[6]
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	header := "start_ns,duration_ns,lost,a"
	wide := header
	for i := range 2400 {
		wide += fmt.Sprint(",f", i)
	}
	for _, tc := range []struct {
		name string
		args []string
		says string
	}{
		{"nothing", nil, `"normal", "train" not set`},
		{"no normal", []string{"--train", train}, `"normal" not set`},
		{"an argument", []string{"--train", train, "--normal", normal, "x"}, "unknown command"},
		{"method", []string{"--train", train, "--normal", normal, "--method", "best"}, "neither default nor paper"},
		{"engine", []string{"--train", train, "--normal", normal, "--engine", "thundersvm"}, "libsvm-go"},
		{"blocks", []string{"--train", train, "--normal", normal, "--cross-validate", "1"}, "2 blocks or more"},
		{"too many blocks", []string{"--train", train, "--normal", normal, "--cross-validate", "160"}, "160 blocks of 159 units"},
		{"negative blocks", []string{"--train", train, "--normal", normal, "--cross-validate", "-1"}, "2 blocks or more"},
		{"curve", []string{"--train", train, "--normal", normal, "--curve", "5"}, "5 units are too few"},
		{"curve of words", []string{"--train", train, "--normal", normal, "--curve", "all"}, "invalid argument"},
		{"anomaly without name", []string{"--train", train, "--normal", normal, "--anomaly", normal}, "want NAME=FILE"},
		{"anomaly without file", []string{"--train", train, "--normal", normal, "--anomaly", "flood="}, "want NAME=FILE"},
		{"features", []string{"--train", train, "--normal", filepath.Join(traces, "boot"), "--features", "nothing"}, "nothing"},
		{"no file", []string{"--train", dir + "/absent.csv", "--normal", normal}, "absent.csv"},
		{"no trace", []string{"--train", train, "--normal", dir}, dir},
		{"empty", []string{"--train", train, "--normal", file("empty.csv", "")}, "empty.csv: "},
		{"only a header", []string{"--train", train, "--normal", file("header.csv", header+"\n")}, "header.csv: "},
		{"no unit file", []string{"--train", file("text.csv", "hello\n"), "--normal", normal}, "text.csv: "},
		{"not a count", []string{"--train", train, "--normal", normal, "--anomaly", "a=" + file("nan.csv", header+"\n0,2000000000,0,NaN\n")}, "nan.csv: unit file: line 2, column 4"},
		{"short row", []string{"--train", train, "--normal", file("row.csv", header+"\n0,2000000000,0\n")}, "row.csv: unit file: line 2"},
		{"binary", []string{"--train", train, "--normal", file("binary.csv", strings.Repeat("\x00\xff", 5000))}, "binary.csv: "},
		{"only partial units", []string{"--train", train, "--normal", normal, "--anomaly", "a=" + file("partial.csv", header+"\n0,1000,0,5\n")}, "partial.csv: "},
		{"too few units", []string{"--train", file("few.csv", header+"\n0,2000000000,0,5\n"), "--normal", normal}, "few.csv: "},
		{"too many features", []string{"--train", train, "--normal", file("wide.csv", wide+"\n0,2000000000,0"+strings.Repeat(",1", 2401)+"\n")}, "--features"},
		{"times too far apart", []string{"--train", train, "--normal", file("far.csv", header+"\n-9000000000000000000,2000000000,0,1\n9000000000000000000,2000000000,0,1\n")}, "far.csv: "},
	} {
		out, code, err := run(t.Context(), append([]string{"eval"}, tc.args...)...)
		if err == nil || code != exitFailure || !strings.Contains(err.Error(), tc.says) || out != "" {
			t.Errorf("%s: exit status %d, %v, wrote %q", tc.name, code, err, out)
		}
	}
	// The largest counts that a file can hold are no reason to fall.
	huge := file("huge.csv", header+",tap_send\n0,2000000000,0,18446744073709551615,18446744073709551615\n")
	for _, method := range []string{"default", "paper"} {
		if _, _, err := run(t.Context(), "eval", "--method", method, "--train", train, "--normal", normal, "--anomaly", "a="+huge); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// What is interrupted ends with the next problem, not with the last one, and has failed.
func TestEvalInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, method := range []string{"default", "paper"} {
		if _, _, err := run(ctx, append(evalArgs(t), "--method", method)...); !errors.Is(err, errInterrupted) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// The JSON has what the documentation promises, in this order, and nothing else unless it is asked for.
func TestEvalKeys(t *testing.T) {
	got, _, err := run(t.Context(), append(evalArgs(t), "-o", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for line := range strings.Lines(got) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), `": `); ok && !slices.Contains(keys, name[1:]) {
			keys = append(keys, name[1:])
		}
	}
	want := []string{
		"method", "false_positive_rate", "false_alarms", "normal_units", "scenarios",
		"name", "units", "sensitivity", "precision", "f_measure", "auc", "alarmed", "units_to_alarm", "sequence_f_measure",
		"median_f_measure", "min_f_measure", "median_sequence_f_measure", "min_sequence_f_measure",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
}
