//go:build integration

package lttng_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/ctf"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// hostile is the application of testdata/hostile.
type hostile struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func buildHostile(t *testing.T) string {
	t.Helper()
	binary, source := filepath.Join(t.TempDir(), "hostile"), filepath.Join("..", "testdata")
	build := exec.CommandContext(t.Context(), "gcc", "-O2", "-pthread", "-I", filepath.Join(source, "ustload"), "-o", binary,
		filepath.Join(source, "hostile", "hostile.c"), "-llttng-ust", "-ldl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build hostile: %v\n%s", err, out)
	}
	return binary
}

func startHostile(t *testing.T, binary, mode string, env ...string) *hostile {
	t.Helper()
	h := &hostile{cmd: exec.Command(binary, "-mode", mode, "-seed", "7")}
	h.cmd.Env, h.cmd.Stderr = append(os.Environ(), env...), os.Stderr
	in, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.in, h.out = in, bufio.NewReader(out)
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	})
	h.answer(t)
	return h
}

// tell gives it a line and returns how much it has written so far.
func (h *hostile) tell(t *testing.T, line string) (writes int) {
	t.Helper()
	if _, err := io.WriteString(h.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
	return h.answer(t)
}

func (h *hostile) answer(t *testing.T) (writes int) {
	t.Helper()
	if _, err := fmt.Fscanf(h.out, "writes %d\n", &writes); err != nil {
		t.Fatalf("the hostile application has ended: %v", err)
	}
	return writes
}

// reading reads one process's session as the daemon does: what is new of the files between rotations, and a rotation where that fails.
type reading struct {
	pid      int
	session  *lttng.Session
	follower *lttng.Follower
	cutter   *unit.Cutter
	clock    *ctf.Clock
	wrong    bool
	rotated  time.Time
	units    []unit.Unit
	errs     []error // of what was read
	dead     error   // of the session
}

func read(t *testing.T, name string, pid int, subBuffer, subBuffers uint64, cutter *unit.Cutter, events ...string) *reading {
	t.Helper()
	s, err := lttng.NewSession(lttng.Config{
		Name: name, Output: filepath.Join(t.TempDir(), "out"), RemoveOutput: true, PID: pid, Events: events, SwitchTimer: 200 * time.Millisecond,
		SubBufferBytes: subBuffer, SubBuffers: subBuffers,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Destroy(); err != nil {
			t.Logf("destroy %s: %v", name, err)
		}
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return &reading{pid: pid, session: s, follower: s.Follower(), cutter: cutter}
}

func nanoseconds() uint64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return uint64(now.Nano())
}

// step reads what there is, and closes the units of which nothing more can come.
func (r *reading) step(ctx context.Context) {
	if r.dead != nil {
		return
	}
	err := r.collect(ctx)
	if err != nil {
		r.errs, r.wrong = append(r.errs, err), true
	}
	if r.clock == nil || errors.Is(err, errNotRead) {
		return
	}
	units := r.cutter.Advance(r.clock.NS(nanoseconds() - 2e9))
	if err != nil && len(units) > 0 && units[0].Lost == 0 {
		r.errs = append(r.errs, fmt.Errorf("a unit that is not lossy after: %w", err))
	}
	r.units = append(r.units, units...)
}

// errNotRead says that nothing was read: no unit is complete by it.
var errNotRead = errors.New("nothing was read")

func (r *reading) collect(ctx context.Context) error {
	if r.follower.Following() && !r.wrong && time.Since(r.rotated) < 3*time.Second {
		dir, parts, err := r.follower.New()
		if err != nil {
			return fmt.Errorf("%w: %w", errNotRead, err)
		}
		if err := r.cutter.ReadParts(dir, parts); err != nil {
			return err
		}
		return r.follower.Free(dir, parts)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	chunk, err := r.session.Rotate(ctx)
	if err != nil {
		r.dead = err
		return fmt.Errorf("%w: %w", errNotRead, err)
	}
	r.rotated, r.wrong = time.Now(), false
	if err = r.chunk(chunk); r.clock != nil {
		_ = r.follower.Begin() // or there will be another rotation
	}
	return errors.Join(err, os.RemoveAll(chunk))
}

func (r *reading) chunk(chunk string) error {
	if r.clock == nil {
		dirs, err := ctf.FindTraces(chunk)
		if err != nil || len(dirs) == 0 {
			return err
		}
		trace, err := ctf.Open(dirs[0])
		if err != nil {
			return err
		}
		r.clock = trace.Metadata.Clocks[0]
		r.cutter.LimitOpen(64)
		r.cutter.Begin(r.clock.NS(nanoseconds() - 10e9))
	}
	if !r.follower.Following() {
		return r.cutter.ReadTrace(chunk)
	}
	dir, parts, err := r.follower.Rest(chunk)
	r.follower.End()
	if err != nil {
		r.cutter.Fail()
		return err
	}
	return r.cutter.ReadParts(dir, parts)
}

// attack is how long each way of the hostile application is borne.
const attack = 8 * time.Second

// TestHostilePackets has a traced process write whatever it likes into the packets that it shares with LTTng, or more than anybody can take, while the real
// daemons and we read them, and another process is traced beside it. We end with errors and units that are lossy, within bounds, and of the other process
// nothing is lost.
func TestHostilePackets(t *testing.T) {
	binary := buildHostile(t)
	for _, mode := range []string{"packets", "events", "storm"} {
		t.Run(mode, func(t *testing.T) {
			needDaemon(t)
			good := bear(t, binary, mode)
			if consumer, err := lttng.Consumer(good.pid); err != nil {
				t.Errorf("of the other process: %v", err)
			} else if err := consumer.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("the consumer daemon has not survived: %v", err)
			}
			if len(good.errs) > 0 || good.dead != nil {
				t.Errorf("the process beside it: %v, %v", good.errs, good.dead)
			}
			checkGood(t, good, int(attack/unit.Width)-1)
		})
	}
}

// TestHostileBuffers is TestHostilePackets with what LTTng-UST keeps of its ring buffers. LTTng 2.13 does not stand that: its consumer daemon can be made to
// end, or to go round for ever, and then nothing comes of any process. We end with errors, within bounds, and of the other process no unit is whole that
// is not.
func TestHostileBuffers(t *testing.T) {
	if lttng.Alive() {
		t.Skip("there is a session daemon already, which is not ours to break")
	}
	binary := buildHostile(t)
	for _, mode := range []string{"control", "all", "truncate"} {
		t.Run(mode, func(t *testing.T) {
			ownDaemon(t)
			good := bear(t, binary, mode)
			t.Logf("the process beside it: session %v, %d errors", good.dead, len(good.errs))
			checkGood(t, good, 0)
		})
	}
}

// ownDaemon starts a session daemon, and kills it with all that it has started when the test ends: it may not end by itself.
func ownDaemon(t *testing.T) {
	t.Helper()
	daemon := exec.Command("lttng-sessiond", "--no-kernel")
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = syscall.Kill(-daemon.Process.Pid, syscall.SIGKILL) }
	// What waits for it goes on when it is gone.
	late := time.AfterFunc(time.Minute, kill)
	t.Cleanup(func() {
		late.Stop()
		kill()
		_ = daemon.Wait()
	})
	for end := time.Now().Add(20 * time.Second); !lttng.Alive(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("lttng-sessiond does not answer")
		}
	}
}

