package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// Live is the System of this host.
type Live struct{}

// dialLimit is how long a session daemon may take to take a connection; the kernel does it for one that lives.
const dialLimit = 2 * time.Second

// Dial connects to a UNIX socket and tells who listens: unix(7), SO_PEERCRED.
func (Live) Dial(path string) (p Peer, err error) {
	c, err := net.DialTimeout("unix", path, dialLimit)
	if err != nil {
		return p, err
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return p, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, credErr); err != nil {
		return p, fmt.Errorf("ask who listens on %s: %w", path, err)
	}
	return Peer{PID: int(cred.Pid), UID: int(cred.Uid)}, nil
}

// Helper asks without a domain.
func (Live) Helper(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	c, err := probe.Dial(ctx, socket)
	if err != nil {
		return err
	}
	return errors.Join(c.Ping(ctx), c.Close())
}

// PeerName asks the kernel for it on a copy of the socket, which pidfd_getfd(2) makes: /proc/net/unix does not tell who is connected to whom.
func (Live) PeerName(pid, fd int) (string, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return "", fmt.Errorf("open process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(process) }()
	copied, err := unix.PidfdGetfd(process, fd, 0)
	if errors.Is(err, unix.EBADF) { // closed meanwhile
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("copy descriptor %d of process %d: %w", fd, pid, err)
	}
	defer func() { _ = unix.Close(copied) }()
	address, err := unix.Getpeername(copied)
	if errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return "", nil
	}
	if named, is := address.(*unix.SockaddrUnix); err == nil && is {
		return named.Name, nil
	}
	return "", err
}

// Writable asks for the user that counts when a file is opened: faccessat(2), AT_EACCESS.
func (Live) Writable(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS)
}

// ClockSynchronised reads the kernel's clock state: adjtimex(2), STA_UNSYNC.
func (Live) ClockSynchronised() (bool, error) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, fmt.Errorf("read the clock's state: %w", err)
	}
	return t.Status&unix.STA_UNSYNC == 0, nil
}

// Free asks the file system: statfs(2).
func (Live) Free(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
