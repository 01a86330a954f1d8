//go:build integration

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/libvirt"
)

const (
	// learnt units: the fewest that a profile is made from.
	learnt = 30
	// starting is the limit of a guest's start.
	starting = 10 * time.Second
	// patience bounds each wait. A wait ends when what it waits for has come.
	patience = 3 * time.Minute
)

// stack is a lab with a daemon, and a libvirt client that is neither's.
type stack struct {
	cfg     lab.Config
	lab     *lab.Lab
	dir     string
	client  *libvirt.Connection
	raw     *golibvirt.Connect // for what our own package does not do
	daemon  *exec.Cmd
	starts  int    // of the daemon, so far
	sources string // more of the configuration's [sources], and of tables after it
	prices  string // file with the calibration that the daemon finds on its host; empty: the host's own
	web     *guest
	tiny    lab.TinyGuest // that web is; the zero value: it is another one
	heard   *observer
	units   int      // that a profile is made from; 0: learnt
	flags   []string // to build the daemon with; nil: the race detector's
	worst   recovery // of states, since it was last set

	mu      sync.Mutex             // guards the fields below
	events  int                    // METADATA_CHANGE events of the state's namespace
	reboots map[string][]time.Time // by domain, when libvirt told of them
}

// newStack makes a lab, or completes one, and takes it down when the test ends. VIRTSENTRY_LAB_DAEMON names another libvirt daemon than libvirtd.
func newStack(t *testing.T, cfg lab.Config) *stack {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	cfg.Daemon = os.Getenv("VIRTSENTRY_LAB_DAEMON")
	s := &stack{cfg: cfg, dir: t.TempDir(), reboots: map[string][]time.Time{}}
	down := func() {
		if err := lab.Down(context.Background(), cfg.Dir, nil); err != nil {
			t.Error(err)
		}
	}
	down() // what an earlier, killed test left
	t.Cleanup(down)
	t.Cleanup(func() { s.stopDaemon(t) })
	var err error
	if s.lab, err = lab.Up(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.disconnect)
	s.connect(t)
	s.heard = observe(t, s.file("control.sock"), s.hooks(), s.file("changes"))
	return s
}

// hooks is the directory of hooks: below the lab's, since hooks must lie where nobody but root may write.
func (s *stack) hooks() string { return filepath.Join(s.cfg.Dir, "hooks.d") }

func (s *stack) file(name string) string { return filepath.Join(s.dir, name) }

func (s *stack) disconnect() {
	_ = s.client.Close()
	_, _ = s.raw.Close()
}

