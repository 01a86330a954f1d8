package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKeepGuard(t *testing.T) {
	dir := t.TempDir()
	line := func(session string) string {
		return `{"session":"` + session + `","output":"` + filepath.Join(dir, session) + "\"}\n"
	}
	for name, tc := range map[string]struct {
		told string
		fail error
		left []string // sessions that are ended, each twice
		want string   // error
	}{
		"nothing":             {},
		"all were ended":      {told: line("virtsentryd-a") + `{"session":"virtsentryd-a"}` + "\n"},
		"one was not":         {told: line("virtsentryd-a") + line("virtsentryd-b") + `{"session":"virtsentryd-a"}` + "\n", left: []string{"virtsentryd-b", "virtsentryd-b"}},
		"cut off":             {told: line("virtsentryd-a") + `{"session":"virtsentryd-`, left: []string{"virtsentryd-a", "virtsentryd-a"}},
		"other programs'":     {told: line("auto-1") + `{"session":"virtsentryd-a","output":"/etc"}` + "\n" + `{"session":"virtsentryd-/../x","output":"/x"}` + "\nnonsense\n"},
		"it cannot be ended":  {told: line("virtsentryd-a"), fail: errors.New("no session daemon"), left: []string{"virtsentryd-a", "virtsentryd-a"}, want: "no session daemon"},
		"relative directory":  {told: `{"session":"virtsentryd-a","output":"virtsentryd-a"}` + "\n"},
		"another's directory": {told: `{"session":"virtsentryd-a","output":"` + dir + `/virtsentryd-b"}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var ended []string
			for _, s := range tc.left {
				if err := os.MkdirAll(filepath.Join(dir, s, "chunk"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			destroy := func(session string) error {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, session)
				return tc.fail
			}
			err := keepGuard(strings.NewReader(tc.told), destroy, quiet())
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("keepGuard = %v; want %q", err, tc.want)
			}
			if diff := cmp.Diff(tc.left, ended); diff != "" {
				t.Error(diff)
			}
			for _, s := range tc.left {
				if _, err := os.Stat(filepath.Join(dir, s)); err == nil {
					t.Errorf("the directory of %s is left", s)
				}
			}
		})
	}
}

// The guard's process is there as long as there is something to watch over, and another one when it was killed.
func TestGuardProcess(t *testing.T) {
	told := filepath.Join(t.TempDir(), "told")
	g := &guard{log: quiet(), sessions: map[string]string{}, command: func() *exec.Cmd { return exec.Command("sh", "-c", `exec cat >>"$0"`, told) }}
	watch := func(name string) {
		t.Helper()
		if err := g.Watch(name, "/run/"+name); err != nil {
			t.Fatal(err)
		}
	}
	watch("virtsentryd-a")
	watch("virtsentryd-b")
	first := g.process.Process
	g.Release("virtsentryd-a")
	if err := first.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for tries := 0; g.process.Process == first; tries++ { // until the pipe is known to be broken
		if tries == 500 {
			t.Fatal("the guard was killed and nobody saw it")
		}
		watch("virtsentryd-c")
		time.Sleep(10 * time.Millisecond)
	}
	g.Release("virtsentryd-b")
	g.Release("virtsentryd-c")
	if g.process != nil || len(g.sessions) != 0 {
		t.Errorf("a guard of %v is left", g.sessions)
	}
	text, err := os.ReadFile(told)
	for _, want := range []string{`{"session":"virtsentryd-b","output":"/run/virtsentryd-b"}`, `{"session":"virtsentryd-c"}`} {
		if err != nil || !strings.Contains(string(text), want+"\n") {
			t.Errorf("told %s, %v; want %s in it", text, err, want)
		}
	}
	if err := g.Watch("auto-1", "/run/auto-1"); err == nil {
		t.Error("it watches over another program's session")
	}
	g.command = func() *exec.Cmd { return exec.Command("/no/such/program") }
	if err := g.Watch("virtsentryd-d", "/run/virtsentryd-d"); err == nil || len(g.sessions) != 0 {
		t.Errorf("Watch without a program = %v, %v", err, g.sessions)
	}
	g.Release("virtsentryd-d")
}
