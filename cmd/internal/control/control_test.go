package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type backend struct {
	profiles
	incidents
	timelines
	actions
	learnt string
	units  chan UnitReport
}

var web = DomainStatus{UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809", Name: "a web/server", State: "normal", Since: time.Unix(9, 0).UTC()}

func (b *backend) Domains() []DomainStatus { return []DomainStatus{web} }

func (b *backend) Domain(ref string) (DomainStatus, error) {
	if ref == web.Name || ref == web.UUID {
		return web, nil
	}
	return DomainStatus{}, fmt.Errorf("%s: %w", ref, ErrNoDomain)
}

func (b *backend) Learn(ref string, units int) error {
	if units == 1 {
		return fmt.Errorf("%w: 1 unit is too few", ErrRefused)
	}
	b.learnt = fmt.Sprint(ref, " ", units)
	return nil
}

func (b *backend) Subscribe(ctx context.Context) <-chan UnitReport {
	out := make(chan UnitReport)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case u := <-b.units:
				select {
				case out <- u:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

func silent() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func serve(t *testing.T) (*backend, *Client, func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{units: make(chan UnitReport)}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- Serve(ctx, l, b, silent()) }()
	end := func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return b, NewClient(path), end
}

func TestRequests(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	ctx := t.Context()
	list, err := c.Domains(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]DomainStatus{web}, list); diff != "" {
		t.Errorf("Domains (-want +got):\n%s", diff)
	}
	// A name may hold what means something in a URL.
	if d, err := c.Domain(ctx, web.Name); err != nil || d.UUID != web.UUID {
		t.Errorf("Domain = %+v, %v", d, err)
	}
	if _, err := c.Domain(ctx, "no-such"); !errors.Is(err, ErrNoDomain) || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("Domain of none = %v; want ErrNoDomain that names it", err)
	}
	if err := c.Learn(ctx, web.Name, 90); err != nil || b.learnt != web.Name+" 90" {
		t.Errorf("Learn = %v, learnt %q", err, b.learnt)
	}
	if err := c.Learn(ctx, web.Name, 1); !errors.Is(err, ErrRefused) || err.Error() != "refused: 1 unit is too few" {
		t.Errorf("Learn = %v; want it refused", err)
	}
}

func TestUnits(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	go func() {
		for i := range uint64(3) {
			b.units <- UnitReport{Name: "web", Lost: i}
		}
	}()
	enough := errors.New("enough")
	var lost []uint64
	err := c.Units(t.Context(), func(u UnitReport) error {
		if lost = append(lost, u.Lost); len(lost) == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || !cmp.Equal(lost, []uint64{0, 1, 2}) {
		t.Errorf("Units = %v, %v", lost, err)
	}
}

func TestUnitsEndWithTheDaemon(t *testing.T) {
	b, c, end := serve(t)
	go func() { b.units <- UnitReport{Name: "web"} }()
	seen, done := make(chan struct{}), make(chan error)
	go func() {
		done <- c.Units(context.Background(), func(UnitReport) error { close(seen); return nil })
	}()
	<-seen
	end()
	if err := <-done; !errors.Is(err, ErrNoDaemon) {
		t.Errorf("Units = %v; want ErrNoDaemon", err)
	}
}

func TestUnitsEndWithTheContext(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	go func() { b.units <- UnitReport{Name: "web"} }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := c.Units(ctx, func(UnitReport) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Units = %v; want context.Canceled", err)
	}
	if err := c.Units(ctx, nil); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoDaemon) {
		t.Errorf("Units of an ended context = %v; want context.Canceled", err)
	}
}

// What a daemon can no longer say in full is no unit, and no other error than that it has gone.
func TestDaemonKilledInMidAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":      "",
		"half a head":  "HTTP/1.1 200",
		"half a line":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n{\"lost\":7}\n{\"lost\"\r\n",
		"no last line": "HTTP/1.1 200 OK\r\n\r\n{\"lost\":7}\n{\"lost\"",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Listen(filepath.Join(t.TempDir(), "control.sock"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			said := make(chan error)
			go func() { said <- say(l, answer) }()
			err = NewClient(l.Addr().String()).Units(t.Context(), func(u UnitReport) error {
				if u.Lost != 7 {
					t.Errorf("unit %+v", u)
				}
				return nil
			})
			if !errors.Is(err, ErrNoDaemon) {
				t.Errorf("Units = %v; want ErrNoDaemon", err)
			}
			if err := <-said; err != nil {
				t.Error(err)
			}
		})
	}
}

// say answers one request with a text as it is, and hangs up.
func say(l net.Listener, answer string) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1<<10))
	_, writeErr := io.WriteString(conn, answer)
	return errors.Join(err, writeErr, conn.Close())
}

func TestNoDaemon(t *testing.T) {
	c := NewClient(filepath.Join(t.TempDir(), "none.sock"))
	if _, err := c.Domains(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("Domains = %v; want ErrNoDaemon", err)
	}
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	l, err := Listen(path)
	if err != nil {
		t.Fatalf("Listen over a stale socket: %v", err)
	}
	defer func() { _ = l.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want mode 0600", info, err)
	}
	if second, err := Listen(path); err == nil {
		_ = second.Close()
		t.Error("two daemons listen on one socket")
	}
}

func TestListenReplacesSocketsOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir} {
		if l, err := Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
			if err == nil {
				_ = l.Close()
			}
			t.Errorf("Listen(%s) = %v; want it refused", path, err)
		}
	}
	if text, err := os.ReadFile(link); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

func TestDenied(t *testing.T) {
	c := NewClient("/run/virtsentry/control.sock")
	// As root, nothing of the file system denies: connect(2) is played.
	denied := &url.Error{Op: "Get", URL: "http://virtsentryd/", Err: &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}}
	err := c.unanswered(t.Context(), denied)
	if !errors.Is(err, ErrDenied) || errors.Is(err, ErrNoDaemon) || strings.Contains(err.Error(), "http://") {
		t.Errorf("%v; want ErrDenied", err)
	}
}
