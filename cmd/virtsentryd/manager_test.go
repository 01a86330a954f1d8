package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
)

// listenAsManager makes the socket of a service manager, whose watchdog waits for so long.
func listenAsManager(t *testing.T, limit time.Duration) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt(limit.Microseconds(), 10))
	return conn
}

// expect reads messages until one begins so; none of those before may begin with an unwanted one.
func expect(t *testing.T, conn *net.UnixConn, want, unwanted string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 4096)
	for {
		n, err := conn.Read(text)
		if err != nil {
			t.Fatalf("%s was not said: %v", want, err)
		}
		switch said := string(text[:n]); {
		case strings.HasPrefix(said, want):
			return
		case unwanted != "" && strings.HasPrefix(said, unwanted):
			t.Fatalf("%q was said; want %s", said, want)
		}
	}
}

// silent checks that nothing is waiting to be read.
func silent(t *testing.T, conn *net.UnixConn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 4096)
	if n, err := conn.Read(text); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("said: %q, %v; want nothing", text[:n], err)
	}
}

func quiet() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// What the manager is told, and when.
func TestManager(t *testing.T) {
	conn := listenAsManager(t, time.Hour)
	m := newManager(quiet())
	m.reloading() // early: it is not ready, and must not be said to be
	m.reloaded()
	silent(t, conn)
	m.alive()
	expect(t, conn, "READY=1", "WATCHDOG")
	m.alive() // so soon that the manager need not hear of it
	silent(t, conn)
	m.last = time.Now().Add(-time.Hour)
	m.alive()
	expect(t, conn, "WATCHDOG=1", "")
	m.reloading()
	expect(t, conn, "RELOADING=1\nMONOTONIC_USEC=", "")
	m.reloaded()
	expect(t, conn, "READY=1", "")
	m.stopping()
	expect(t, conn, "STOPPING=1", "")
	m.last = time.Time{}
	m.alive()
	m.reloading()
	silent(t, conn)
}

// Without a manager, nothing is said, and nothing fails.
func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	m := newManager(quiet())
	m.alive()
	m.alive()
	m.stopping()
	if m.every != 0 {
		t.Errorf("signs of life every %v", m.every)
	}
}

// The daemon itself: ready when it handles events, alive while it does, also when libvirt takes connections and never answers.
func TestManagedDaemon(t *testing.T) {
	dir := t.TempDir()
	deaf, err := net.Listen("unix", filepath.Join(dir, "libvirt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	for name, uri := range map[string]string{
		"with libvirt":                      "test:///default",
		"with a libvirt that is not":        "qemu+unix:///system?mode=direct&socket=" + filepath.Join(dir, "none"),
		"with a libvirt that is a deaf one": "qemu+unix:///system?mode=direct&socket=" + filepath.Join(dir, "libvirt"),
	} {
		t.Run(name, func(t *testing.T) {
			conn := listenAsManager(t, 10*time.Millisecond)
			cfg := config.Default()
			dir := t.TempDir()
			cfg.Libvirt.URI, cfg.Libvirt.RunDir = uri, filepath.Join(dir, "libvirt")
			cfg.LTTng.OutputDir, cfg.Profiles.Dir = filepath.Join(dir, "traces"), filepath.Join(dir, "profiles")
			cfg.History.File = filepath.Join(dir, "history.db")
			cfg.Control.Socket, cfg.Hooks.Pokes, cfg.Hooks.Dir = filepath.Join(dir, "control"), filepath.Join(dir, "pokes"), filepath.Join(dir, "hooks")
			cfg.Sources.Socket = filepath.Join(dir, "probe")
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			hangup := make(chan os.Signal, 1)
			ended := make(chan error, 1)
			go func() {
				ended <- run(ctx, cfg, func() (config.Config, error) { return cfg, nil }, hangup, quiet())
			}()
			expect(t, conn, "READY=1", "WATCHDOG")
			expect(t, conn, "WATCHDOG=1", "READY")
			expect(t, conn, "WATCHDOG=1", "READY")
			hangup <- syscall.SIGHUP
			expect(t, conn, "RELOADING=1", "READY")
			expect(t, conn, "READY=1", "")
			stop()
			expect(t, conn, "STOPPING=1", "")
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
