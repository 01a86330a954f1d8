package hooks

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // with another one the hooks that the tests write may be refused
	goleak.VerifyTestMain(m)
}

// listen starts a listener, which the test's end ends.
func listen(t *testing.T) (*Listener, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "pokes")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l, path
}

// say writes to the FIFO as a hook does.
func say(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestParsePoke(t *testing.T) {
	tests := []struct {
		line string
		want Poke
		ok   bool
	}{
		{"web\tstart\tbegin\n", Poke{"web", "start", "begin"}, true},
		{"a b; $(c)\tstarted\tbegin\n", Poke{"a b; $(c)", "started", "begin"}, true},
		{"-é\treconnect\t-\n", Poke{"-é", "reconnect", "-"}, true},
		{"web\t\t\n", Poke{Domain: "web"}, true},
		{line: "\n"},
		{line: "\t\t\n"},
		{line: "web\tstart\n"},
		{line: "web\tstart\tbegin\tmore\n"},
		{line: "../etc/shadow\tstart\tbegin\n"},
		{line: "we\x00b\tstart\tbegin\n"},
		{line: "we\x1bb\tstart\tbegin\n"},
		{line: "we\xffb\tstart\tbegin\n"},
	}
	for _, test := range tests {
		got, ok := parsePoke([]byte(test.line))
		if diff := cmp.Diff(test.want, got); diff != "" || ok != test.ok {
			t.Errorf("parsePoke(%q) = %v, %v (-want +got):\n%s", test.line, got, ok, diff)
		}
	}
}

func FuzzParsePoke(f *testing.F) {
	f.Add([]byte("web\tstart\tbegin\n"))
	f.Add([]byte("\t\t\n"))
	f.Add([]byte("a\tb\tc\td\x00\xff\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		p, ok := parsePoke(line)
		if !ok {
			return
		}
		again := p.Domain + "\t" + p.Operation + "\t" + p.SubOperation
		if p.Domain == "" || strings.Contains(p.Domain, "/") || again != string(bytes.TrimSuffix(line, []byte{'\n'})) {
			t.Errorf("%q was read as %+v", line, p)
		}
	})
}

func TestListener(t *testing.T) {
	l, path := listen(t)
	say(t, path, "web\tstart\tbegin\n")
	say(t, path, "nonsense\n"+strings.Repeat("x", 3*pokeLine)+"\ndb\tstopped\tend\n")
	want := []Poke{{"web", "start", "begin"}, {"db", "stopped", "end"}}
	got := []Poke{<-l.Pokes(), <-l.Pokes()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pokes (-want +got):\n%s", diff)
	}
	<-l.Lost()
	if n := l.Missed(); n != 2 {
		t.Errorf("Missed = %d; want 2", n)
	}
}

func TestSlowReader(t *testing.T) {
	l, path := listen(t)
	for range pokeQueue + 10 {
		say(t, path, "web\tstart\tbegin\n")
	}
	say(t, path, "\n") // the queue is surely full when this counts
	<-l.Lost()
	for l.Missed() < 11 {
		<-l.Lost()
	}
	if len(l.Pokes()) != pokeQueue {
		t.Errorf("%d pokes wait; want %d", len(l.Pokes()), pokeQueue)
	}
}

func TestListenTwice(t *testing.T) {
	_, path := listen(t)
	if _, err := Listen(path); !errors.Is(err, ErrListening) {
		t.Errorf("Listen = %v; want ErrListening", err)
	}
}

func TestListenReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pokes")
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	prepare := map[string]func() error{
		"file":    func() error { return os.WriteFile(path, []byte("web\tstart\tbegin\n"), 0o644) },
		"symlink": func() error { return errors.Join(os.WriteFile(elsewhere, nil, 0o644), os.Symlink(elsewhere, path)) },
		"fifo":    func() error { return syscall.Mkfifo(path, 0o666) },
	}
	for name, f := range prepare {
		t.Run(name, func(t *testing.T) {
			if err := f(); err != nil {
				t.Fatal(err)
			}
			l, err := Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if err := l.Run(ctx); err != nil {
				t.Error(err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeNamedPipe|0o600 {
				t.Errorf("%v, %v; want a FIFO of mode 0600", info.Mode(), err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
	full := filepath.Join(t.TempDir(), "full")
	if err := os.MkdirAll(filepath.Join(full, "more"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(full); err == nil {
		t.Error("Listen replaced a directory with files in it")
	}
}

// patient is a limit in seconds that a busy machine keeps too; only a broken script needs it.
const patient = "30"

// script runs the hook script as libvirt does, with its own limit if limit is empty. It fails the test unless the script says nothing and exits with 0.
func script(t *testing.T, shell, fifo, limit string, input *os.File, args ...string) {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("libvirt", "qemu"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(shell, append([]string{file}, args...)...)
	cmd.Env = []string{"VIRTSENTRY_POKES=" + fifo}
	if limit != "" {
		cmd.Env = append(cmd.Env, "VIRTSENTRY_POKES_LIMIT="+limit)
	}
	if input != nil {
		cmd.Stdin = input
	}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s qemu %q: %v, output %q; want success and silence", shell, args, err, out)
	}
}

// shells are those of this machine that can be /bin/sh.
func shells(t *testing.T) []string {
	t.Helper()
	found := []string{"/bin/sh"}
	for _, s := range []string{"dash", "bash"} {
		if path, err := exec.LookPath(s); err == nil {
			found = append(found, path)
		}
	}
	return found
}

func TestScript(t *testing.T) {
	for _, shell := range shells(t) {
		t.Run(filepath.Base(shell), func(t *testing.T) {
			l, path := listen(t)
			long := strings.Repeat("n", 255)
			for _, name := range []string{"web", "a b\\t$(touch x)`%s`*", "-n", "é", long} {
				script(t, shell, path, patient, nil, name, "start", "begin", "-")
				if diff := cmp.Diff(Poke{name, "start", "begin"}, <-l.Pokes()); diff != "" {
					t.Errorf("poke of %q (-want +got):\n%s", name, diff)
				}
			}
			for _, args := range [][]string{nil, {""}, {"a\nb", "start", "begin", "-"}, {"a\tb"}, {long + "n"}, {"web", strings.Repeat("x", 1e5)}} {
				before := l.Missed()
				script(t, shell, path, patient, nil, args...)
				for <-l.Lost(); l.Missed() == before; <-l.Lost() {
				}
			}
			if len(l.Pokes()) > 0 {
				t.Errorf("unexpected poke %+v", <-l.Pokes())
			}
		})
	}
}

// TestScriptNeverBlocks has the script return, which is all that it shows: nobody listens, nobody reads, standard input never ends.
func TestScriptNeverBlocks(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := syscall.Mkfifo(full, 0o600); err != nil {
		t.Fatal(err)
	}
	hung, err := os.OpenFile(full, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hung.Close() }()
	raw, err := hung.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 4096)
	if err := raw.Write(func(fd uintptr) bool {
		for {
			if _, err := syscall.Write(int(fd), chunk); err != nil {
				return true // EAGAIN: full
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := syscall.Mkfifo(empty, 0o600); err != nil {
		t.Fatal(err)
	}
	endless, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = endless.Close(), writer.Close() }()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"no directory": filepath.Join(dir, "none", "pokes"), "no FIFO": filepath.Join(dir, "pokes"), "directory": dir, "file": file,
		"nobody listens": empty, "nobody reads": full,
	} {
		t.Run(name, func(t *testing.T) {
			script(t, "/bin/sh", path, "", nil, "web", "start", "begin", "-")
			script(t, "/bin/sh", path, "", endless, "web", "start", "begin", "-")
		})
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "as it was" {
		t.Errorf("the script wrote to a file: %q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "pokes")); err == nil {
		t.Error("the script made a file")
	}
}

func TestScriptReadsItsInput(t *testing.T) {
	_, path := listen(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	written := make(chan error, 1)
	go func() {
		_, err := in.Write(bytes.Repeat([]byte("<domain/>"), 1e5)) // far more than a pipe holds
		written <- errors.Join(err, in.Close())
	}()
	script(t, "/bin/sh", path, patient, out, "web", "start", "begin", "-")
	_ = out.Close()
	if err := <-written; err != nil {
		t.Errorf("the writer of standard input met %v", err)
	}
}
