package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// privateDirs are libvirt's directories and what the lab's libvirtd finds
// there instead, below DIR. Their modes are those of the packages: QEMU runs
// unprivileged and must pass through.
var privateDirs = []struct {
	system, own string
	mode        os.FileMode
}{
	{"/run/libvirt", "run-libvirt", 0o755},
	{"/var/lib/libvirt", "var-lib-libvirt", 0o755},
	{"/etc/libvirt", "etc-libvirt", 0o755},
	{"/var/log/libvirt", "log", 0o755},
	{"/var/cache/libvirt", "cache", 0o711},
}

const (
	sessiondName = "lttng-sessiond"
	virtlogdName = "virtlogd"
)

func (l *Lab) sessiondPidArg() string {
	return "--pidfile=" + l.path("lttng-sessiond.pid")
}

// ensureSessiond starts root's lttng-sessiond unless one answers already.
func (l *Lab) ensureSessiond(ctx context.Context, st *state) error {
	if sessiondAnswers(ctx) {
		return nil
	}
	if p := st.proc(sessiondName); p != nil {
		if err := terminate(ctx, []Proc{*p}, 2*time.Second); err != nil {
			return err
		}
	}
	l.log.Info("starting lttng-sessiond")
	// No kernel tracing: the lab looks at QEMU alone, and must load no modules.
	cmd := exec.Command("lttng-sessiond", "--no-kernel", l.sessiondPidArg())
	p, err := l.startDaemon(st, sessiondName, cmd, cmd.Start)
	if err != nil {
		return err
	}
	return waitFor(ctx, 15*time.Second, sessiondName, p, func() error {
		if sessiondAnswers(ctx) {
			return nil
		}
		return errors.New("it does not answer")
	})
}

// sessiondAnswers asks, since a socket file may have outlived its daemon and
// a daemon may hang.
func sessiondAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "lttng", "--no-sessiond", "list").Run() == nil
}

// ensureLibvirt starts virtlogd and libvirtd inside the lab, each unless its
// recorded process lives. A libvirtd started again finds its running guests.
func (l *Lab) ensureLibvirt(ctx context.Context, st *state) error {
	for _, d := range privateDirs {
		if err := mkdir(l.path(d.own), d.mode); err != nil {
			return fmt.Errorf("make libvirt's directories: %w", err)
		}
		if err := l.makeMountPoint(st, d.system); err != nil {
			return err
		}
	}
	for _, sub := range []string{"libvirt", "etc-libvirt/hooks", "log/qemu"} {
		if err := mkdir(l.path(sub), 0o755); err != nil {
			return fmt.Errorf("make libvirt's directories: %w", err)
		}
	}
	if st.HostUUID == "" {
		st.HostUUID = randomUUID()
	}
	if err := l.writeConfigs(st.HostUUID); err != nil {
		return err
	}
	if err := l.ensureDaemon(st, virtlogdName, virtlogdName, "-f", "/etc/libvirt/virtlogd.conf", "-p", l.path("virtlogd.pid")); err != nil {
		return err
	}
	d := st.daemon()
	if err := l.ensureDaemon(st, d.name, d.binary, "-f", "/etc/libvirt/libvirtd.conf", "-p", l.path(d.name+".pid")); err != nil {
		return err
	}
	return waitFor(ctx, time.Minute, d.name, *st.proc(d.name), func() error {
		conn, err := l.connect()
		if err != nil {
			return err
		}
		_, err = conn.Close()
		return err
	})
}

// makeMountPoint makes a directory of the host's that must exist for the
// lab's libvirtd to see its own in its place. One that another lab uses too
// may have been made by that lab: whichever goes last removes it.
func (l *Lab) makeMountPoint(st *state, dir string) error {
	_, err := os.Stat(dir)
	if slices.Contains(st.MadeDirs, dir) || (err == nil && !mountedAnywhere(dir)) {
		return nil
	}
	st.MadeDirs = append(st.MadeDirs, dir)
	if err := l.saveState(st); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	return nil
}

func (l *Lab) ensureDaemon(st *state, name, binary string, args ...string) error {
	if p := st.proc(name); p != nil && p.Alive() {
		return nil
	}
	l.log.Infof("starting %s", name)
	cmd := exec.Command(binary, args...)
	_, err := l.startDaemon(st, name, cmd, func() error { return l.startPrivately(cmd, st.Accel) })
	return err
}

// startPrivately starts cmd in the lab's network namespace, in a mount
// namespace of its own, where libvirt's directories are the lab's, and on a
// host named as the lab is.
func (l *Lab) startPrivately(cmd *exec.Cmd, accel string) error {
	return l.inside(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("unshare mounts and host name: %w", err)
		}
		// libvirt migrates no guest to a host of the same name. It asks no name
		// server about one that is complete.
		if err := unix.Sethostname([]byte(l.Hostname())); err != nil {
			return fmt.Errorf("set host name: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		for _, d := range privateDirs {
			if err := unix.Mount(l.path(d.own), d.system, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("bind %s: %w", d.system, err)
			}
		}
		if accel != "kvm" {
			if err := l.hideKVM(); err != nil {
				return err
			}
		}
		// The network devices in /sys are those of the namespace that mounted
		// it. What was mounted below it, control groups, goes with it: the
		// lab's libvirtd has no business in the host's control groups.
		_ = unix.Unmount("/sys", unix.MNT_DETACH)
		if err := unix.Mount("virtsentry-lab", "/sys", "sysfs", 0, ""); err != nil {
			return fmt.Errorf("mount /sys: %w", err)
		}
		return cmd.Start()
	})
}

// hideKVM puts a file that nobody can open on /dev/kvm. Where QEMU's probe of
// KVM and libvirt's own look at the device's mode disagree, libvirt believes
// no probe for longer than a moment and makes each one again and again.
func (l *Lab) hideKVM() error {
	if _, err := os.Stat("/dev/kvm"); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file := l.path("no-kvm")
	if err := os.WriteFile(file, nil, 0); err != nil {
		return fmt.Errorf("hide /dev/kvm: %w", err)
	}
	if err := unix.Mount(file, "/dev/kvm", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("hide /dev/kvm: %w", err)
	}
	return nil
}

// startDaemon starts a process that outlives this one, and records who it is.
// Its output goes to DIR/log/NAME.out.
func (l *Lab) startDaemon(st *state, name string, cmd *exec.Cmd, start func() error) (Proc, error) {
	if err := mkdir(l.path("log"), 0o755); err != nil {
		return Proc{}, fmt.Errorf("start %s: %w", name, err)
	}
	out, err := os.OpenFile(l.path("log", name+".out"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return Proc{}, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// Files that this process was given by its own parent, a lock perhaps,
	// must not stay open for as long as the daemon lives.
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return Proc{}, fmt.Errorf("start %s: keep files from it: %w", name, err)
	}
	if err := start(); err != nil {
		return Proc{}, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // reaps it should it end before this process
	p, err := identify(name, cmd.Process.Pid)
	if err != nil {
		return Proc{}, err
	}
	st.setProc(p)
	return p, l.saveState(st)
}

// waitFor polls until ready succeeds, as long as p lives.
func waitFor(ctx context.Context, limit time.Duration, name string, p Proc, ready func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if !p.Alive() {
			return fmt.Errorf("wait for %s: it ended: %w", name, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for %s for %v: %w", name, limit, err)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("wait for %s: %w", name, err)
		}
	}
}

// mkdir makes dir and its parents, with exactly this mode whatever the umask.
func mkdir(dir string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, mode); err != nil && !os.IsExist(err) {
		return err
	}
	return os.Chmod(dir, mode)
}
