package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

func evaluationPlan(t *testing.T, s Spans) []Step {
	t.Helper()
	steps, err := EvaluationPlan(s)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestEvaluationPlan(t *testing.T) {
	steps := evaluationPlan(t, FullSpans)
	if err := checkSteps(steps); err != nil {
		t.Error(err)
	}
	have := make(map[string]int)
	seeds := make(map[uint64]string)
	for _, s := range steps {
		have[s.Kind+" "+s.Strength+" "+s.Scenario]++
		if (s.Kind == KindStress) != (s.Load.Sessions == 0) {
			t.Errorf("%s: load %+v", s.Name, s.Load)
		}
		if s.Load.Seed != 0 && seeds[s.Load.Seed] != "" {
			t.Errorf("%s has the seed of %s", s.Name, seeds[s.Load.Seed])
		}
		seeds[s.Load.Seed] = s.Name
		if _, err := s.Load.config(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if err := checkFor(s.For); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if s.Kind == KindAnomaly {
			name, side, _ := strings.Cut(s.Scenario, "_")
			a := Attack{Name: name, Side: Side(side), For: s.For, Rate: s.Rate}
			if _, _, err := a.resolve(WebAddr); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
			if strong := RateOf(name).Target; s.Strength == Weak && s.Rate >= strong {
				t.Errorf("%s: rate %d, no weaker than %d", s.Name, s.Rate, strong)
			}
		}
	}
	want := map[string]int{
		"train  normal": 1, "normal  normal": 2, "peak  normal": 2, "stress  idle": 1, "stress  stress_memory": 1,
		"stress  stress_io": 1, "stress  stress_disk": 1, "stress  stress_network": 1,
	}
	for _, name := range AttackNames() {
		for _, strength := range []string{Weak, Strong} {
			want["anomaly "+strength+" "+name+"_target"] = 1
			want["anomaly "+strength+" "+name+"_source"] = 1
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	if again := evaluationPlan(t, FullSpans); cmp.Diff(steps, again) != "" {
		t.Error("the plan is another one the second time")
	}
}

func TestEvaluationPlanSpans(t *testing.T) {
	for _, s := range evaluationPlan(t, ShortSpans) {
		if s.For > time.Minute {
			t.Errorf("%s takes %v", s.Name, s.For)
		}
	}
	for _, s := range []Spans{{}, {Normal: time.Minute}, {Normal: time.Second, Each: time.Minute}, {Normal: time.Minute, Each: MaxFor}} {
		if _, err := EvaluationPlan(s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}

func TestCheckSteps(t *testing.T) {
	for _, names := range [][]string{{""}, {".."}, {"a/b"}, {"a", "a"}, {ManifestFile}, {"A"}, {"-a"}} {
		var steps []Step
		for _, n := range names {
			steps = append(steps, Step{Name: n})
		}
		if checkSteps(steps) == nil {
			t.Errorf("%q: no error", names)
		}
	}
}

// made puts a step's recording into dir as a run does.
func made(t *testing.T, dir string, m *Manifest, s Step) {
	t.Helper()
	r := s.recorded()
	r.Files = make(map[string]string)
	if err := os.MkdirAll(filepath.Join(dir, s.Name), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range planFiles {
		r.Files[name] = filepath.Join(s.Name, name+".csv")
		if err := os.WriteFile(filepath.Join(dir, r.Files[name]), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m.put(r)
	if err := m.write(dir); err != nil {
		t.Fatal(err)
	}
}

func TestResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	steps := evaluationPlan(t, FullSpans)
	first, err := openManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps[:4] {
		made(t, dir, first, s)
	}
	if err := os.Remove(filepath.Join(dir, steps[3].Name, FileSyscalls+".csv")); err != nil {
		t.Fatal(err)
	}
	m, err := openManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	other := steps[2]
	other.Rate++
	for name, c := range map[string]struct {
		step Step
		want bool
	}{
		"complete": {steps[0], true}, "with an attack": {steps[2], true}, "other rate": {other, false},
		"without a file": {steps[3], false}, "not made": {steps[4], false},
		"other span": {evaluationPlan(t, ShortSpans)[0], false},
	} {
		if got := m.complete(dir, c.step, planFiles); got != c.want {
			t.Errorf("%s: complete %v", name, got)
		}
	}
	if got, want := m.left(dir, steps[:5], planFiles), steps[3].For+steps[4].For+2*stepOverhead; got != want {
		t.Errorf("left %v, want %v", got, want)
	}
}

// A run over a directory in which all is complete needs no guest.
func TestRunPlanSkips(t *testing.T) {
	bin := t.TempDir()
	for _, tool := range []string{"qemu", "lttng"} {
		if err := os.WriteFile(filepath.Join(bin, tool), []byte("#!/bin/sh\necho "+tool+" 1.0\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	l := testLab(t)
	st, err := l.loadState()
	if err != nil {
		t.Fatal(err)
	}
	st.QEMU = filepath.Join(bin, "qemu")
	if err := l.saveState(st); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	m, err := openManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	steps := evaluationPlan(t, ShortSpans)
	for _, s := range steps[1:] {
		made(t, dir, m, s)
	}
	var skipped []string
	run := PlanRun{Steps: steps[1:], Output: dir, Begun: func(p PlanProgress) {
		if p.Skipped {
			skipped = append(skipped, p.Step.Name)
		}
	}}
	if err := l.RunPlan(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if len(skipped) != len(steps)-1 {
		t.Errorf("%d of %d skipped", len(skipped), len(steps)-1)
	}
	run.Steps = steps
	if err := l.RunPlan(t.Context(), run); err == nil || !strings.Contains(err.Error(), steps[0].Name) {
		t.Errorf("no guest to record: %v", err)
	}
	if len(skipped) != 2*(len(steps)-1) {
		t.Errorf("the run did not go on after a recording that failed: %d skipped", len(skipped))
	}
	after, err := ReadManifest(dir)
	if err != nil || len(after.Recordings) != len(steps)-1 {
		t.Errorf("the failed run left %d recordings, %v", len(after.Recordings), err)
	}
}

func TestRefusesForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openManifest(dir); err == nil {
		t.Error("a directory with something else in it: no error")
	}
	if err := os.Rename(filepath.Join(dir, "letter"), filepath.Join(dir, PriceFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := openManifest(dir); err != nil {
		t.Errorf("a directory with prices: %v", err)
	}
}

func TestReadManifestRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":         "",
		"no JSON":       "{",
		"other format":  `{"format": 2, "recordings": []}`,
		"unknown field": `{"format": 1, "recordings": [], "more": 1}`,
		"no name":       `{"format": 1, "recordings": [{}]}`,
		"path as name":  `{"format": 1, "recordings": [{"name": "../x"}]}`,
		"twice":         `{"format": 1, "recordings": [{"name": "x"}, {"name": "x"}]}`,
		"file outside":  `{"format": 1, "recordings": [{"name": "x", "files": {"paper": "/etc/passwd"}}]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ManifestFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadManifest(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUnitsOfRecording(t *testing.T) {
	units := func(starts ...int64) (us []unit.Unit) {
		for _, s := range starts {
			us = append(us, unit.Unit{Start: s * 1e9, Duration: 2e9, Counts: []uint64{uint64(s)}})
		}
		return us
	}
	span := units(2, 4, 6, 8, 10)
	span[0].Duration = 1e9
	if diff := cmp.Diff(units(6, 8), inner(span)); diff != "" {
		t.Error(diff)
	}
	for _, few := range [][]unit.Unit{nil, units(2), units(2, 4), span[:3]} {
		if got := inner(few); len(got) > 0 {
			t.Errorf("%v of %v", got, few)
		}
	}
	if diff := cmp.Diff(units(4, 6), within(units(0, 2, 4, 6, 10), units(4, 6, 8))); diff != "" {
		t.Error(diff)
	}
	span[1].Lost = 1
	if n := lossy(span); n != 1 {
		t.Errorf("%d lossy", n)
	}
}
