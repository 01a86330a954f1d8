package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	// What is printed depends on neither the host's zone nor the hour.
	time.Local = time.UTC
	now = func() time.Time { return noon.Add(3*time.Minute + 20*time.Second) }
	goleak.VerifyTestMain(m)
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// backend is a daemon that knows what it is given.
type backend struct {
	profiles
	incidents
	timelines
	actions
	domains []control.DomainStatus
	units   []control.UnitReport
	learnt  []string
	// watched, if there is one, is called when the units are out.
	watched func()
}

func (b *backend) Domains() []control.DomainStatus { return b.domains }

func (b *backend) Domain(ref string) (control.DomainStatus, error) {
	for _, d := range b.domains {
		if ref == d.Name || ref == d.UUID {
			return d, nil
		}
	}
	return control.DomainStatus{}, fmt.Errorf("%s: %w", ref, control.ErrNoDomain)
}

func (b *backend) Learn(ref string, units int) error {
	if _, err := b.Domain(ref); err != nil {
		return err
	}
	if units == 1 {
		return fmt.Errorf("%w: 1 unit is too few", control.ErrRefused)
	}
	b.learnt = append(b.learnt, fmt.Sprint(ref, " ", units))
	return nil
}

func (b *backend) Subscribe(ctx context.Context) <-chan control.UnitReport {
	out := make(chan control.UnitReport)
	go func() {
		defer close(out)
		for _, u := range b.units {
			select {
			case out <- u:
			case <-ctx.Done():
				return
			}
		}
		if b.watched != nil {
			b.watched()
		}
	}()
	return out
}

// serve makes the backend answer on a socket, whose path it returns, until the test ends.
func serve(t *testing.T, b *backend) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- control.Serve(ctx, l, b, log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return path
}

// run is what a user sees of the command: its output, exit status and error.
func run(ctx context.Context, args ...string) (out string, code int, err error) {
	var written bytes.Buffer
	c := command()
	c.SetArgs(append([]string{}, args...)) // nil would be the test's own
	c.SetOut(&written)
	c.SetErr(&written)
	if err = c.ExecuteContext(ctx); err != nil {
		code = exitCode(err)
	}
	return written.String(), code, err
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-golden +got):\n%s", path, diff)
	}
}

func TestExitCode(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{errors.New("any"), 1},
		{control.ErrRefused, 1},
		{fmt.Errorf("control: %w", control.ErrDenied), 1},
		{fmt.Errorf("web: %w", control.ErrNoDomain), 3},
		{fmt.Errorf("control: %w", control.ErrNoDaemon), 4},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("exitCode(%v) = %d; want %d", tc.err, got, tc.want)
		}
	}
}