// bear reads a hostile process and another one beside it, which it returns.
func bear(t *testing.T, binary, mode string) *reading {
	t.Helper()
	app, bad := startApp(t, 1_000_000, 3_000), startHostile(t, binary, mode)
	time.Sleep(time.Second) // they register
	set, err := catalogue.Load(catalogue.DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	// Ring buffers as the daemon has them, which bridge seconds of a host that is busy; of the hostile one, small ones, which it soon fills.
	good := read(t, "virtsentry-test-good", app.Process.Pid, lttng.DefaultSubBufferBytes, lttng.DefaultSubBuffers, unit.NewCutter([]string{"fields:begin", "fields:end"}), "fields:begin", "fields:end")
	evil := read(t, "virtsentry-test-evil", bad.cmd.Process.Pid, 16<<10, 4, unit.NewSetCutter(set), set.TracePoints()...)

	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := before.HeapAlloc
	both := func(length time.Duration) {
		for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(150 * time.Millisecond) {
			good.step(t.Context())
			evil.step(t.Context())
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	}
	both(5 * time.Second)
	if len(evil.errs) > 0 || evil.dead != nil || evil.clock == nil {
		t.Fatalf("before it is hostile: %v, %v", evil.errs, evil.dead)
	}
	quiet := len(evil.units)
	bad.tell(t, "go")
	both(attack)
	writes := bad.tell(t, "rest")
	both(3 * time.Second)

	lossy := 0
	for _, u := range evil.units[quiet:] {
		if u.Lost > 0 {
			lossy++
		}
	}
	t.Logf("%d writes; of the hostile process %d units, %d of them lossy; %d errors, session %v; heap %d KiB, at most %d KiB",
		writes, len(evil.units)-quiet, lossy, len(evil.errs), evil.dead, before.HeapAlloc>>10, most>>10)
	for i, err := range evil.errs {
		if i < 3 {
			t.Logf("error: %v", err)
		}
		if strings.Contains(err.Error(), "not lossy") {
			t.Error(err)
		}
	}
	if writes < 100 {
		t.Errorf("only %d writes", writes)
	}
	if lossy == 0 && len(evil.errs) == 0 && evil.dead == nil && mode != "events" { // what events say may be anything
		t.Error("nothing is wrong with the hostile process")
	}
	if most > before.HeapAlloc+256<<20 {
		t.Errorf("heap of %d MiB", most>>20)
	}
	return good
}

// checkGood checks that each unit of the process beside it is whole, or lossy: it hits both trace points once in each round.
func checkGood(t *testing.T, r *reading, least int) {
	t.Helper()
	whole := 0
	for _, u := range r.units {
		begin, end := u.Counts[0], u.Counts[1]
		switch {
		case u.Lost > 0 && least > 0:
			t.Errorf("the process beside it: unit %+v", u)
		case u.Lost == 0 && (begin > end+1 || end > begin+1):
			t.Errorf("the process beside it: unit %+v, not lossy", u)
		case begin > 100:
			whole++
		}
	}
	if whole < least {
		t.Errorf("the process beside it: only %d units with its events, of %d", whole, len(r.units))
	}
}

// TestHostileName has a process tell LTTng a name that is a path. Nothing is written outside of the session's directory; where there is a trace, it is found and
// can be read.
func TestHostileName(t *testing.T) {
	needDaemon(t)
	binary := buildHostile(t)
	for _, name := range []string{"../../../../x", "a/b", "/etc/x", ".", "..", "new\nline", "-1-2-3"} {
		bad := startHostile(t, binary, "packets", "HOSTILE_NAME="+name)
		time.Sleep(time.Second) // it registers
		root := t.TempDir()
		out := filepath.Join(root, "1", "2", "3", "4", "5", "6", "out")
		s, err := lttng.NewSession(lttng.Config{Name: "virtsentry-test-name", Output: out, PID: bad.cmd.Process.Pid, Events: []string{"qemu:*"}})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Start()
		if err == nil {
			time.Sleep(200 * time.Millisecond)
			var chunk string
			if chunk, err = s.Rotate(t.Context()); err == nil {
				_, err = unit.Cut(chunk, unit.Counts)
			}
		}
		list, listErr := lttng.Registrations(out)
		t.Logf("%q: %v; registrations %+v, %v", name, err, list, listErr)
		if err := s.Destroy(); err != nil {
			t.Error(err)
		}
		err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if !strings.HasPrefix(path, out) && !strings.HasPrefix(out, path) {
				t.Errorf("%q: %s is outside of the session's directory", name, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		_ = bad.cmd.Process.Kill()
	}
}
