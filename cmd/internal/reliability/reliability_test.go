package reliability

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func TestCases(t *testing.T) {
	name, seen := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`), map[string]bool{SoakName: true}
	for _, c := range Cases {
		if seen[c.ID] || !name.MatchString(c.ID) || c.Group == "" || c.Fault == "" || !strings.HasSuffix(c.Promise, ".") {
			t.Errorf("case %+v", c)
		}
		seen[c.ID] = true
		if found, ok := ByID(c.ID); !ok || found != c {
			t.Errorf("ByID(%s) = %+v, %v", c.ID, found, ok)
		}
	}
	if _, ok := ByID("no-such"); ok {
		t.Error("a case that there is not")
	}
}

// What one recorder notes adds up; another one begins anew.
func TestRecorder(t *testing.T) {
	dir := t.TempDir()
	r := NewRecorder(dir)
	for _, result := range []Result{
		{Case: "kill-qemu", Begin: begin, Times: 1, Right: true, Units: 2, Seconds: 1.234, Seen: "first"},
		{Case: "kill-qemu", Begin: begin.Add(time.Hour), Times: 3, Broken: 1, Units: 1, Seconds: 5},
	} {
		if err := r.Note(result); err != nil {
			t.Fatal(err)
		}
	}
	want := Result{Format: format, Case: "kill-qemu", Begin: begin.Truncate(time.Second), Times: 4, Broken: 1, Right: true, Units: 2, Seconds: 5, Seen: "first"}
	if got, ok, err := Read(dir, "kill-qemu"); err != nil || !ok || !cmp.Equal(want, got) {
		t.Errorf("Read = %v, %v\n%s", ok, err, cmp.Diff(want, got))
	}
	if err := NewRecorder(dir).Note(Result{Case: "kill-qemu", Begin: begin, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := Read(dir, "kill-qemu"); err != nil || got.Times != 1 || got.Broken != 0 {
		t.Errorf("of a new recorder: %+v, %v", got, err)
	}
	if err := r.Note(Result{Case: "no-such", Times: 1}); err == nil {
		t.Error("a result of no case: no error")
	}
	if err := NewRecorder("").Note(Result{Case: "kill-qemu", Times: 1}); err != nil {
		t.Error(err)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := Read(dir, "kill-qemu"); ok || err != nil {
		t.Errorf("of no file: %v, %v", ok, err)
	}
	for _, text := range []string{"", "{}", `{"format": 9, "case": "kill-qemu", "times": 1}`, `{"format": 1, "case": "metadata", "times": 1}`, `{"other": 1}`} {
		if err := os.WriteFile(filepath.Join(dir, "kill-qemu.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(dir, "kill-qemu"); err == nil || !strings.Contains(err.Error(), "kill-qemu.json") {
			t.Errorf("Read of %q: %v", text, err)
		}
	}
}

const emptyPage = "# Page\n\n<!-- table: faults -->\n<!-- end of table -->\n\n<!-- table: soak -->\n<!-- end of table -->\n"

func TestFill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	text, err := Fill(emptyPage, dir)
	if err != nil || strings.Count(text, notRun) != len(Cases)+1 {
		t.Fatalf("of no results: %v\n%s", err, text)
	}
	r := NewRecorder(dir)
	for _, result := range []Result{
		{Case: "kill-qemu", Times: 3, Right: true, Units: 1, Seconds: 2.04, Seen: "a|b"},
		{Case: "metadata", Times: 2, Broken: 1},
	} {
		if err := r.Note(result); err != nil {
			t.Fatal(err)
		}
	}
	soak := Soak{Minutes: 30, Seed: 7, Done: map[string]int{"flood": 3}, Kept: true, Figures: []Figure{{Name: "memory", Unit: "MiB", First: 20, Last: 21, Slope: Slope{1, -1, 3}, Bound: 2}}}
	if err := WriteSoak(dir, soak); err != nil {
		t.Fatal(err)
	}
	if text, err = Fill(emptyPage, dir); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 were run, 5 times in all; the promises of 1 were kept", "| 3 | yes | 1 units, 2.0 s | a\\|b |", "| 2 | **broken in 1** |  |  |",
		"30 minutes, seed 7", "| flood | 3 |", "| memory, MiB | 20.0 | 21.0 | 1.00 (-1.00 to 3.00) | 2 | yes |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if again, err := Fill(text, dir); err != nil || again != text {
		t.Errorf("filled twice, it is another page: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "old-case.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Fill(text, dir); err == nil || !strings.Contains(err.Error(), "old-case.json") {
		t.Errorf("a result of no case: %v", err)
	}
}

// wave are samples of a figure that swings, and grows by so much an hour.
func wave(n int, growth float64) (list []Sample) {
	for i := range n {
		at := time.Duration(i) * 10 * time.Second
		list = append(list, Sample{At: at, Value: 100 + growth*at.Hours() + 3*math.Sin(float64(i))})
	}
	return list
}

func TestFitSlope(t *testing.T) {
	for _, growth := range []float64{-50, 0, 50} {
		s, err := FitSlope(wave(360, growth))
		if err != nil || s.Low > growth || s.High < growth || s.High-s.Low > 10 {
			t.Errorf("growth %v: %v, %v", growth, s, err)
		}
	}
	if s, err := FitSlope(wave(360, 50)); err != nil || s.Flat(1) || !s.Flat(1000) {
		t.Errorf("%v, %v; want it not flat", s, err)
	}
	if s, err := FitSlope(wave(360, 0)); err != nil || !s.Flat(0) {
		t.Errorf("%v, %v; want it flat", s, err)
	}
	if _, err := FitSlope(wave(2*blocks-1, 0)); err == nil {
		t.Error("few samples: no error")
	}
	if _, err := FitSlope(make([]Sample, 100)); err == nil {
		t.Error("samples of one time: no error")
	}
	// A textbook's line: x 1 to 5, y 2 4 5 4 5 has slope 0.6 with standard error 0.2828, and t(0.975; 3) is 3.1824.
	s, err := fit([]float64{1, 2, 3, 4, 5}, []float64{2, 4, 5, 4, 5})
	if err != nil || math.Abs(s.PerHour-0.6) > 1e-9 || math.Abs(s.High-1.5001) > 1e-3 {
		t.Errorf("%v, %v", s, err)
	}
}
