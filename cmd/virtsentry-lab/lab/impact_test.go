package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

func TestParseTold(t *testing.T) {
	const text = "sysbench 1.0\nat 10.500000000 2 0\nnoise\nat 11.000000001 4 0\n"
	want := []Done{{time.Unix(9, 5e8), 2}, {time.Unix(10, 1), 4}}
	if got, err := parseTold(text, time.Second); err != nil || !cmp.Equal(want, got) {
		t.Error(got, err)
	}
	const steps = "at 10.000000000 2 0\nat 11.000000000 2 1\nat 13.000000000 2 2\nat 14.000000000 3 0\nat 16.000000000 3 1\nat 17.000000000 3 2\nat 18.000000000 4 0\n"
	want = nil
	for i, work := range []float64{2, 2 + 3.0/8, 2 + 6.0/8, 3, 3 + 3.0/8, 3 + 6.0/8, 4} { // both steps took three of eight seconds
		want = append(want, Done{time.Unix([]int64{10, 11, 13, 14, 16, 17, 18}[i], 0), work})
	}
	if got, err := parseTold(steps, 0); err != nil || !cmp.Equal(want, got) {
		t.Error(got, err)
	}
	for name, bad := range map[string]string{
		"one": "at 10.500000000 2 0\n", "time goes back": text + "at 10.900000000 5 0\n", "work goes back": text + "at 12.000000000 3 0\n", "step goes back": steps + "at 19.000000000 4 0\n",
		"huge": text + "at 12.000000000 99999999999999999999 0\n",
	} {
		if _, err := parseTold(bad, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestIOBytes(t *testing.T) {
	if _, err := ioBytes(os.Getpid()); err != nil {
		t.Error(err)
	}
	if _, err := ioBytes(1 << 30); err == nil {
		t.Error("no such process: no error")
	}
}

func TestToggleObserved(t *testing.T) {
	toggle := testLab(t).ToggleObserved("none", evaluation.Off)
	for range 2 {
		if err := errors.Join(toggle.On(t.Context()), toggle.Off(t.Context()), toggle.Off(t.Context())); err != nil {
			t.Error(err)
		}
	}
	if err := toggle.On(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, err := toggle.Close(); err != nil {
		t.Error(err)
	}
	if err := testLab(t).ToggleObserved("none", ArmStrace).On(t.Context()); err == nil {
		t.Error("no such guest: no error")
	}
}

func TestAlone(t *testing.T) {
	if _, err := testLab(t).Alone(); !errors.Is(err, ErrNotUp) {
		t.Error(err)
	}
}

func TestDaemonConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.toml")
	var text bytes.Buffer
	if err := daemonConfig.Execute(&text, map[string]any{"URI": "qemu:///system?socket=/x", "Run": "/run/x", "Dir": "/run/y", "Guests": []string{"web"}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Read(file, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"web": true, "web-2": false} {
		if d, err := cfg.For(name, "", config.Override{}); err != nil || d.Watch != want {
			t.Errorf("%s: watched %v, %v", name, d.Watch, err)
		}
	}
}

// TestWatchEnds has a program that is no daemon.
func TestWatchEnds(t *testing.T) {
	l := testLab(t)
	program := filepath.Join(t.TempDir(), "daemon")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no luck >&2\nexec sleep 60\n"), 0o700); err != nil { //nolint:gosec // it is to run
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Watch(ctx, program, "web"); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Error(err)
	}
	left, err := filepath.Glob(l.path("watch-*"))
	if err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

func TestRead(t *testing.T) {
	l := testLab(t)
	r, err := l.Read([]string{"/bin/sh", "-c", `echo '{"pid":0}'; echo '{"pid":7,"start_ns":2,"events":3,"lost":1}'; exec sleep 60`}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ReadUnit{PID: 7, Start: 2, Events: 3, Lost: 1}, <-r.Units); diff != "" {
		t.Error(diff)
	}
	if err := r.End(); err == nil || !strings.Contains(err.Error(), "interrupt") { // a reader ends in order
		t.Error(err)
	}
	if _, err := l.Read([]string{"/bin/sh", "-c", "echo no luck >&2; exit 3"}, 7); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Error(err)
	}
	if _, err := l.Read([]string{"/bin/sh", "-c", "echo none"}, 7); err == nil {
		t.Error("no unit: no error")
	}
}

func TestDescendants(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "sleep 60 & wait")
	ownGroup(cmd)
	cmd.Cancel = nil
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var list []int
	for end := time.Now().Add(5 * time.Second); len(list) < 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		var err error
		if list, err = descendants(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}
	if len(list) != 2 || list[0] != cmd.Process.Pid {
		t.Error(list)
	}
	procs := make([]Proc, len(list))
	for i, pid := range list {
		var err error
		if procs[i], err = identify("", pid); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = cmd.Wait() }()
	if err := terminate(t.Context(), procs, killDelay); err != nil {
		t.Error(err)
	}
}
