package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
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
