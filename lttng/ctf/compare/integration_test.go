//go:build integration

package compare_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/ctf"
	"github.com/virtsentry/virtsentry/lttng/ctf/compare"
	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

const testdata = "../../../testdata/"

func agrees(t *testing.T, dir string) {
	t.Helper()
	var out bytes.Buffer
	if err := compare.Run(dir, &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	t.Log(strings.TrimSpace(out.String()))
}

func TestFixtures(t *testing.T) {
	for _, name := range []string{"fields", "lossy", "rotated", "boot"} {
		agrees(t, testdata+"traces/"+name)
	}
}

// Traces of shapes that LTTng does not write, but CTF allows.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		r := ctftest.NewRandom(seed, true)
		dir := t.TempDir()
		for name, data := range map[string][]byte{"metadata": []byte(r.Metadata), "stream": r.Data} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		agrees(t, dir)
	}
}

func TestDifferenceIsFound(t *testing.T) {
	tr := ctftest.Trace{Events: []string{"a"}, Streams: []ctftest.Stream{{Packets: []ctftest.Packet{{Begin: 1, End: 9, Events: []ctftest.Event{{Time: 2}, {Time: 3}}}}}}}
	dir := t.TempDir()
	if err := tr.Write(dir); err != nil {
		t.Fatal(err)
	}
	agrees(t, dir)
	// The first babeltrace2 in PATH is one that swallows its last line.
	real, err := exec.LookPath("babeltrace2")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$1\" = --version ] && exec " + real + " --version\n" + real + " \"$@\" | sed '$d'\n"
	if err := os.WriteFile(filepath.Join(bin, "babeltrace2"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	if err := compare.Run(dir, &out); err == nil || !strings.Contains(out.String(), "event 2") || !strings.Contains(out.String(), "(none)") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// sessiond starts LTTng's session daemon for the test unless one runs already.
func sessiond(t *testing.T) {
	t.Helper()
	if exec.Command("lttng", "--no-sessiond", "list").Run() == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "lttng-sessiond")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait() //nolint:errcheck // it was interrupted
	})
	for range 100 {
		if exec.Command("lttng", "--no-sessiond", "list").Run() == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("lttng-sessiond does not answer")
}

// record records the application with testdata/record and returns the trace's directory.
func record(t *testing.T, app string, options, arguments string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "trace")
	args := append(strings.Fields(options), dir, app)
	out, err := exec.Command(testdata+"record", append(args, strings.Fields(arguments)...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("record: %v\n%s", err, out)
	}
	return dir
}

// total returns how many events the units have in all.
func total(f unit.File) (n uint64) {
	for _, u := range f.Units {
		for _, v := range u.Counts {
			n += v
		}
	}
	return n
}

// discarded returns what the streams' last packets say was lost, over all chunks.
func discarded(t *testing.T, dir string) (n uint64) {
	t.Helper()
	dirs, err := ctf.FindTraces(dir)
	if err != nil {
		t.Fatal(err)
	}
	most := make(map[uint64]uint64) // by stream instance: of one process there is one of each
	for _, d := range dirs {
		tr, err := ctf.Open(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range tr.Streams {
			r := s.Reader()
			for r.NextPacket() {
				most[s.Instance] = max(most[s.Instance], r.Packet.Discarded)
			}
			if err := r.Err(); err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
	}
	for _, v := range most {
		n += v
	}
	return n
}

// Fresh recordings of an application whose number of events is known.
func TestRecorded(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for LTTng's session daemon")
	}
	app := filepath.Join(t.TempDir(), "ustapp")
	build := exec.Command("gcc", "-O2", "-Wall", "-Werror", "-I", testdata+"ustapp", "-o", app, testdata+"ustapp/ustapp.c", "-llttng-ust", "-ldl", "-lpthread")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sessiond(t)
	const perRound = 9
	tests := []struct {
		name, options, arguments string
		events                   uint64
		lossy                    bool
	}{
		{"contexts", "-c 1M -x vpid,vtid,procname,pthread_id,ip,vuid", "400 4 100 2", 400 * 4 * perRound, false},
		{"lossy", "-c 4k -n 2", "3000 3 0 2", 3000 * 3 * perRound, true},
		{"rotated", "-c 16k -n 8 -r 12", "250 2 15000 2", 250 * 2 * perRound, false},
		{"rotated and lossy", "-c 4k -n 2 -r 4", "20000 2 20 2", 20000 * 2 * perRound, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := record(t, app, tt.options, tt.arguments)
			agrees(t, dir)
			whole, err := unit.Cut(dir, unit.Counts)
			if err != nil {
				t.Fatal(err)
			}
			lost := discarded(t, dir)
			if strings.HasPrefix(tt.name, "rotated") {
				chunks(t, dir, whole)
			}
			if got := total(whole) + lost; got != tt.events || (lost > 0) != tt.lossy {
				t.Errorf("%d events and %d lost, want %d in all", total(whole), lost, tt.events)
			}
			marked := false
			for _, u := range whole.Units {
				marked = marked || u.Lost > 0
			}
			if marked != tt.lossy {
				t.Errorf("units marked as lossy: %v, want %v", marked, tt.lossy)
			}
		})
	}
}

// chunks reads a rotated session as the daemon does, one chunk after another.
func chunks(t *testing.T, dir string, whole unit.File) {
	t.Helper()
	archives, err := filepath.Glob(filepath.Join(dir, "archives", "*"))
	if err != nil || len(archives) < 2 {
		t.Fatalf("%d chunks, %v", len(archives), err)
	}
	c := unit.NewCutter(whole.Features)
	c.Begin(whole.Units[0].Start)
	number := func(path string) int { // which ends a chunk's name
		n, err := strconv.Atoi(path[strings.LastIndex(path, "-")+1:])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	slices.SortFunc(archives, func(a, b string) int { return number(a) - number(b) })
	for _, a := range archives {
		if err := c.ReadTrace(a); err != nil {
			t.Fatal(err)
		}
	}
	end, _ := c.LastTime()
	if diff := cmp.Diff(whole.Units, c.End(end)); diff != "" {
		t.Errorf("units (-whole +chunks):\n%s", diff)
	}
	if c.Late() != 0 {
		t.Errorf("%d late events", c.Late())
	}
}
