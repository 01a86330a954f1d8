//go:build integration

package lttng_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// startApp builds the application of testdata/ustapp and starts it; the caller's test ends it.
func startApp(t *testing.T, rounds, pauseMicroseconds int) *exec.Cmd {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ustapp")
	source := filepath.Join("..", "testdata", "ustapp")
	build := exec.CommandContext(t.Context(), "gcc", "-O2", "-I", source, "-o", binary, filepath.Join(source, "ustapp.c"),
		"-llttng-ust", "-ldl", "-lm", "-lpthread")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build ustapp: %v\n%s", err, out)
	}
	app := exec.Command(binary, fmt.Sprint(rounds), "1", fmt.Sprint(pauseMicroseconds))
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = app.Process.Kill()
		_ = app.Wait()
	})
	return app
}

// needDaemon starts a session daemon where none answers, and ends it with the test.
func needDaemon(t *testing.T) {
	t.Helper()
	if lttng.Alive() {
		return
	}
	daemon := exec.Command("lttng-sessiond")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(os.Interrupt)
		_ = daemon.Wait()
	})
	for end := time.Now().Add(20 * time.Second); !lttng.Alive(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("lttng-sessiond does not answer")
		}
	}
}

func config(t *testing.T, pid int) lttng.Config {
	return lttng.Config{
		Name: fmt.Sprintf("virtsentry-test-%d", pid), Output: filepath.Join(t.TempDir(), "out"), RemoveOutput: true,
		PID: pid, Events: []string{"fields:*"},
	}
}

func listed(t *testing.T, name string) bool {
	t.Helper()
	sessions, err := lttng.Sessions()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sessions {
		if s.Name == name {
			return true
		}
	}
	return false
}

func TestIntegrationSession(t *testing.T) {
	needDaemon(t)
	app := startApp(t, 1<<30, 5000)
	startApp(t, 1<<30, 5000) // a stranger, which is not traced
	cfg := config(t, app.Process.Pid)
	s, err := lttng.NewSession(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Destroy() }()
	if !listed(t, cfg.Name) {
		t.Error("the session is not listed")
	}
	if _, err := lttng.NewSession(cfg); !errors.Is(err, lttng.ErrSessionExists) {
		t.Errorf("a second session of that name: %v; want ErrSessionExists", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		total += readChunk(t, s, t.Context(), app.Process.Pid)
	}
	// A call that gives up waiting leaves its chunk to the next.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if chunk, err := s.Rotate(ended); err == nil {
		t.Logf("the rotation was done at once: %s", chunk)
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("Rotate with a context that is over = %v", err)
	}
	total += readChunk(t, s, t.Context(), app.Process.Pid)
	if total == 0 {
		t.Error("no events of a process that makes some all the time")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
	if err := s.Destroy(); err != nil {
		t.Errorf("Destroy of what is gone = %v", err)
	}
	if listed(t, cfg.Name) {
		t.Error("the session is still listed")
	}
	if _, err := os.Stat(cfg.Output); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("output directory is left: %v", err)
	}
	if _, err := s.Rotate(t.Context()); !errors.Is(err, lttng.ErrNoSession) {
		t.Errorf("Rotate of what is gone = %v; want ErrNoSession", err)
	}
}

// readChunk rotates and counts the chunk's events. Only the process of that PID may be in it.
func readChunk(t *testing.T, s *lttng.Session, ctx context.Context, pid int) (events uint64) {
	t.Helper()
	chunk, err := s.Rotate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob(filepath.Join(chunk, "ust", "pid", "*"))
	if err != nil || len(processes) != 1 {
		t.Errorf("processes in the chunk: %v, %v; want one", processes, err)
	}
	if own, _ := filepath.Match(fmt.Sprintf("*-%d-*", pid), filepath.Base(processes[0])); !own {
		t.Errorf("process in the chunk: %v; want PID %d", processes, pid)
	}
	file, err := unit.Cut(chunk, unit.Counts)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range file.Units {
		for _, n := range u.Counts {
			events += n
		}
	}
	return events
}

func TestIntegrationProcessThatEnds(t *testing.T) {
	needDaemon(t)
	app := startApp(t, 50, 10000)
	s, err := lttng.NewSession(config(t, app.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Destroy() }()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := app.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if readChunk(t, s, t.Context(), app.Process.Pid) == 0 {
		t.Error("no events of a process that has ended")
	}
}

// Events that are disabled are not recorded until they are enabled again; others are all the time.
func TestDisable(t *testing.T) {
	needDaemon(t)
	app := startApp(t, 1_000_000, 5_000)
	time.Sleep(time.Second)
	cfg := config(t, app.Process.Pid)
	cfg.Events = []string{"fields:begin", "fields:end"}
	s, err := lttng.NewSession(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	hits := func() (begin, end uint64) {
		time.Sleep(500 * time.Millisecond)
		chunk, err := s.Rotate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		units, err := unit.Cut(chunk, unit.Counts)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range units.Units {
			for i, name := range units.Features {
				switch name {
				case "fields:begin":
					begin += u.Counts[i]
				case "fields:end":
					end += u.Counts[i]
				}
			}
		}
		return begin, end
	}
	if begin, end := hits(); begin == 0 || end == 0 {
		t.Fatalf("enabled: %d, %d hits", begin, end)
	}
	if err := s.Disable([]string{"fields:begin"}); err != nil {
		t.Fatal(err)
	}
	hits() // with what was recorded before
	if begin, end := hits(); begin != 0 || end == 0 {
		t.Errorf("disabled: %d hits of the event, %d of another", begin, end)
	}
	if err := s.Enable([]string{"fields:begin"}); err != nil {
		t.Fatal(err)
	}
	hits()
	if begin, end := hits(); begin == 0 || end == 0 {
		t.Errorf("enabled again: %d, %d hits", begin, end)
	}
	if err := s.Disable([]string{"fields:nothing at all"}); err == nil {
		t.Error("an event that is not of the session was disabled")
	}
}
