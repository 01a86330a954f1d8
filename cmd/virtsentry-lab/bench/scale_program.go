package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench/standin"
)

// programMore is how much more memory virtsentryd has than its stand-in while neither has a domain to watch, bytes: that of what else is in its program.
func programMore(ctx context.Context, daemon, standIn, dir string) (uint64, error) {
	d, err := startDaemon(standIn, filepath.Join(dir, "idle-stand-in"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = d.end() }()
	if err := d.until(ctx, attachLimit, "gone", func(s standin.Status) bool { return s.Domains == 0 }); err != nil {
		return 0, err
	}
	idle := filepath.Join(dir, "idle")
	if err := os.MkdirAll(filepath.Join(idle, "libvirt", "qemu"), 0o755); err != nil {
		return 0, err
	}
	file := func(name string) string { return filepath.Join(idle, name) }
	config := daemonConfig("test:///default", file("libvirt"), file)
	if err := os.WriteFile(file("virtsentryd.toml"), []byte(config), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.Command(daemon, "--config", file("virtsentryd.toml"))
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start virtsentryd (make build makes it): %w", err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it holds nothing
		_ = cmd.Wait()
	}()
	for end := time.Now().Add(20 * time.Second); ; {
		if _, err = control.NewClient(file("control.sock")).Domains(ctx); err == nil {
			break
		}
		if time.Now().After(end) {
			return 0, fmt.Errorf("virtsentryd does not answer: %w", err)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	if err := sleep(ctx, 5*time.Second); err != nil {
		return 0, err
	}
	own, ownErr := usage(cmd.Process.Pid)
	its, itsErr := usage(d.cmd.Process.Pid)
	return max(own.RSS, its.RSS) - its.RSS, errors.Join(ownErr, itsErr)
}

// daemonConfig is virtsentryd's configuration with a libvirt, its runtime directory, and files of its own. Units are judged soon, as in a daemon's long life.
func daemonConfig(uri, run string, file func(name string) string) string {
	return fmt.Sprintf("[libvirt]\nuri = %q\nrun_dir = %q\n[lttng]\noutput_dir = %q\n[learning]\nunits = 30\nmax_units = 30\nstarting = '10s'\n[profiles]\ndir = %q\n"+
		"[history]\nfile = %q\n[control]\nsocket = %q\n[hooks]\ndir = %q\npokes = %q\n[sources]\nsocket = %q\n[log]\nlevel = 'error'\n",
		uri, run, file("traces"), file("profiles"), file("history.db"), file("control.sock"), file("hooks.d"), file("pokes"), file("probe.sock"))
}