func (s *stack) connect(t *testing.T) {
	t.Helper()
	var err error
	if s.client, err = libvirt.Connect(s.lab.URI()); err != nil {
		t.Fatal(err)
	}
	if s.raw, err = golibvirt.NewConnect(s.lab.URI()); err != nil {
		t.Fatal(err)
	}
	_, err = s.raw.DomainEventMetadataChangeRegister(nil, func(_ *golibvirt.Connect, _ *golibvirt.Domain, e *golibvirt.DomainEventMetadataChange) {
		if e.NSURI == libvirt.StateURI {
			s.mu.Lock()
			s.events++
			s.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.raw.DomainEventRebootRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain) {
		if uuid, err := d.GetUUIDString(); err == nil {
			s.mu.Lock()
			s.reboots[uuid] = append(s.reboots[uuid], time.Now())
			s.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rebooted is when libvirt first told of a reboot of a domain since a time; zero: not yet.
func (s *stack) rebooted(uuid string, since time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.reboots[uuid] {
		if at.After(since) {
			return at
		}
	}
	return time.Time{}
}

// seen is how many events of the state's metadata have come so far.
func (s *stack) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}

// repair starts again what was killed of the lab.
func (s *stack) repair(t *testing.T) {
	t.Helper()
	if _, err := lab.Up(t.Context(), s.cfg); err != nil {
		t.Fatal(err)
	}
}

// build compiles a command of this tree and returns its path.
func (s *stack) build(t *testing.T, command string, flags ...string) string {
	t.Helper()
	binary := s.file(command)
	args := append(append([]string{"build"}, flags...), "-o", binary, "../"+command)
	build := exec.CommandContext(t.Context(), "go", args...)
	if command == "virtsentry-probe" { // as the Makefile does
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", command, err, out)
	}
	return binary
}

func (s *stack) writeConfig(t *testing.T) {
	t.Helper()
	config := fmt.Sprintf("[libvirt]\nuri = %q\nrun_dir = %q\n[lttng]\noutput_dir = %q\n[learning]\nunits = %d\nmax_units = %[4]d\nstarting = %q\n[judging]\nquiet_units = 5\n"+
		"[profiles]\ndir = %q\n[history]\nfile = %q\n[control]\nsocket = %q\n[log]\nlevel = 'debug'\n"+
		"[hooks]\ndir = %q\npokes = %q\n[metrics]\nlisten = %q\n[sources]\nsocket = %q\n%s",
		s.lab.URI(), s.lab.RunLibvirt(), s.file("traces"), cmp.Or(s.units, learnt), starting.String(), s.file("profiles"), s.historyFile(), s.file("control.sock"),
		s.hooks(), s.file("pokes"), "unix:"+s.file("metrics.sock"), s.file("probe.sock"), s.sources)
	if err := os.WriteFile(s.file("virtsentryd.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startDaemon builds and starts a daemon of its own process, as an operator would.
func (s *stack) startDaemon(t *testing.T) {
	t.Helper()
	flags := s.flags
	if flags == nil {
		flags = []string{"-race"}
	}
	s.build(t, "virtsentryd", flags...)
	s.writeConfig(t)
	s.starts++
	log, err := os.Create(s.logFile())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.daemon = s.virtsentryd()
	s.daemon.Stderr = log
	if err := s.daemon.Start(); err != nil {
		t.Fatal(err)
	}
}

// virtsentryd is the daemon's command line, on a host that has the name of its lab's.
func (s *stack) virtsentryd(args ...string) *exec.Cmd {
	script := `echo "$0" >/proc/sys/kernel/hostname && exec "$@"`
	line := []string{"--uts", "/bin/sh", "-c", script, s.lab.Hostname(), s.file("virtsentryd"), "--config", s.file("virtsentryd.toml")}
	if s.prices != "" { // over /var/lib, since the directory itself may not be there
		file := price.DefaultFile
		line[3] = "mount -t tmpfs none /var/lib && mkdir -p " + filepath.Dir(file) + " && cp " + s.prices + " " + file + " && " + script
		line = append([]string{"--mount"}, line...)
	}
	return exec.Command("unshare", append(line, args...)...)
}

// stopDaemon ends it as an init system would, and returns when it is gone.
func (s *stack) stopDaemon(t *testing.T) {
	t.Helper()
	if s.daemon == nil {
		return
	}
	_ = s.daemon.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(time.Minute, func() { _ = s.daemon.Process.Kill() })
	defer late.Stop()
	if err := s.daemon.Wait(); err != nil {
		t.Errorf("virtsentryd: %v\n%s", err, s.log())
	}
	s.daemon = nil
}

func (s *stack) logFile() string { return s.file(fmt.Sprintf("log.%d", s.starts)) }

// log is what the present daemon has written.
func (s *stack) log() string {
	text, _ := os.ReadFile(s.logFile()) // empty before the daemon starts
	return string(text)
}

func (s *stack) control() *control.Client { return control.NewClient(s.file("control.sock")) }

// within waits until f says true.
func (s *stack) within(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if f() {
			return
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	list, err := s.control().Domains(ctx)
	t.Fatalf("%s: not within %v; status %+v, %v\n--- changes:\n%s\n--- log:\n%s", what, patience, list, err, s.heard.changesText(), s.log())
}
