package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

// drawn draws results into a new directory and returns its files.
func drawn(t *testing.T, r evaluation.Results) map[string]string {
	t.Helper()
	dir := t.TempDir()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "results.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	figures := filepath.Join(dir, "figures")
	if err := run(path, figures); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(figures)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(figures, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(content)
	}
	return files
}

func TestDraw(t *testing.T) {
	half, one := 0.5, 1.0
	e := &model.Evaluation{MinSequenceFMeasure: &half, Scenarios: []model.ScenarioResult{{Name: "weak-synflood_target", FMeasure: 0.9}}}
	r := evaluation.Results{
		Curves: []evaluation.Curve{{Data: "plan", Set: "default", Points: []model.CurvePoint{
			{Units: 10, Blocks: 2, FalsePositiveRate: &half, Mean: &half, Least: &half, Most: &one}, {Units: 100},
		}}},
		Arms:     []evaluation.Arm{{Set: evaluation.SetDefault, Method: model.MethodDefault, Result: e}},
		Ablation: []evaluation.Ablated{{Name: "**everything**", Results: []evaluation.AblatedResult{{Corpus: "swing, weak", Result: e}}}},
	}
	files := drawn(t, r)
	for _, name := range []string{"learning", "effectiveness-weak", "ablation"} {
		if !strings.HasPrefix(files[name+".png"], "\x89PNG") || !strings.Contains(files[name+".svg"], "</svg>") {
			t.Errorf("%s was not drawn", name)
		}
	}
	if _, ok := files["effectiveness-strong.svg"]; ok {
		t.Error("strong attacks were drawn, and there are none")
	}
	if diff := cmp.Diff(files, drawn(t, r)); diff != "" {
		t.Error("drawn twice, it is not the same")
	}
	if files := drawn(t, evaluation.Results{}); len(files) != 0 {
		t.Errorf("%d figures of nothing", len(files))
	}
	if err := run("main.go", t.TempDir()); err == nil || !strings.Contains(err.Error(), "main.go") {
		t.Errorf("no results: %v", err)
	}
}
