package main

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/model/evaluation"
)

func TestReadJobs(t *testing.T) {
	at := func(clock string) time.Time {
		parsed, err := time.Parse(time.RFC3339, "2026-11-22T04:"+clock+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	lines := "2026-11-22T04:30:00Z # seed 5, pace 1\n2026-11-22T04:31:00Z 0 script begin\n2026-11-22T04:32:00Z 1 minute begin\n" +
		"2026-11-22T04:32:10Z 2 backup begin\n2026-11-22T04:32:30Z 1 minute end 0\n2026-11-22T04:40:00Z 3 five begin\n"
	got, err := readJobs(bufio.NewScanner(strings.NewReader(lines)))
	if err != nil {
		t.Fatal(err)
	}
	want := []evaluation.Job{
		{Name: "minute", From: at("32:00"), To: at("32:30")},
		{Name: "backup", From: at("32:10"), To: at("40:00")},
		{Name: "five", From: at("40:00"), To: at("40:00")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readJobs(bufio.NewScanner(strings.NewReader("yesterday 1 minute begin\n"))); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a wrong time: %v", err)
	}
}

// The recordings that are there are read, and every table has its place in the page.
func TestReadEvaluation(t *testing.T) {
	data, err := readEvaluation(filepath.Join("..", "..", "testdata", "units"))
	if err != nil {
		t.Fatal(err)
	}
	if len(data.Swing) != 10 || len(data.Plan) == 0 || len(data.Guests) == 0 {
		t.Errorf("%d recordings of swing, %d of the plan, %d guests", len(data.Swing), len(data.Plan), len(data.Guests))
	}
	for _, r := range data.Plan {
		for set, recordings := range data.Sets {
			if n := len(recordings[r.Name].Units); n != r.Units {
				t.Errorf("%s, set %s: %d units, want %d", r.Name, set, n, r.Units)
			}
		}
	}
	if _, _, err := fillPage(filepath.Join("..", "..", "model", "EVALUATION.md"), (&evaluation.Results{}).Tables()); err != nil {
		t.Error(err)
	}
}

func TestEvaluationErrors(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	try := func(want string) {
		t.Helper()
		if _, err := readEvaluation(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	try("no recordings")
	put("evaluation/manifest.json", `{"format": 2}`)
	try("format 2")
	put("evaluation/manifest.json", `{"format": 1, "recordings": [{"name": "train", "files": {"default": "../../secret.csv"}}]}`)
	try("outside")
	put("evaluation/manifest.json", `{"format": 1, "recordings": [{"name": "train", "files": {"default": "train.csv"}}]}`)
	try("train.csv")
	put("evaluation/manifest.json", `{"format": 1}`)
	put("everyday/everyday.csv", "start_ns,duration_ns,lost,a\n2000000000,2000000000,0,1\n")
	try("time line")
	put("everyday/everyday.log", "")
	f := evaluationFlags{check: filepath.Join(dir, "page.md"), engine: "libsvm-go"}
	put("page.md", "no place\n")
	if err := f.run(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), "places for table") {
		t.Errorf("a page without places: %v", err)
	}
	var page strings.Builder
	for name := range (&evaluation.Results{}).Tables() {
		page.WriteString("<!-- table: " + name + " -->\n<!-- end of table -->\n")
	}
	put("page.md", page.String())
	if err := f.run(t.Context(), dir, nil); !errors.Is(err, errStale) {
		t.Errorf("a stale page: %v", err)
	}
	f.page, f.check = f.check, ""
	if err := f.run(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	f.page, f.check = "", f.page
	if err := f.run(t.Context(), dir, nil); err != nil {
		t.Errorf("the page that was just written: %v", err)
	}
}
