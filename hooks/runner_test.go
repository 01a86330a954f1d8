package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

var update = flag.Bool("update", false, "write testdata/change.json anew")

const uuid = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"

// bench is a runner with a directory of hooks and one for what they write, which is the first word in each hook.
type bench struct {
	*Runner
	t    *testing.T
	dir  string // of hooks
	out  string
	logs *logtest.Hook
	stop func() // ends the runner, and returns when it has ended
}

func newBench(t *testing.T, cfg Config) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), out: t.TempDir()}
	cfg.Log, b.logs = logtest.NewNullLogger()
	cfg.Log.(*logrus.Logger).SetLevel(logrus.DebugLevel)
	if cfg.Dir == "" {
		cfg.Dir = b.dir
	}
	if cfg.Grace == 0 {
		cfg.Grace = time.Minute // so that stop means: when all has been done
	}
	b.Runner = New(cfg)
	b.stop = func() {}
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	b.stop = func() { cancel(); running.Wait() }
}

// hook writes an executable; OUT in its text stands for the directory b.out.
func (b *bench) hook(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll("#!/bin/sh\n"+text+"\n", "OUT", b.out)), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) read(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.out, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// await waits for what a hook writes.
func (b *bench) await(name string) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(filepath.Join(b.out, name)); err == nil && bytes.HasSuffix(text, []byte("\n")) {
			return
		}
	}
	b.t.Fatalf("no hook has written %s; log: %v", name, b.said())
}

