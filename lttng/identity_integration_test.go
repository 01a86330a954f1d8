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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// The application socket of root's session daemon.
const appSocket = "/var/run/lttng/lttng-ust-sock-8"

// cast is the programs of testdata/impostor.
type cast struct{ impostor, holder, withpid string }

func buildCast(t *testing.T) cast {
	t.Helper()
	dir, source := t.TempDir(), filepath.Join("..", "testdata", "impostor")
	c := cast{filepath.Join(dir, "qemu-in-disguise"), filepath.Join(dir, "holder"), filepath.Join(dir, "withpid")}
	for binary, args := range map[string][]string{
		c.impostor: {"impostor.c", "-I", source, "-llttng-ust", "-ldl", "-lpthread"}, c.holder: {"holder.c"}, c.withpid: {"withpid.c"},
	} {
		args[0] = filepath.Join(source, args[0])
		if out, err := exec.CommandContext(t.Context(), "gcc", append([]string{"-O2", "-o", binary}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", binary, err, out)
		}
	}
	return c
}

// actor is a process, with pipes to and from it.
type actor struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// start runs a program that is ended with the test.
func start(t *testing.T, env []string, name string, args ...string) *actor {
	t.Helper()
	a := &actor{t: t, cmd: exec.Command(name, args...)}
	a.cmd.Env = append(append(os.Environ(), "LTTNG_UST_REGISTER_TIMEOUT=-1"), env...)
	a.cmd.Stderr = os.Stderr
	var err error
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.out = bufio.NewScanner(out)
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.end)
	return a
}

func (a *actor) pid() int { return a.cmd.Process.Pid }

func (a *actor) end() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// says reads a number from the process's output.
func (a *actor) says() int {
	a.t.Helper()
	if !a.out.Scan() {
		a.t.Fatalf("%s has ended: %v", a.cmd.Path, a.out.Err())
	}
	n, err := strconv.Atoi(a.out.Text())
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

// accomplice has the process make one that registers by its process ID, and waits until it has.
func (a *actor) accomplice() int {
	a.t.Helper()
	if _, err := a.in.Write([]byte("x")); err != nil {
		a.t.Fatal(err)
	}
	pid := a.says()
	a.t.Cleanup(func() { kill(pid) })
	return pid
}

func kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }

// until waits for what must come.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come that %s", what)
		}
	}
}

// play starts the impostor's program and waits until it has registered.
func (c cast) play(t *testing.T, env []string, args ...string) *actor {
	t.Helper()
	a := start(t, env, c.impostor, args...)
	if pid := a.says(); pid != a.pid() {
		t.Fatalf("process %d says that it is %d", a.pid(), pid)
	}
	return a
}

// record makes and starts a session on a process ID.
func record(t *testing.T, pid int) (*lttng.Session, *lttng.Verifier) {
	t.Helper()
	s, err := lttng.NewSession(lttng.Config{
		Name: fmt.Sprintf("virtsentry-test-%d", pid), Output: filepath.Join(t.TempDir(), "out"), RemoveOutput: true,
		PID: pid, Events: []string{"qemu:virtqueue_fill"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Destroy() })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s, s.Verifier()
}

func rotate(t *testing.T, s *lttng.Session) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	return s.Rotate(ctx)
}

func mustRotate(t *testing.T, s *lttng.Session) (chunk string) {
	t.Helper()
	chunk, err := rotate(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return chunk
}

// wantEvents rotates until there are events, and checks whose they are.
func wantEvents(t *testing.T, s *lttng.Session, of uint64) {
	t.Helper()
	var got []uint64
	until(t, "there are events", func() bool {
		got = lengths(t, mustRotate(t, s))
		return len(got) > 0
	})
	if !slices.Equal(got, []uint64{of}) {
		t.Errorf("events of %v; want those of %d", got, of)
	}
}

// wantStuck checks that no rotation ends.
func wantStuck(t *testing.T, s *lttng.Session) {
	t.Helper()
	if chunk, err := rotate(t, s); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Rotate = %q, %v; want one that does not end", chunk, err)
	}
}

