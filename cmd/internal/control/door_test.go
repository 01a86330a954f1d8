package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"golang.org/x/sys/unix"
)

const stranger = 4321 // a user who is neither root nor the daemon's

// asStranger calls f on a thread of the stranger's, which ends with it.
func asStranger(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread is of no use to others
		for _, call := range [][4]uintptr{{unix.SYS_SETGROUPS}, {unix.SYS_SETRESGID, stranger, stranger, stranger}, {unix.SYS_SETRESUID, stranger, stranger, stranger}} {
			if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
				done <- errno
				return
			}
		}
		done <- f()
	}()
	return <-done
}

// knock is a client that connects as the stranger. An http.Transport dials on whatever thread.
func knock(c *Client) *Client {
	dial := func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		err = asStranger(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, "unix", c.socket)
			return err
		})
		return conn, err
	}
	return &Client{socket: c.socket, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// open serves on a socket that everybody may connect to, which Listen never makes: what is left is the door.
func open(t *testing.T) (*backend, *Client, *logtest.Hook) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	log, said := logtest.NewNullLogger()
	b := &backend{units: make(chan UnitReport)}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- Serve(ctx, l, b, log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b, NewClient(path), said
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
}

// TestStranger: who is neither root nor the daemon's user is refused, whatever he asks for, and logged.
func TestStranger(t *testing.T) {
	needRoot(t)
	b, root, said := open(t)
	c := knock(root)
	for name, ask := range map[string]func() error{
		"read":   func() error { _, err := c.Domains(t.Context()); return err },
		"learn":  func() error { return c.Learn(t.Context(), web.Name, 90) },
		"delete": func() error { return c.DeleteProfile(t.Context(), web.Name) },
		"import": func() error {
			_, err := c.ImportProfile(t.Context(), web.Name, make([]byte, 100))
			return err
		},
		"units": func() error { return c.Units(t.Context(), func(UnitReport) error { return nil }) },
	} {
		if err := ask(); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v; want ErrDenied", name, err)
		}
	}
	if b.learnt != "" || len(b.asked) > 0 {
		t.Errorf("the backend was asked: learn %q, %q", b.learnt, b.asked)
	}
	first := said.AllEntries()
	if len(first) != 1 || first[0].Level != logrus.WarnLevel || fmt.Sprint(first[0].Data["uid"]) != fmt.Sprint(stranger) || fmt.Sprint(first[0].Data["pid"]) == "0" {
		t.Errorf("log %+v; want one line that names the user, however often he comes", first)
	}
	if _, err := root.Domains(t.Context()); err != nil {
		t.Errorf("root: %v", err)
	}
}

// TestSocketKeepsStrangersOut: as Listen makes it, a stranger cannot even connect.
func TestSocketKeepsStrangersOut(t *testing.T) {
	needRoot(t)
	_, c, said := open(t)
	if err := os.Chmod(c.socket, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := knock(c).Domains(t.Context())
	if !errors.Is(err, ErrDenied) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v; want ErrDenied by the file system", err)
	}
	if n := len(said.AllEntries()); n > 0 {
		t.Errorf("%d lines of log", n)
	}
}

// TestStrangersInNumbers: many of them, that say nothing, or no end of something, keep nobody else out, and hold no more connections than are being refused.
func TestStrangersInNumbers(t *testing.T) {
	needRoot(t)
	_, c, said := open(t)
	const many = 10 * maxRefusals
	conns := make([]net.Conn, many)
	if err := asStranger(func() (err error) {
		for i := range conns {
			if conns[i], err = new(net.Dialer).DialContext(t.Context(), "unix", c.socket); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			defer func() { _ = conn.Close() }()
			if i%2 == 0 { // no end of a header
				line := []byte("X-" + strings.Repeat("a", 1000) + ": b\r\n")
				for range 100_000 {
					if _, err := conn.Write(line); err != nil {
						break
					}
				}
			}
			_, _ = io.Copy(io.Discard, conn) // until it is closed from there
		})
	}
	for range 10 {
		if _, err := c.Domains(t.Context()); err != nil {
			t.Errorf("root, meanwhile: %v", err)
		}
	}
	all.Wait()
	if n := len(said.AllEntries()); n == 0 || n > 3 {
		t.Errorf("%d lines of log about %d connections", n, many)
	}
}

