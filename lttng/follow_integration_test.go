//go:build integration

package lttng_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/ctf"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// What is followed is what a rotation gives: two sessions record one process, one is followed, and the other read as a whole.
func TestFollow(t *testing.T) {
	needDaemon(t)
	app := startApp(t, 1_000_000, 3_000)
	time.Sleep(time.Second) // it registers
	begin := func(name string, timer time.Duration) *lttng.Session {
		cfg := config(t, app.Process.Pid)
		cfg.Name, cfg.SwitchTimer, cfg.Events = name, timer, []string{"fields:begin", "fields:texts", "fields:end"}
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
		return s
	}
	whole, followed := begin("virtsentry-test-whole", 0), begin("virtsentry-test-followed", 200*time.Millisecond)
	features := []string{"fields:begin", "fields:texts", "fields:end"}
	cut, all := unit.NewCutter(features), unit.NewCutter(features)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	chunk, err := followed.Rotate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := ctf.FindTraces(chunk)
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	first, err := ctf.Open(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	from, ok := first.Span()
	if !ok {
		t.Fatal("nothing was recorded")
	}
	cut.Begin(from)
	all.Begin(from)
	if err := cut.ReadTrace(chunk); err != nil {
		t.Fatal(err)
	}
	f := followed.Follower()
	if err := f.Begin(); err != nil {
		t.Fatal(err)
	}
	parts := 0
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(150 * time.Millisecond) {
		dir, some, err := f.New()
		if err != nil {
			t.Fatal(err)
		}
		parts += len(some)
		if err := cut.ReadParts(dir, some); err != nil {
			t.Fatal(err)
		}
		if err := f.Free(dir, some); err != nil {
			t.Fatal(err)
		}
	}
	if parts < 10 {
		t.Errorf("%d parts were read while it recorded", parts)
	}
	if consumer, err := lttng.Consumer(app.Process.Pid); err != nil || consumer.Pid == app.Process.Pid {
		t.Errorf("consumer %v, %v", consumer, err)
	} else {
		_ = consumer.Release()
	}
	if chunk, err = followed.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	dir, rest, err := f.Rest(chunk)
	if err != nil {
		t.Fatal(err)
	}
	if err := cut.ReadParts(dir, rest); err != nil {
		t.Fatal(err)
	}
	if err := whole.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if chunk, err = whole.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := all.ReadTrace(chunk); err != nil {
		t.Fatal(err)
	}
	last, _ := cut.LastTime()
	want, got := all.End(last), cut.End(last)
	if len(got) < 4 {
		t.Fatalf("%d units", len(got))
	}
	// The sessions do not begin or end at one time.
	if diff := cmp.Diff(want[1:len(want)-1], got[1:len(got)-1]); diff != "" || cut.Late() > 0 {
		t.Errorf("late: %d; (-whole +followed):\n%s", cut.Late(), diff)
	}
}