// said is what was logged, with errors and outputs.
func (b *bench) said() []string {
	var lines []string
	for _, e := range b.logs.AllEntries() {
		line := fmt.Sprint(e.Level, ": ", e.Message)
		for _, key := range []string{"hook", "output", logrus.ErrorKey} {
			if v, ok := e.Data[key]; ok {
				line += fmt.Sprint("; ", v)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func (b *bench) expect(parts ...string) {
	b.t.Helper()
	for _, line := range b.said() {
		found := true
		for _, p := range parts {
			found = found && strings.Contains(line, p)
		}
		if found {
			return
		}
	}
	b.t.Errorf("nothing logged with %q; log: %q", parts, b.said())
}

func full() Change {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return Change{
		UUID: uuid, Name: "-web server", Host: "host1.example.org", State: "anomalous", Previous: "suspect", Since: at,
		Reason: &Reason{Code: "anomaly", Text: `packets <received> & "sent"`}, Coverage: "partial",
		Unseen:    []Unseen{{Kind: "interface", Name: "vnet1", Why: "its packets do not pass QEMU"}},
		Incidents: []Incident{{Kind: "anomaly", Since: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Text: "packets received"}},
		Unit:      &Unit{Start: at.Add(-2 * time.Second), Score: -1.25, PValue: 0.0025, Lost: 3},
		Features:  []Feature{{Name: "tap_send", Subsystem: "network", Words: "packets received by the guest", Seconds: 2, Observed: 2000, UsualLow: 10, UsualHigh: 90}},
	}
}

func TestWhatAHookGets(t *testing.T) {
	t.Setenv("SECRET", "of the daemon")
	b := newBench(t, Config{})
	b.hook("10-all", `printf '%s\n' "$0" "$@" >OUT/args; env >OUT/env; pwd >OUT/pwd; cat >OUT/input`)
	b.run()
	b.Notify(full())
	b.stop()
	// sh sees the path of the script as $0.
	if diff := cmp.Diff(filepath.Join(b.dir, "10-all")+"\n-web server\nanomalous\nanomaly\n-\n", b.read("args")); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if env := b.read("env"); strings.Contains(env, "SECRET") || !strings.Contains(env, "PATH=/usr") {
		t.Errorf("environment:\n%s", env)
	}
	if pwd := b.read("pwd"); pwd != "/\n" {
		t.Errorf("working directory %s", pwd)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(b.read("input")), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "change.json")
	if *update {
		if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("standard input (-want +got):\n%s", diff)
	}
	if lines := b.said(); len(lines) != 1 || lines[0] != "debug: hook was run; 10-all" {
		t.Errorf("log: %q", lines)
	}
}

func TestArgumentsWithoutReason(t *testing.T) {
	got := Change{Name: "web", State: "normal"}.arguments()
	if diff := cmp.Diff([]string{"web", "normal", "-", "-"}, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestHooksThatMisbehave(t *testing.T) {
	tests := map[string]struct {
		text string
		says []string
	}{
		"fails":           {`echo why >&2; exit 3`, []string{"warning: hook failed", "why", "exit status 3"}},
		"speaks":          {`echo hello`, []string{"info: hook said something", "hello"}},
		"reads nothing":   {`exec <&-; echo done`, []string{"info", "done"}},
		"floods":          {`head -c 3000000 /dev/zero | tr '\0' x`, []string{"info", "xxx [and 2995904 bytes]"}},
		"not text":        {`printf 'a\377b'`, []string{"info", "a\uFFFDb"}},
		"kills itself":    {`kill -9 $$`, []string{"warning: hook failed", "signal: killed"}},
		"kills its group": {`kill -9 0`, []string{"warning: hook failed", "signal: killed"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Config{})
			b.hook("hook", test.text)
			b.hook("next", `echo >OUT/next`)
			b.run()
			c := full()
			c.Reason.Text = strings.Repeat("long ", 1e5) // more than a pipe holds
			b.Notify(c)
			b.stop()
			b.expect(append(test.says, "hook")...)
			b.read("next")
		})
	}
}

func TestTimeoutEndsTheGroup(t *testing.T) {
	b := newBench(t, Config{Timeout: 2 * time.Second})
	b.hook("hook", `trap '' TERM INT HUP
sh -c 'trap "" TERM; echo $$ >OUT/child; while :; do sleep 1000; done' &
echo $$ >OUT/self
while :; do sleep 1000; done`)
	b.hook("next", `echo >OUT/next`)
	b.run()
	b.Notify(full())
	b.stop()
	b.expect("warning: hook took too long", "killed with its process group")
	b.read("next")
	for _, who := range []string{"self", "child"} {
		if text, err := os.ReadFile(filepath.Join(b.out, who)); err == nil { // or it was killed before it could write
			awaitGone(t, string(text))
		}
	}
}

func TestStragglersEndWithTheHook(t *testing.T) {
	b := newBench(t, Config{})
	b.hook("hook", `sleep 1000 & echo $! >OUT/child`)
	b.run()
	b.Notify(full())
	b.stop()
	b.expect("debug: hook was run")
	awaitGone(t, b.read("child"))
}

// TestEscape shows that a process which leaves the group and holds the hook's output holds up nobody.
func TestEscape(t *testing.T) {
	b := newBench(t, Config{})
	b.hook("hook", `setsid sh -c 'echo $$ >OUT/child; exec sleep 1000' & while [ ! -s OUT/child ]; do :; done; echo left`)
	b.run()
	b.Notify(full())
	b.stop()
	b.expect("info: hook said something", "left")
	pid, err := strconv.Atoi(strings.TrimSpace(b.read("child")))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the process that left was ended too: %v", err)
	}
}

// awaitGone waits until a process is gone, or a zombie that somebody else has to bury.
func awaitGone(t *testing.T, pid string) {
	t.Helper()
	path := filepath.Join("/proc", strings.TrimSpace(pid), "stat")
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(path)
		if err != nil || bytes.Contains(text, []byte(") Z ")) {
			return
		}
	}
	t.Errorf("process %s still runs", pid)
}

func TestOrderAndConcurrency(t *testing.T) {
	const domains, changes, limit = 6, 8, 3
	b := newBench(t, Config{Concurrency: limit})
	b.hook("10-count", `: >OUT/running.$$; ls OUT | grep -c running. >>OUT/counts; sleep 0.02; rm OUT/running.$$`)
	b.hook("20-list", `echo "$2" >>"OUT/list.$1"`)
	b.run()
	want := ""
	for i := range changes {
		for d := range domains {
			b.Notify(Change{UUID: fmt.Sprint(d), Name: fmt.Sprint(d), State: fmt.Sprint(i)})
		}
		want += fmt.Sprintln(i)
	}
	b.stop()
	for d := range domains {
		if diff := cmp.Diff(want, b.read(fmt.Sprint("list.", d))); diff != "" {
			t.Errorf("domain %d (-want +got):\n%s", d, diff)
		}
	}
	counts := strings.Fields(b.read("counts"))
	for _, c := range counts {
		if n, err := strconv.Atoi(c); err != nil || n > limit {
			t.Errorf("%s hooks ran at once; want %d at most", c, limit)
		}
	}
	if len(counts) != domains*changes || b.Dropped() != 0 {
		t.Errorf("%d hooks run, %d changes dropped; want %d, 0", len(counts), b.Dropped(), domains*changes)
	}
}

func TestFullQueue(t *testing.T) {
	b := newBench(t, Config{Queue: 3})
	b.hook("hook", `[ "$2" != first ] || { echo >OUT/started; while [ ! -e OUT/go ]; do sleep 0.01; done; }; cat >>OUT/input`)
	b.run()
	b.Notify(Change{UUID: uuid, Name: "web", State: "first"})
	b.await("started")
	for i := range 8 {
		b.Notify(Change{UUID: uuid, Name: "web", State: fmt.Sprint(i)})
	}
	if err := os.WriteFile(filepath.Join(b.out, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.stop()
	var got []string
	for line := range strings.Lines(b.read("input")) {
		var c Change
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(c.State, " missed ", c.Missed))
	}
	if diff := cmp.Diff([]string{"first missed 0", "5 missed 5", "6 missed 0", "7 missed 0"}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if b.Dropped() != 5 {
		t.Errorf("Dropped = %d; want 5", b.Dropped())
	}
	b.expect("warning: hooks are too slow")
}

func TestManyDomains(t *testing.T) {
	b := newBench(t, Config{})
	for i := range maxDomains + 2 {
		b.Notify(Change{UUID: fmt.Sprint(i)})
	}
	if b.Dropped() != 2 {
		t.Errorf("Dropped = %d; want 2", b.Dropped())
	}
}

func TestEndWithoutTimeLeft(t *testing.T) {
	b := newBench(t, Config{Grace: time.Millisecond})
	b.hook("10-hang", `echo >OUT/started; exec sleep 1000`)
	b.hook("20-next", `echo >OUT/next`)
	b.run()
	b.Notify(full())
	b.await("started")
	b.Notify(full())
	b.Notify(full())
	b.stop()
	b.Notify(full())
	if b.Dropped() != 3 {
		t.Errorf("Dropped = %d; want 3", b.Dropped())
	}
	b.expect("10-hang", "killed with its process group", "context canceled")
	b.expect("20-next", "not run")
	b.expect("no time was left")
}

func TestNoJSON(t *testing.T) {
	b := newBench(t, Config{})
	b.hook("hook", `echo >OUT/run`)
	b.run()
	c := full()
	c.Unit.Score = math.NaN()
	b.Notify(c)
	b.stop()
	b.expect("error: hooks were not run", "NaN")
}

func TestNoDirectory(t *testing.T) {
	b := newBench(t, Config{Dir: filepath.Join(t.TempDir(), "none")})
	b.run()
	b.Notify(full())
	b.stop()
	if lines := b.said(); len(lines) > 0 {
		t.Errorf("log: %q", lines)
	}
}
