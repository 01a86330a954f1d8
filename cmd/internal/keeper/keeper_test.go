package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt"
)

const uuid = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"

// aGuard has this program be a guard that is ready, and writes into a file what it is told afterwards.
const aGuard = "VIRTSENTRY_KEEPER_GUARD"

func TestMain(m *testing.M) {
	if file := os.Getenv(aGuard); file != "" {
		in := bufio.NewReader(os.Stdin)
		_, _ = in.ReadString('\n')
		fmt.Print(wordReady)
		rest, _ := io.ReadAll(in)
		_ = os.WriteFile(file, append(rest, '.'), 0o600)
		return
	}
	os.Exit(m.Run())
}

func quiet() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func TestConfig(t *testing.T) {
	c, err := parseConfig("")
	if err != nil || c.GuestSyscalls || c != defaults() {
		t.Errorf("nothing: %+v, %v", c, err)
	}
	c, err = parseConfig("guest_syscalls = true\nuri = 'qemu:///session'\nlongest = '30s'\nshare = 0.5\nstops = 10.0\ndomains = 1\n")
	if want := (Config{true, "qemu:///session", 30 * time.Second, 0.5, 10, 1}); err != nil || c != want {
		t.Errorf("%+v, %v; want %+v", c, err, want)
	}
	for text, want := range map[string]string{
		"guest_syscall = true": "there is no key guest_syscall", "share = 0.0": "share: 0", "share = nan": "share: NaN", "stops = -1.0": "stops: -1", "longest = '0s'": "longest: 0s",
		"domains = 0": "domains: 0", "uri = ''": "uri: is empty", "x": "line 1",
	} {
		if _, err := parseConfig(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if c, err := ReadConfig(filepath.Join(t.TempDir(), "none")); err != nil || c.GuestSyscalls {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

// TestShippedConfig: what stands commented out in the shipped file is the default.
func TestShippedConfig(t *testing.T) {
	text, err := os.ReadFile("../../../packaging/etc/keeper.toml")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	keys := 0
	for line := range strings.Lines(string(text)) {
		if rest, is := strings.CutPrefix(line, "#"); is && !strings.HasPrefix(rest, " ") {
			line, keys = rest, keys+1
		}
		lines = append(lines, line)
	}
	if c, err := parseConfig(strings.Join(lines, "")); err != nil || c != defaults() || keys != 6 {
		t.Errorf("%d keys, %+v, %v", keys, c, err)
	}
	if c, err := parseConfig(string(text)); err != nil || c != defaults() {
		t.Errorf("as it is: %+v, %v", c, err)
	}
}

func TestAdmit(t *testing.T) {
	c := defaults()
	r := Request{UUID: uuid, Seconds: 10}
	if err := c.admit(&r); err == nil || !strings.Contains(err.Error(), "guest_syscalls = true") {
		t.Errorf("not allowed: %v", err)
	}
	c.GuestSyscalls = true
	if err := c.admit(&r); err != nil || r.Share != c.Share || r.Stops != c.Stops {
		t.Errorf("%v, %+v", err, r)
	}
	less, more := Request{UUID: uuid, Seconds: 1, Share: 0.01, Stops: 1}, Request{UUID: uuid, Seconds: 1, Share: 1, Stops: 1e9}
	if err := errors.Join(c.admit(&less), c.admit(&more)); err != nil || less.Share != 0.01 || less.Stops != 1 || more.Share != c.Share || more.Stops != c.Stops {
		t.Errorf("%v, %+v, %+v", err, less, more)
	}
	for _, r := range []Request{
		{}, {UUID: "../etc", Seconds: 1}, {UUID: uuid}, {UUID: uuid, Seconds: -1}, {UUID: uuid, Seconds: 1e9}, {UUID: uuid, Seconds: 1, Share: 2}, {UUID: uuid, Seconds: 1, Stops: -1},
		{UUID: uuid, Seconds: 1, Offset: 1<<63 - 1},
	} {
		if err := c.admit(&r); err == nil {
			t.Errorf("%+v is admitted", r)
		}
	}
}

func TestNotes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "notes")
	n, x := notes(dir), note{URI: "test:///default", UUID: uuid, ID: newID()}
	if list, err := n.read(); err != nil || len(list) != 0 {
		t.Errorf("no directory: %v, %v", list, err)
	}
	if err := n.write(x); err != nil {
		t.Fatal(err)
	}
	if err := n.write(x); err == nil || !strings.Contains(err.Error(), "virtsentry-keeper release") {
		t.Errorf("twice: %v", err)
	}
	for name, text := range map[string]string{"cut.json": `{"uri"`, "other.json": `{"uri":"x","uuid":"` + uuid + `","id":"virtsentry-gdb1"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := n.read()
	if err != nil || len(list) != 1 || list[0] != x {
		t.Errorf("read = %+v, %v", list, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("what is no note is left: %v", left)
	}
	if err := errors.Join(n.remove(uuid), n.remove(uuid)); err != nil {
		t.Error(err)
	}
}

// TestReleaseGone: of a domain that libvirt does not know, nothing is left to be closed.
func TestReleaseGone(t *testing.T) {
	dir := t.TempDir()
	if err := notes(dir).write(note{URI: "test:///default", UUID: uuid, ID: newID()}); err != nil {
		t.Fatal(err)
	}
	if err := Release(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if list, err := notes(dir).read(); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}

func TestReleaseGivesUp(t *testing.T) {
	dir := t.TempDir()
	x := note{URI: "no-such-driver:///", UUID: uuid, ID: newID()}
	if err := notes(dir).write(x); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Release(ctx, dir); err == nil || !strings.Contains(err.Error(), "gdbserver none") {
		t.Errorf("Release = %v", err)
	}
	if list, err := notes(dir).read(); err != nil || len(list) != 1 {
		t.Errorf("the note has gone: %v, %v", list, err)
	}
}

// TestGuard: a guard that is dismissed does nothing, and one whose keeper has died closes what is open.
func TestGuard(t *testing.T) {
	for name, x := range map[string]struct {
		then string
		left int
	}{"dismissed": {wordDone, 1}, "orphaned": {"", 0}, "garbled": {"don", 0}} {
		dir := t.TempDir()
		n := note{URI: "test:///default", UUID: uuid, ID: newID()}
		if err := notes(dir).write(n); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := Guard(t.Context(), dir, strings.NewReader(string(text)+"\n"+x.then), &out); err != nil || out.String() != wordReady {
			t.Errorf("%s: %v, it says %q", name, err, out.String())
		}
		if list, err := notes(dir).read(); err != nil || len(list) != x.left {
			t.Errorf("%s: notes %v, %v", name, list, err)
		}
	}
	if err := Guard(t.Context(), t.TempDir(), strings.NewReader("{}\n"), io.Discard); err == nil {
		t.Error("a guard of nothing")
	}
}

func TestStartGuard(t *testing.T) {
	file := filepath.Join(t.TempDir(), "told")
	t.Setenv(aGuard, file)
	for name, x := range map[string]struct {
		end  func(*guard)
		told string
	}{"dismissed": {(*guard).dismiss, wordDone + "."}, "called": {func(g *guard) { _ = g.call() }, "."}} {
		g, err := startGuard(t.Context(), []string{os.Args[0]}, note{UUID: uuid})
		if err != nil {
			t.Fatal(err)
		}
		x.end(g)
		if text, err := os.ReadFile(file); err != nil || string(text) != x.told {
			t.Errorf("%s: the guard was told %q, %v", name, text, err)
		}
	}
	for _, line := range [][]string{{"/no/such/program"}, {"/bin/true"}, {"/bin/echo", "no"}} {
		if _, err := exec.LookPath(line[0]); err != nil && line[0] != "/no/such/program" {
			continue
		}
		if _, err := startGuard(t.Context(), line, note{}); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

// serve serves traces of a test at a socket, one at a time.
func serve(t *testing.T, trace func(context.Context, Request, Sink) End) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := Server{Trace: trace, Domains: 1, Log: quiet()}
	if os.Geteuid() != 0 {
		s.Allowed = probe.Allowed{Users: []int{os.Geteuid()}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestAsk(t *testing.T) {
	unit := guestcalls.Unit{Start: 4, Duration: 2, Calls: []guestcalls.Calls{{Number: 59, Seen: 1, Count: 1.5}}}
	asked := make(chan Request, 1)
	socket := serve(t, func(_ context.Context, r Request, to Sink) End {
		asked <- r
		if err := errors.Join(to.Begin(Begin{Entry: 0xffffffff81000000, Share: 0.2, Stops: 100}), to.Unit(unit)); err != nil {
			t.Error(err)
		}
		return End{Reason: ReasonTime}
	})
	r := Request{UUID: uuid, Seconds: 3, Offset: -7}
	trace, err := Ask(t.Context(), socket, r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = trace.Close() }()
	if got := <-asked; got != r || trace.Begin.Entry != 0xffffffff81000000 {
		t.Errorf("asked %+v, begun %+v", got, trace.Begin)
	}
	if u, err := trace.Next(); err != nil || u.Start != 4 || u.Calls[0].Count != 1.5 {
		t.Errorf("Next = %+v, %v", u, err)
	}
	if _, err := trace.Next(); !errors.Is(err, io.EOF) || trace.End().Reason != ReasonTime {
		t.Errorf("the end: %v, %+v", err, trace.End())
	}
	if err := errors.Join(trace.Close(), trace.Close()); err != nil {
		t.Error(err)
	}
}

func TestAskErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Ask(t.Context(), filepath.Join(dir, "none"), Request{}); !errors.Is(err, ErrNoKeeper) {
		t.Errorf("nobody listens: %v", err)
	}
	refusing := serve(t, func(context.Context, Request, Sink) End { return End{Error: "its policy forbids it"} })
	if _, err := Ask(t.Context(), refusing, Request{UUID: uuid}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "its policy forbids it") {
		t.Errorf("refused: %v", err)
	}
	hanging := serve(t, func(ctx context.Context, _ Request, _ Sink) End { <-ctx.Done(); return End{} })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := Ask(ctx, hanging, Request{UUID: uuid}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestClientGoes: the end of a connection ends what it asked for, and makes room for another one.
func TestClientGoes(t *testing.T) {
	ended := make(chan error, 1)
	socket := serve(t, func(ctx context.Context, _ Request, to Sink) End {
		if err := to.Begin(Begin{}); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return End{Reason: ReasonClient}
	})
	trace, err := Ask(t.Context(), socket, Request{UUID: uuid})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(t.Context(), socket, Request{UUID: uuid}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "1 domains are looked at already") {
		t.Errorf("a second one: %v", err)
	}
	if err := trace.Close(); err != nil {
		t.Fatal(err)
	}
	var reason errEnd
	if err := <-ended; !errors.As(err, &reason) || string(reason) != ReasonClient {
		t.Errorf("ended by %v", err)
	}
}

// TestCheck: whoever asks whether it could be done is told, and nothing is begun.
func TestCheck(t *testing.T) {
	socket := serve(t, func(_ context.Context, r Request, _ Sink) End {
		if !r.Dry || r.UUID == "" {
			return End{Error: "not here"}
		}
		return End{Reason: ReasonDry}
	})
	if err := Check(t.Context(), socket, Request{UUID: uuid}); err != nil {
		t.Errorf("Check = %v", err)
	}
	if err := Check(t.Context(), socket, Request{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not here") {
		t.Errorf("Check = %v", err)
	}
	if _, err := Ask(t.Context(), serve(t, func(context.Context, Request, Sink) End { return End{Reason: ReasonStop} }), Request{UUID: uuid}); !errors.Is(err, errEarly) {
		t.Errorf("Ask of a keeper that ends = %v", err)
	}
}

// TestStop: a trace that is stopped gives what is left, and says how it has ended.
func TestStop(t *testing.T) {
	socket := serve(t, func(ctx context.Context, _ Request, to Sink) End {
		err := to.Begin(Begin{})
		<-ctx.Done()
		if err = errors.Join(err, to.Unit(guestcalls.Unit{Start: 7})); err != nil {
			t.Error(err)
		}
		return End{Reason: ReasonClient}
	})
	trace, err := Ask(t.Context(), socket, Request{UUID: uuid})
	if err != nil {
		t.Fatal(err)
	}
	if err := trace.Stop(); err != nil {
		t.Fatal(err)
	}
	if u, err := trace.Next(); err != nil || u.Start != 7 {
		t.Errorf("Next = %+v, %v", u, err)
	}
	if _, err := trace.Next(); !errors.Is(err, io.EOF) || trace.End().Reason != ReasonClient {
		t.Errorf("Next = %v, %+v", err, trace.End())
	}
	if err := errors.Join(trace.Close(), trace.Close(), trace.Stop()); err != nil {
		t.Error(err)
	}
}

// TestDeliver: what a trace yields comes in its order, and a client that does not take it ends the trace.
func TestDeliver(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	units := make(chan guestcalls.Unit, unitsHeld)
	var got []int64
	sink := Sink{
		Begin: func(b Begin) error { got = append(got, int64(b.Entry)); return nil },
		Unit: func(u guestcalls.Unit) error {
			if got = append(got, u.Start); u.Start == 3 {
				return io.ErrClosedPipe
			}
			return nil
		},
	}
	for i := range int64(unitsHeld) {
		units <- guestcalls.Unit{Start: 2 + i}
	}
	close(units)
	deliver(sink, Begin{Entry: 1}, units, cancel)
	var reason errEnd
	if len(got) != 3 || got[0] != 1 || got[1] != 2 || got[2] != 3 || !errors.As(context.Cause(ctx), &reason) || string(reason) != ReasonClient {
		t.Errorf("%v, ended by %v", got, context.Cause(ctx))
	}
}

func TestNonsense(t *testing.T) {
	socket := serve(t, func(context.Context, Request, Sink) End { t.Error("it is traced"); return End{} })
	for _, text := range []string{"x\n", "{}{}\n", `{"path":"/etc"}` + "\n", "[]\n", "\n", strings.Repeat("a", 2*maxRequest) + "\n"} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text)) // it may be refused before its end
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.Contains(answer, "message") {
			t.Errorf("%.20q: %s", text, answer)
		}
		_ = conn.Close()
	}
}

func TestTraceRefusals(t *testing.T) {
	c := defaults()
	c.GuestSyscalls, c.URI = true, "test:///default"
	k := Keeper{Config: c, RunDir: t.TempDir(), Log: quiet()}
	for name, x := range map[string]struct{ uuid, want string }{
		"no domain": {uuid, libvirt.ErrNoDomain.Error()},
		"no QEMU":   {"6695eb01-f6a4-8304-79aa-97f2502e193f", "not supported"},
		"no UUID":   {"web", "is no UUID"},
	} {
		end := k.Trace(t.Context(), Request{UUID: x.uuid, Seconds: 1}, Sink{})
		if !strings.Contains(end.Error, x.want) {
			t.Errorf("%s: %+v, want %q", name, end, x.want)
		}
	}
	if left, _ := os.ReadDir(k.RunDir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestClock(t *testing.T) {
	clock, now := clockOf(1000), time.Now()
	if d := clock(now.Add(time.Second)) - clock(now); d != int64(time.Second) {
		t.Errorf("a second takes %d ns", d)
	}
	if d := clockOf(5000)(now) - clock(now); d < 4000-1e9 || d > 4000+1e9 {
		t.Errorf("offsets differ by %d", d)
	}
}

// FuzzMessages: requests, messages and notes are read within bounds or refused.
func FuzzMessages(f *testing.F) {
	f.Add([]byte(`{"uuid":"` + uuid + `","seconds":3}`))
	f.Add([]byte(`{"unit":{"start":1,"calls":[{"nr":-1,"shapes":[{"text":"n"}]}]}}`))
	f.Add([]byte(`{"uri":"qemu:///system","uuid":"` + uuid + `","id":"virtsentry-gdb1"}`))
	c := defaults()
	c.GuestSyscalls = true
	f.Fuzz(func(t *testing.T, line []byte) {
		var r Request
		if decode(line, &r) == nil && c.admit(&r) == nil && (!uuidForm.MatchString(r.UUID) || r.Seconds > c.Longest.Seconds() || r.Share > c.Share || r.Stops > c.Stops) {
			t.Errorf("admitted: %+v", r)
		}
		var m message
		_ = decode(line, &m)
		if x, err := parseNote(line); err == nil && strings.ContainsAny(x.UUID, "/.") {
			t.Errorf("a note of %q", x.UUID)
		}
	})
}
