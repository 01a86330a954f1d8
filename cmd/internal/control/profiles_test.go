package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// profiles is the backend's part that keeps profiles and records: it notes what it was asked for.
type profiles struct {
	asked   []string
	file    []byte
	request RelearnRequest
	err     error
	tape    func(context.Context, io.Writer) error
}

var kept = ProfileInfo{
	UUID: web.UUID, Name: web.Name, Created: time.Unix(7, 0).UTC(), Units: 300, Engine: "libsvm",
	Features: []UsualCounts{{Feature: "tap_send", High: 3}},
}

func (p *profiles) ask(what string, args ...any) (ProfileInfo, error) {
	p.asked = append(p.asked, fmt.Sprint(append([]any{what}, args...)...))
	if p.err != nil {
		return ProfileInfo{}, p.err
	}
	return kept, nil
}

func (p *profiles) ListProfiles() ([]ProfileInfo, error) {
	_, err := p.ask("list")
	return []ProfileInfo{kept}, err
}

func (p *profiles) Profile(ref string) (ProfileInfo, error) { return p.ask("show ", ref) }

func (p *profiles) ExportProfile(ref string) ([]byte, error) {
	_, err := p.ask("export ", ref)
	return p.file, err
}

func (p *profiles) ImportProfile(ref string, file []byte) (ProfileInfo, error) {
	p.file = file
	return p.ask("import ", ref)
}

func (p *profiles) CloneProfile(from, to string) (ProfileInfo, error) {
	return p.ask("clone ", from, " to ", to)
}

func (p *profiles) RollbackProfile(ref string) (ProfileInfo, error) { return p.ask("rollback ", ref) }

func (p *profiles) DeleteProfile(ref string) error {
	_, err := p.ask("delete ", ref)
	return err
}

func (p *profiles) Relearn(ref string, request RelearnRequest) (Relearnt, error) {
	p.request = request
	info, err := p.ask("relearn ", ref)
	return Relearnt{Profile: info}, err
}

func (p *profiles) Record(ctx context.Context, ref string, w io.Writer) error {
	if _, err := p.ask("record ", ref); err != nil {
		return err
	}
	return p.tape(ctx, w)
}

func TestProfiles(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	ctx := t.Context()
	b.file = []byte("a profile\x00\xff")
	const odd = "a web/server"
	from := time.Unix(1000, 5).UTC()
	for _, tc := range []struct {
		asked string
		call  func() (ProfileInfo, error)
	}{
		{"show a web/server", func() (ProfileInfo, error) { return c.Profile(ctx, odd) }},
		{"import a web/server", func() (ProfileInfo, error) { return c.ImportProfile(ctx, odd, []byte("\x00new")) }},
		{"clone 7 to a web/server", func() (ProfileInfo, error) { return c.CloneProfile(ctx, "7", odd) }},
		{"rollback a web/server", func() (ProfileInfo, error) { return c.RollbackProfile(ctx, odd) }},
		{"relearn a web/server", func() (ProfileInfo, error) {
			r, err := c.Relearn(ctx, odd, RelearnRequest{From: from, To: from.Add(time.Minute), AcceptLoss: 0.05})
			return r.Profile, err
		}},
		{"delete a web/server", func() (ProfileInfo, error) { return kept, c.DeleteProfile(ctx, odd) }},
		{"export a web/server", func() (ProfileInfo, error) {
			file, err := c.ExportProfile(ctx, odd)
			if string(file) != "\x00new" { // what was imported
				t.Errorf("exported %q", file)
			}
			return kept, err
		}},
		{"list", func() (ProfileInfo, error) {
			list, err := c.Profiles(ctx)
			if len(list) != 1 {
				return ProfileInfo{}, err
			}
			return list[0], err
		}},
	} {
		b.asked = nil
		got, err := tc.call()
		if err != nil || len(b.asked) != 1 || b.asked[0] != tc.asked {
			t.Errorf("%s: asked for %q, %v", tc.asked, b.asked, err)
		}
		if diff := cmp.Diff(kept, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.asked, diff)
		}
	}
	if want := (RelearnRequest{From: from, To: from.Add(time.Minute), AcceptLoss: 0.05}); b.request != want {
		t.Errorf("request %+v; want %+v", b.request, want)
	}
}

func TestProfilesFail(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	ctx := t.Context()
	for _, want := range []error{ErrNoProfile, ErrNoDomain, ErrRefused} {
		b.err = fmt.Errorf("web: %w: of no use", want)
		for name, call := range map[string]func() error{
			"list":     func() error { _, err := c.Profiles(ctx); return err },
			"show":     func() error { _, err := c.Profile(ctx, "web"); return err },
			"export":   func() error { _, err := c.ExportProfile(ctx, "web"); return err },
			"import":   func() error { _, err := c.ImportProfile(ctx, "web", nil); return err },
			"clone":    func() error { _, err := c.CloneProfile(ctx, "web", "db"); return err },
			"rollback": func() error { _, err := c.RollbackProfile(ctx, "web"); return err },
			"delete":   func() error { return c.DeleteProfile(ctx, "web") },
			"relearn":  func() error { _, err := c.Relearn(ctx, "web", RelearnRequest{}); return err },
			"record":   func() error { return c.Record(ctx, "web", time.Second, nil) },
		} {
			if err := call(); !errors.Is(err, want) || err.Error() != b.err.Error() {
				t.Errorf("%s = %v; want %v", name, err, b.err)
			}
		}
	}
}