// lengths are the values of the argument "len" in a chunk: whose events they are.
func lengths(t *testing.T, chunk string) (found []uint64) {
	t.Helper()
	dirs, err := ctf.FindTraces(chunk)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		trace, err := ctf.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, stream := range trace.Streams {
			r := stream.Reader()
			var e ctf.Event
			for r.NextPacket() {
				for r.Next() {
					if err := r.Decode(&e); err != nil {
						t.Fatal(err)
					}
					found = append(found, e.Fields.Field("len").Uint)
				}
			}
			if err := errors.Join(r.Err(), r.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// wantOthers checks that Verify finds these, and only these, processes to write what the session records.
func wantOthers(t *testing.T, v *lttng.Verifier, pids ...int) {
	t.Helper()
	_, err := v.Verify()
	var e *lttng.IdentityError
	if !errors.As(err, &e) || !errors.Is(err, lttng.ErrIdentity) {
		t.Fatalf("Verify = %v; want an IdentityError", err)
	}
	t.Log(err)
	var got []int
	for _, p := range e.Others {
		got = append(got, p.PID)
		if !strings.HasSuffix(p.Executable, "/qemu-in-disguise") || p.UID != 0 {
			t.Errorf("the other one: %v", p)
		}
	}
	if !slices.Equal(got, pids) {
		t.Errorf("other processes: %v; want %v", got, pids)
	}
}

// A process that claims another's process ID is not believed: since LTTng-UST 2.12.2 the session daemon asks the kernel.
func TestIntegrationClaimedPID(t *testing.T) {
	needDaemon(t)
	c := buildCast(t)
	victim := c.play(t, nil, "1000", "1")
	liar := c.play(t, []string{fmt.Sprintf("IMPOSTOR_PID=%d", victim.pid())}, "1000", "2")
	s, v := record(t, victim.pid())
	wantEvents(t, s, 1)
	first, err := v.Verify()
	if err != nil || first.PID != victim.pid() || first.Name != "qemu-in-disguis" || first.UUID == (ctf.UUID{}) {
		t.Fatalf("Verify = %+v, %v", first, err)
	}
	chunk := mustRotate(t, s)
	if again, err := v.Verify(); err != nil || again != first {
		t.Errorf("Verify = %+v, %v; want %+v as before", again, err, first)
	}
	if all, err := lttng.Registrations(chunk); err != nil || !slices.Equal(all, []lttng.Registration{first}) {
		t.Errorf("registrations in the chunk: %+v, %v; want %+v", all, err, first)
	}
	who, err := lttng.Recorders(first.UUID)
	if err != nil || len(who) != 1 || who[0].PID != victim.pid() {
		t.Errorf("recorded: %v, %v", who, err)
	}
	if own, err := lttng.Recorded(liar.pid(), first.UUID); own || err != nil {
		t.Errorf("the liar is recorded: %v, %v", own, err)
	}
}

// The process is recorded, and another registers by its process ID: both are recorded, and no rotation ends any more.
func TestIntegrationEvicted(t *testing.T) {
	needDaemon(t)
	c := buildCast(t)
	victim := c.play(t, nil, "1000", "1", appSocket)
	s, v := record(t, victim.pid())
	wantEvents(t, s, 1)
	if r, err := v.Verify(); err != nil || r.PID != victim.pid() {
		t.Fatalf("Verify = %+v, %v", r, err)
	}
	time.Sleep(time.Second) // a trace's directory is named by the second
	other := victim.accomplice()
	wantStuck(t, s)
	wantOthers(t, v, other)
	kill(other)
	wantStuck(t, s)
	wantOthers(t, v)
	victim.end()
	if chunk, err := rotate(t, s); err != nil {
		t.Errorf("Rotate after both have ended: %v", err)
	} else {
		t.Logf("events of %v", lengths(t, chunk))
	}
	wantOthers(t, v)
}

// Another is recorded, and the process registers then. The other one has its connections from a process that had the process ID before.
func TestIntegrationForestalled(t *testing.T) {
	needDaemon(t)
	c := buildCast(t)
	holder := start(t, nil, c.holder, appSocket, c.impostor, "1000", "2")
	pid, other := holder.says(), holder.says()
	t.Cleanup(func() { kill(other) })
	if err := holder.in.Close(); err != nil {
		t.Fatal(err)
	}
	if pid := holder.says(); pid != other {
		t.Fatalf("process %d says that it is %d", other, pid)
	}
	if _, err := holder.cmd.Process.Wait(); err != nil { // its process ID is free then
		t.Fatal(err)
	}
	s, v := record(t, pid)
	wantEvents(t, s, 2)
	if r, err := v.Verify(); err != nil || r != (lttng.Registration{}) {
		t.Errorf("Verify of a process that is not there = %+v, %v", r, err)
	}
	if victim := start(t, nil, c.withpid, strconv.Itoa(pid), c.impostor, "1000", "1").says(); victim != pid {
		t.Fatalf("process %d says that it is %d", pid, victim)
	}
	wantStuck(t, s)
	wantOthers(t, v, other)
	kill(other)
	until(t, "the rotation ends with the one that was pushed out", func() bool {
		_, err := rotate(t, s)
		return err == nil
	})
}

// Another has pushed the process out before anything is recorded.
func TestIntegrationReplaced(t *testing.T) {
	needDaemon(t)
	c := buildCast(t)
	victim := c.play(t, nil, "1000", "1", appSocket)
	other := victim.accomplice()
	s, v := record(t, victim.pid())
	wantEvents(t, s, 2)
	wantOthers(t, v, other)
	kill(other)
	mustRotate(t, s)
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
	// The process stays out, though it is connected.
	s, v = record(t, victim.pid())
	chunk := mustRotate(t, s)
	if all, err := lttng.Registrations(chunk); err != nil || len(all) > 0 {
		t.Errorf("recorded: %+v, %v; want nothing", all, err)
	}
	if r, err := v.Verify(); err != nil || r != (lttng.Registration{}) {
		t.Errorf("Verify with nothing recorded = %+v, %v", r, err)
	}
	if yes, err := lttng.Registered(victim.pid()); !yes || err != nil {
		t.Errorf("Registered = %v, %v", yes, err)
	}
}

// Several register by the process ID within a second: their traces have one directory.
func TestIntegrationSeveral(t *testing.T) {
	needDaemon(t)
	c := buildCast(t)
	victim := c.play(t, nil, "1000", "1", appSocket)
	s, v := record(t, victim.pid())
	wantEvents(t, s, 1)
	if _, err := v.Verify(); err != nil {
		t.Fatal(err)
	}
	var others []int
	for range 4 {
		others = append(others, victim.accomplice())
	}
	wantStuck(t, s)
	if _, err := v.Verify(); !errors.Is(err, lttng.ErrIdentity) {
		t.Errorf("Verify = %v; want an IdentityError", err)
	}
	for _, pid := range others {
		kill(pid)
	}
	victim.end()
}

// startDaemon starts a session daemon and returns what ends it, once.
func startDaemon(t *testing.T) (stop func()) {
	t.Helper()
	daemon := exec.Command("lttng-sessiond", "--no-kernel")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = daemon.Process.Signal(os.Interrupt)
		_ = daemon.Wait()
	})
	t.Cleanup(stop)
	until(t, "the session daemon answers", lttng.Alive)
	return stop
}

// A restart of the session daemon brings back a process that was pushed out, whether the other one lives or not.
func TestIntegrationRestart(t *testing.T) {
	if lttng.Alive() {
		t.Skip("a session daemon runs, which is not this test's to restart")
	}
	c := buildCast(t)
	stop := startDaemon(t)
	victim := c.play(t, nil, "1000", "1", appSocket)
	victim.accomplice()
	s, v := record(t, victim.pid())
	wantEvents(t, s, 2)
	if _, err := v.Verify(); !errors.Is(err, lttng.ErrIdentity) {
		t.Fatalf("Verify = %v; want an IdentityError", err)
	}
	stop()
	startDaemon(t)
	s, v = record(t, victim.pid())
	until(t, "the process is recorded and verified", func() bool {
		chunk := mustRotate(t, s)
		r, err := v.Verify()
		if err != nil {
			t.Fatal(err)
		}
		return r.PID == victim.pid() && slices.Equal(lengths(t, chunk), []uint64{1})
	})
}
