package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

const traces = "../../testdata/traces"

// recorded lists the recorded traces.
func recorded(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(traces, "*.units.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no units of recorded traces: %v", err)
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(filepath.Base(file), ".units.csv")
	}
	return names
}

func unitsOf(t *testing.T, name string) string {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(traces, name+".units.csv"))
	if err != nil {
		t.Fatal(err)
	}
	return string(want)
}

func TestReplay(t *testing.T) {
	for _, name := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "units.csv")
			said, _, err := run(t.Context(), "replay", filepath.Join(traces, name), "--units", out, "--features", "counts")
			if err != nil || said != "" {
				t.Fatalf("said %q, %v", said, err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(unitsOf(t, name), string(got)); diff != "" {
				t.Errorf("(-golden +got):\n%s", diff)
			}
		})
	}
}

// What is no regular file is written directly, and is the same file afterwards.
func TestReplayToDevice(t *testing.T) {
	link := filepath.Join(t.TempDir(), "null")
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{os.DevNull, link} {
		if _, _, err := run(t.Context(), "replay", filepath.Join(traces, "fields"), "--units", path); err != nil {
			t.Errorf("to %s: %v", path, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Type() != os.ModeDevice|os.ModeCharDevice {
			t.Errorf("%s has become %v, %v", path, info, err)
		}
	}
}

func TestReplayToPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, _, err := run(t.Context(), "replay", filepath.Join(traces, "fields"), "--units", path)
		done <- err
	}()
	pipe, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(pipe)
	_ = pipe.Close()
	if err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(unitsOf(t, "fields"), string(got)); diff != "" {
		t.Errorf("(-golden +got):\n%s", diff)
	}
}

func TestReplayToFullDevice(t *testing.T) {
	if _, code, err := run(t.Context(), "replay", filepath.Join(traces, "fields"), "--units", "/dev/full"); code != exitFailure || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("exit status %d, %v", code, err)
	}
}

// countsVersion is what the set "counts" is now.
var countsVersion = func() string {
	set, err := catalogue.Load(catalogue.CountsSet)
	if err != nil {
		panic(err)
	}
	return set.Version()
}()

// profileOf writes the file of a profile that was learnt from steady counts of some features, around 20 a unit.
func profileOf(t *testing.T, features ...string) string {
	t.Helper()
	data := model.Dataset{Features: features}
	for i := range 60 {
		r := model.Row{Start: int64(i) * int64(unit.Width)}
		for j := range features {
			r.Values = append(r.Values, float64(18+(i*7+j*3)%5))
		}
		data.Rows = append(data.Rows, r)
	}
	p, err := model.Train(libsvmgo.Engine{}, data, model.Options{Domain: model.Domain{Name: "web"}, Catalogue: countsVersion, Created: noon})
	if err != nil {
		t.Fatal(err)
	}
	file, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "web.profile")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A guest that idles in its boot loader does not do what the profile knows.
func TestReplayByProfile(t *testing.T) {
	profile := profileOf(t, "tap_send", "apic_local_deliver", "memory_region_ops_write")
	trace, out := filepath.Join(traces, "boot"), filepath.Join(t.TempDir(), "units.csv")
	for _, tc := range []struct {
		golden string
		args   []string
	}{
		{"replay-boot.txt", []string{"--profile", profile}},
		{"replay-boot.txt", []string{"--profile", profile, "--units", out}},
	} {
		got, _, err := run(t.Context(), append([]string{"replay", trace}, tc.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, tc.golden, got)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(unitsOf(t, "boot"), string(got)); diff != "" {
		t.Errorf("units (-golden +got):\n%s", diff)
	}
	lines, _, err := run(t.Context(), "replay", trace, "--profile", profile, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for line := range strings.Lines(lines) {
		var u control.UnitReport
		if err := json.Unmarshal([]byte(line), &u); err != nil || !u.Judged || !u.Anomalous || u.Name != "web" || len(u.Explain) != 3 || u.Counts["apic_local_deliver"] == 0 {
			t.Errorf("%s: %v", line, err)
		}
		states = append(states, u.State)
	}
	if diff := cmp.Diff([]string{"normal", "suspect", "anomalous", "anomalous"}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if _, code, err := run(t.Context(), "replay", trace, "--profile", profileOf(t, "tap_send")); code != exitFailure || !strings.Contains(err.Error(), "none of the features") {
		t.Errorf("by a profile of other events: exit status %d, %v", code, err)
	}
}

// Units are judged as the daemon judges them: partial ones not, and those with losses by what they may have been.
func TestJudgedUnits(t *testing.T) {
	data, err := os.ReadFile(profileOf(t, "tap_send", "virtio_notify"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := model.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	// In another order than the profile's, with an event that it does not know.
	f := unit.File{Features: []string{"virtio_notify", "unknown", "tap_send"}}
	for i, u := range []unit.Unit{
		{Counts: []uint64{20, 9999, 21}},
		{Counts: []uint64{20, 0, 900}},
		{Counts: []uint64{5, 0, 5}, Lost: 40}, // it may have been an ordinary one
		{Counts: []uint64{20, 0, 900}, Lost: 40},
		{Counts: []uint64{900, 0, 900}, Duration: 1},
		{Counts: []uint64{20, 0, 900}},
	} {
		if u.Start = int64(i) * int64(unit.Width); u.Duration == 0 {
			u.Duration = int64(unit.Width)
		}
		f.Units = append(f.Units, u)
	}
	var out bytes.Buffer
	set, _, err := setOf(countsVersion, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := judgeUnits(&out, "table", p, set, f); err != nil {
		t.Fatal(err)
	}
	golden(t, "replay-units.txt", out.String())
}

// Of units that lost events nobody says that they are normal.
func TestJudgedLossyUnits(t *testing.T) {
	data, err := os.ReadFile(profileOf(t, "tap_send"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := model.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	f := unit.File{Features: []string{"tap_send"}}
	for i := range 5 {
		f.Units = append(f.Units, unit.Unit{Start: int64(i) * int64(unit.Width), Duration: int64(unit.Width), Lost: 1000, Counts: []uint64{0}})
	}
	var out bytes.Buffer
	set, _, err := setOf(countsVersion, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := judgeUnits(&out, "json", p, set, f); err != nil {
		t.Fatal(err)
	}
	var states []string
	for line := range bytes.Lines(out.Bytes()) {
		var u control.UnitReport
		if err := json.Unmarshal(line, &u); err != nil {
			t.Fatal(err)
		}
		states = append(states, u.State)
	}
	if diff := cmp.Diff([]string{"starting", "starting", "unknown", "unknown", "unknown"}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}