func TestFailures(t *testing.T) {
	socket := serve(t, &backend{domains: []control.DomainStatus{{Name: "web", UUID: "u"}}})
	none := filepath.Join(t.TempDir(), "none.sock")
	trace, out := filepath.Join(traces, "fields"), filepath.Join(t.TempDir(), "out.csv")
	for _, tc := range []struct {
		name string
		args []string
		code int
		text string // in the error
	}{
		{"no domain: status", []string{"--socket", socket, "status", "no-such"}, 3, "no-such: no running domain"},
		{"no domain: explain", []string{"--socket", socket, "explain", "no-such"}, 3, "no-such: no running domain"},
		{"no domain: learn", []string{"--socket", socket, "learn", "no-such"}, 3, "no-such: no running domain"},
		{"no domain: watch", []string{"--socket", socket, "watch", "no-such"}, 3, "no-such: no running domain"},
		{"no daemon: status", []string{"--socket", none, "status"}, 4, "no virtsentryd answers"},
		{"no daemon: watch", []string{"--socket", none, "watch"}, 4, "no virtsentryd answers"},
		{"no daemon: learn", []string{"--socket", none, "learn", "web"}, 4, "no virtsentryd answers"},
		{"the daemon goes", []string{"--socket", socket, "watch"}, 4, "the daemon has gone"},
		{"refused", []string{"--socket", socket, "learn", "web", "--units", "1"}, 1, "refused: 1 unit is too few"},
		{"unknown command", []string{"stauts"}, 1, `unknown command "stauts"`},
		{"unknown flag", []string{"status", "--json"}, 1, "unknown flag: --json"},
		{"unknown output", []string{"status", "-o", "yaml"}, 1, `"yaml" is neither table nor json`},
		{"two domains", []string{"status", "a", "b"}, 1, "at most 1 arg"},
		{"explain nothing", []string{"explain"}, 1, "accepts 1 arg"},
		{"learn nothing", []string{"learn"}, 1, "accepts 1 arg"},
		{"units in words", []string{"learn", "web", "--units", "many"}, 1, `"many"`},
		{"replay nothing", []string{"replay", "--units", out}, 1, "accepts 1 arg"},
		{"replay to nowhere", []string{"replay", trace}, 1, "at least one of the flags in the group [units profile] is required"},
		{"replay by no profile", []string{"replay", trace, "--profile", "testdata/no-such"}, 1, "no such file"},
		{"replay by another file", []string{"replay", trace, "--profile", "testdata/watch.txt"}, 1, "not a profile file"},
		{"replay both to one place", []string{"replay", trace, "--profile", "testdata/watch.txt", "--units", "-"}, 1, "both write to standard output"},
		{"no domain: relearn", []string{"--socket", socket, "relearn", "no-such", "--from", "-5m"}, 3, "no-such: no running domain"},
		{"no domain: record", []string{"--socket", socket, "record", "no-such", "-o", filepath.Join(t.TempDir(), "d")}, 3, "no-such: no running domain"},
		{"no profile: show", []string{"--socket", socket, "profile", "show", "no-such"}, 3, "no-such: no profile"},
		{"no profile: export", []string{"--socket", socket, "profile", "export", "no-such"}, 3, "no-such: no profile"},
		{"no profile: clone", []string{"--socket", socket, "profile", "clone", "no-such", "web"}, 3, "no-such: no profile"},
		{"no profile: rollback", []string{"--socket", socket, "profile", "rollback", "no-such"}, 3, "no-such: no profile"},
		{"no profile: delete", []string{"--socket", socket, "profile", "delete", "no-such"}, 3, "no-such: no profile"},
		{"no daemon: profile", []string{"--socket", none, "profile", "list"}, 4, "no virtsentryd answers"},
		{"no daemon: record", []string{"--socket", none, "record", "web", "-o", filepath.Join(t.TempDir(), "d")}, 4, "no virtsentryd answers"},
		{"import what is not there", []string{"--socket", socket, "profile", "import", "web", "testdata/no-such"}, 1, "no such file"},
		{"import what never ends", []string{"--socket", socket, "profile", "import", "web", "/dev/zero"}, 1, "more than 16777216 bytes"},
		{"relearn since never", []string{"relearn", "web"}, 1, "from incident"},
		{"relearn since noon", []string{"relearn", "web", "--from", "noon"}, 1, `--from: "noon" is neither a time`},
		{"relearn until when", []string{"relearn", "web", "--from", "-5m", "--to", "5m"}, 1, `--to: "5m" is neither a time`},
		{"record to nowhere", []string{"record", "web"}, 1, "output units"},
		{"record units for no time", []string{"record", "web", "--units", out, "--for", "0s"}, 1, "want more than 0"},
		{"replay units into units", []string{"replay", "units.csv", "--units", out}, 1, "a unit file already"},
		{"record over something", []string{"record", "web", "-o", "testdata"}, 1, "testdata is not empty"},
		{"record over a file", []string{"record", "web", "-o", "main.go"}, 1, "main.go"},
		{"record for never", []string{"--socket", socket, "record", "web", "-o", filepath.Join(t.TempDir(), "d"), "--for", "0s"}, 1, "a recording of 0 seconds"},
		{"check a configuration that is not there", []string{"config", "check", "testdata/no-such"}, 1, "no such file"},
		{"check what is no configuration", []string{"config", "check", "testdata/watch.txt"}, 1, "watch.txt"},
		{"replay what is not there", []string{"replay", "testdata/no-such", "--units", out}, 1, "no such file"},
		{"replay no trace", []string{"replay", "testdata", "--units", out}, 1, "no CTF trace"},
		{"replay other features", []string{"replay", trace, "--units", out, "--features", "all"}, 1, "unknown feature set"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, code, err := run(t.Context(), tc.args...)
			if err == nil || code != tc.code || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("exit status %d, error %v; want %d and %q", code, err, tc.code, tc.text)
			}
		})
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed replay wrote a file")
	}
}

func TestHelp(t *testing.T) {
	got, code, err := run(t.Context())
	if err != nil || code != 0 {
		t.Fatalf("exit status %d, %v", code, err)
	}
	for _, word := range []string{"status", "watch", "explain", "learn", "relearn", "profile", "record", "replay", "config", "completion", "Exit status: 0 done"} {
		if !strings.Contains(got, word) {
			t.Errorf("the help does not speak of %q", word)
		}
	}
}
