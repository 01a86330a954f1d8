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

	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/cmd/internal/keeper"
	"github.com/virtsentry/virtsentry/packaging/manual"
)

var manualDir = flag.String("manual", "", "leave the manual page in this `DIRECTORY`")

// clientOf has this program be a client of a keeper's, so that one can be killed: SOCKET UUID.
const clientOf = "VIRTSENTRY_KEEPER_CLIENT"

func TestMain(m *testing.M) {
	if asked := os.Getenv(clientOf); asked != "" {
		if err := client(asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// client asks for an hour's calls, and says a word for each unit.
func client(asked string) error {
	socket, uuid, _ := strings.Cut(asked, " ")
	t, err := keeper.Ask(context.Background(), socket, keeper.Request{UUID: uuid, Seconds: 600})
	for err == nil {
		if _, err = t.Next(); err == nil {
			_, err = fmt.Println("unit")
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func TestManual(t *testing.T) {
	more, err := os.ReadFile("../../packaging/manual/virtsentry-keeper.md")
	if err != nil {
		t.Fatal(err)
	}
	manual.Test(t, *manualDir, 8, command(nil, io.Discard, io.Discard), string(more))
}

// run runs the command and returns what it says.
func run(t *testing.T, in string, line ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := command(strings.NewReader(in), &out, &out)
	c.SetArgs(line)
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "keeper.toml")
	if err := os.WriteFile(file, []byte("uri = 'test:///default'\nguest_syscalls = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good.toml")
	if err := os.WriteFile(good, []byte("uri = 'test:///default'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		line []string
		want string
	}{
		"configuration":  {[]string{"--config", file, "--run-dir", dir}, "guest_syscalls"},
		"negative time":  {[]string{"--idle", "-1s", "--run-dir", dir}, "negative"},
		"log level":      {[]string{"--log-level", "loud"}, "--log-level"},
		"unknown user":   {[]string{"--config", good, "--allow", "no-such-user", "--run-dir", dir}, `no user or group "no-such-user"`},
		"no socket":      {[]string{"--config", good, "--socket", dir, "--run-dir", dir}, "no socket: not replaced"},
		"no domain":      {[]string{"trace", "no-such", "--config", good, "--run-dir", dir}, `no domain "no-such" runs`},
		"not allowed":    {[]string{"trace", "test", "--config", good, "--run-dir", dir}, "the operator has not allowed it on this host"},
		"no guard's job": {[]string{"guard", "--run-dir", dir}, "the guard was told nothing"},
	} {
		if out, err := run(t, "", x.line...); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q; %s", name, err, x.want, out)
		}
	}
}

func TestReleaseNothing(t *testing.T) {
	if out, err := run(t, "", "release", "--run-dir", t.TempDir()); err != nil || out != "" {
		t.Errorf("release: %v, %s", err, out)
	}
}

// TestTracePrints: what is printed is the sum over units.
func TestTracePrints(t *testing.T) {
	unit := guestcalls.Unit{Duration: 2e9, Stops: 5, Stopped: 1e8, Armed: 1e9, Running: 19e8, Calls: []guestcalls.Calls{
		{Number: 0, CPU: 1, Seen: 4, Count: 6, Shapes: []guestcalls.Shape{{Text: "n p n", Seen: 3}, {Text: "0 0 0", Seen: 1}}},
		{Number: guestcalls.Unknown, Seen: 1, Count: 1},
	}, Each: []guestcalls.Call{{At: 5e9 + 1000, Number: 0, CPU: 1, Arguments: [6]uint64{3, 1 << 40, 4096}}}}
	for name, x := range map[string]struct {
		sampled, least, each bool
		end                  keeper.End
		want                 []string
	}{
		"all seen": {end: keeper.End{Reason: keeper.ReasonTime}, want: []string{"12     8    1   0       read                n p n    (3, 0x10000000000, 4096, 0, 0, 0)", "4.0 s: 10 stops, 0.20 s stopped (5.0 %)", "ended: the time is over"}},
		"sampled":  {sampled: true, want: []string{"sampled: calls are estimates"}},
		"at least": {sampled: true, least: true, want: []string{"there were at least so many calls"}},
		"each":     {each: true, want: []string{":05.000001 vcpu1 read(3, 0x10000000000, 4096, 0, 0, 0)\n"}},
		"error":    {end: keeper.End{Error: "no"}, want: []string{"no"}},
	} {
		var out bytes.Buffer
		err := trace(t.Context(), func(_ context.Context, _ keeper.Request, to keeper.Sink) keeper.End {
			u := unit
			u.Sampled, u.AtLeast = x.sampled, x.least
			if err := errors.Join(to.Begin(keeper.Begin{Entry: 0x80, Share: 0.2, Stops: 9}), to.Unit(u), to.Unit(u)); err != nil {
				t.Error(err)
			}
			return x.end
		}, keeper.Request{}, x.each, &out)
		if err != nil {
			out.WriteString(err.Error())
		}
		if strings.Contains(out.String(), "vcpu1") != x.each {
			t.Errorf("%s: each call, or not:\n%s", name, out.String())
		}
		for _, want := range x.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, out.String())
			}
		}
		if (err != nil) != (x.end.Error != "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