// What is no request of ours reaches no backend.
func TestWrongRequests(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	ctx := t.Context()
	for _, tc := range []struct {
		method, path string
		body         any
		text         string
	}{
		{"POST", "/v1/domains/web/relearn", strings.NewReader("{"), "unexpected EOF"},
		{"POST", "/v1/domains/web/relearn", strings.NewReader(`{"from":"noon"}`), "noon"},
		{"POST", "/v1/domains/web/relearn", strings.NewReader(`{"since":"noon"}`), `unknown field "since"`},
		{"POST", "/v1/domains/web/record", RecordRequest{}, "a recording of 0 seconds"},
		{"POST", "/v1/domains/web/record", RecordRequest{Seconds: -1}, "a recording of -1 seconds"},
		{"POST", "/v1/domains/web/record", RecordRequest{Seconds: 1e18}, "it may take 24h0m0s at most"},
		{"POST", "/v1/profiles/web/clone", strings.NewReader(`{"from":"` + strings.Repeat("x", maxBody) + `"}`), "too large"},
		{"PUT", "/v1/profiles/web/file", io.LimitReader(zeros{}, MaxProfileBytes+1), "too large"},
	} {
		if err := c.do(ctx, tc.method, tc.path, tc.body, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s %s = %v; want it refused: %s", tc.method, tc.path, err, tc.text)
		}
	}
	if _, err := c.ImportProfile(ctx, "web", make([]byte, MaxProfileBytes+1)); !errors.Is(err, ErrRefused) {
		t.Errorf("import of a huge file = %v", err)
	}
	for _, ref := range []string{"", ".", ".."} {
		if _, err := c.Domain(ctx, ref); !errors.Is(err, ErrNoDomain) {
			t.Errorf("Domain(%q) = %v; want ErrNoDomain", ref, err)
		}
	}
	if len(b.asked) > 0 {
		t.Errorf("asked for %q", b.asked)
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestRecord(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	var heard []byte
	read := func(r io.Reader) (err error) {
		heard, err = io.ReadAll(r)
		return err
	}
	b.tape = func(ctx context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "first,")
		<-ctx.Done()
		_, lastErr := io.WriteString(w, "last")
		return errors.Join(err, lastErr)
	}
	if err := c.Record(t.Context(), "web", 10*time.Millisecond, read); err != nil || string(heard) != "first,last" {
		t.Errorf("Record = %v, read %q", err, heard)
	}
	b.tape = func(_ context.Context, w io.Writer) error {
		_, _ = io.WriteString(w, "first")
		return fmt.Errorf("%w: domain web\nhas ended", ErrRefused)
	}
	err := c.Record(t.Context(), "web", time.Minute, read)
	if !errors.Is(err, ErrRefused) || err.Error() != "refused: domain web has ended" || string(heard) != "first" {
		t.Errorf("Record = %v, read %q; want what was there, and why it ended", err, heard)
	}
	full := errors.New("disk full")
	if err := c.Record(t.Context(), "web", time.Minute, func(io.Reader) error { return full }); !errors.Is(err, full) && !errors.Is(err, ErrRefused) {
		t.Errorf("Record = %v; want %v", err, full)
	}
}

// A client that goes ends its recording, and so does a daemon.
func TestRecordIsCut(t *testing.T) {
	b, c, end := serve(t)
	ended := make(chan error, 1)
	b.tape = func(ctx context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "first")
		<-ctx.Done()
		ended <- ctx.Err()
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Record(ctx, "web", time.Hour, func(r io.Reader) error {
		_, err := io.ReadFull(r, make([]byte, 5))
		cancel()
		_, restErr := io.ReadAll(r)
		return errors.Join(err, restErr)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Record = %v; want context.Canceled", err)
	}
	if err := <-ended; err == nil {
		t.Error("the recording went on")
	}
	// A daemon that is killed ends a stream in the middle.
	end()
	l, err := Listen(filepath.Join(t.TempDir(), "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	said := make(chan error)
	go func() { said <- say(l, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n") }()
	err = NewClient(l.Addr().String()).Record(t.Context(), "web", time.Hour, func(r io.Reader) error {
		_, err := io.ReadAll(r)
		return err
	})
	if !errors.Is(err, ErrNoDaemon) {
		t.Errorf("Record = %v; want ErrNoDaemon", err)
	}
	if err := <-said; err != nil {
		t.Error(err)
	}
}

// A recording that a daemon's end cuts short is told from a whole one.
func TestRecordUntilTheDaemonEnds(t *testing.T) {
	b, c, end := serve(t)
	begun := make(chan struct{})
	b.tape = func(ctx context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "first,")
		close(begun)
		<-ctx.Done()
		_, lastErr := io.WriteString(w, "last")
		return errors.Join(err, lastErr)
	}
	heard, over := make(chan string, 1), make(chan error)
	go func() {
		over <- c.Record(context.Background(), "web", time.Hour, func(r io.Reader) error {
			text, err := io.ReadAll(r)
			heard <- string(text)
			return err
		})
	}()
	<-begun
	end()
	if err := <-over; !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "the daemon has ended") {
		t.Errorf("Record = %v", err)
	}
	if text := <-heard; text != "first,last" {
		t.Errorf("read %q", text)
	}
}