// TestCrowd: of those who may come in, only so many are in at once, and the others are told.
func TestCrowd(t *testing.T) {
	_, c, end := serve(t)
	defer end()
	var inside []net.Conn
	leave := func() {
		for _, conn := range inside {
			_ = conn.Close()
		}
		inside = nil
	}
	defer leave()
	for range maxConnections {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", c.socket)
		if err != nil {
			t.Fatal(err)
		}
		inside = append(inside, conn)
	}
	if _, err := c.Domains(t.Context()); err == nil || !strings.Contains(err.Error(), errCrowded.Error()) {
		t.Errorf("one too many: %v; want %v", err, errCrowded)
	}
	leave()
	for {
		if _, err := c.Domains(t.Context()); err == nil {
			break
		} else if !strings.Contains(err.Error(), errCrowded.Error()) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // until it has been seen that they have left
	}
}

// TestOversizedHeader: a request's header has an end, or is refused.
func TestOversizedHeader(t *testing.T) {
	_, c, end := serve(t)
	defer end()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = io.WriteString(conn, "GET /v1/domains HTTP/1.1\r\nHost: x\r\n")
		for range 1000 {
			if _, err := io.WriteString(conn, "X-"+strings.Repeat("a", 1000)+": b\r\n"); err != nil {
				return
			}
		}
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// TestSlowHeader: who takes too long over a request's header is cut off.
func TestSlowHeader(t *testing.T) {
	_, c, end := serve(t)
	defer end()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v1/domains HTTP/1.1\r\nHost:"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // its end, or the test's
		t.Error(err)
	}
}

// patient is a writer that notes deadlines.
type patient struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (p *patient) SetReadDeadline(t time.Time) error {
	p.deadlines = append(p.deadlines, t)
	return nil
}

// TestBodyHasADeadline: a body may take only so long, and what follows it as long as it likes.
func TestBodyHasADeadline(t *testing.T) {
	for path, method := range map[string]string{"/v1/domains/web/learn": http.MethodPost, "/v1/profiles/web/file": http.MethodPut} {
		w := &patient{ResponseRecorder: httptest.NewRecorder()}
		before := time.Now()
		routes(&backend{}).ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("{}")))
		if len(w.deadlines) != 2 || w.deadlines[0].Before(before) || w.deadlines[0].After(time.Now().Add(bodyTime)) || !w.deadlines[1].IsZero() {
			t.Errorf("%s: deadlines %v", path, w.deadlines)
		}
	}
}

// TestNobody: a connection of which the kernel does not say whose it is, is a stranger's.
func TestNobody(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	log, said := logtest.NewNullLogger()
	d := newDoor(&single{conns: []net.Conn{here}}, log)
	if conn, err := d.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("%v, %v; want nobody let in", conn, err)
	}
	go func() { _, _ = io.WriteString(there, "GET / HTTP/1.1\r\n\r\n") }()
	answer, err := http.ReadResponse(bufio.NewReader(there), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := failed(answer); !errors.Is(err, ErrDenied) {
		t.Errorf("%v; want ErrDenied", err)
	}
	_ = there.Close()
	d.refused.Wait()
	if len(said.AllEntries()) != 1 {
		t.Errorf("%d lines of log", len(said.AllEntries()))
	}
}

// single is a listener of connections that have come already.
type single struct {
	net.Listener
	conns []net.Conn
}

func (s *single) Accept() (net.Conn, error) {
	if len(s.conns) == 0 {
		return nil, net.ErrClosed
	}
	conn := s.conns[0]
	s.conns = s.conns[1:]
	return conn, nil
}
