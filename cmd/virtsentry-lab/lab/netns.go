package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const netnsDir = "/run/netns"

func (l *Lab) netnsPath() string { return filepath.Join(netnsDir, l.name) }

// netnsInode is the identity of the lab's network namespace, 0 if there is
// none.
func (l *Lab) netnsInode() (uint64, error) {
	var fsys unix.Statfs_t
	err := unix.Statfs(l.netnsPath(), &fsys)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && fsys.Type != unix.NSFS_MAGIC) {
		return 0, nil // an empty file is left where a crash came before the mount
	}
	if err != nil {
		return 0, fmt.Errorf("look at network namespace: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(l.netnsPath(), &st); err != nil {
		return 0, fmt.Errorf("look at network namespace: %w", err)
	}
	return st.Ino, nil
}

// makeNetns makes the namespace with its bridge. Unlike ip-netns(8) it does
// not turn /run/netns into a mount point that would stay for good; the
// result is the same for all that use the namespace.
func (l *Lab) makeNetns(ctx context.Context) error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	f, err := os.OpenFile(l.netnsPath(), os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	_ = f.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", l.netnsPath(), "", unix.MS_BIND, "")
	})
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	return l.configureNetns(ctx)
}

func (l *Lab) configureNetns(ctx context.Context) error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0"},
		{"addr", "add", fmt.Sprintf("%s/%d", HostAddr, Subnet.Bits()), "dev", bridge},
		{"link", "set", bridge, "up"},
	} {
		out, err := exec.CommandContext(ctx, "ip", append([]string{"-n", l.name}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// removeNetns unbinds the namespace's name. The kernel frees the namespace,
// its bridge and its taps when the last process has left it.
func (l *Lab) removeNetns() error {
	for {
		err := unix.Unmount(l.netnsPath(), unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist) {
			break // not mounted (any more)
		}
		if err != nil {
			return fmt.Errorf("remove network namespace: %w", err)
		}
	}
	if err := os.Remove(l.netnsPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace: %w", err)
	}
	// Succeeds only if nobody else has a namespace there.
	_ = os.Remove(netnsDir)
	return nil
}

// onThread runs f on an operating system thread of its own, which ends with
// it: what f does to the thread's namespaces reaches nobody else but the
// processes that f starts.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		done <- f()
	}()
	return <-done
}

// inside runs f on a thread in the lab's network namespace.
func (l *Lab) inside(f func() error) error {
	ns, err := os.Open(l.netnsPath())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotUp, err)
	}
	defer func() { _ = ns.Close() }()
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", l.name, err)
		}
		return f()
	})
}

// DialContext connects from inside the lab's network namespace. It takes
// addresses, not host names, and only those of the lab's subnet. It fits
// [net/http.Transport].
func (l *Lab) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := checkInSubnet(addr); err != nil {
		return nil, err
	}
	var conn net.Conn
	err := l.inside(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Start starts cmd inside the lab's network namespace.
func (l *Lab) Start(cmd *exec.Cmd) error { return l.inside(cmd.Start) }
