package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Listen makes the helper's socket, for its owner and a group: mode 0660. A group of -1 is the process's own. A socket on which nobody listens any
// more is replaced; one on which somebody does is not, nor is anything else. The process's umask is another one meanwhile.
func Listen(path string, group int) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("probe: make directory of the socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	old := syscall.Umask(0o177) // its group may use it only once it is the right one
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("probe: listen: %w", err)
	}
	if group >= 0 {
		err = os.Chown(path, -1, group)
	}
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("probe: set who may use the socket: %w", err), l.Close())
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("probe: look at the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("probe: %s is there already and no socket: not replaced (--socket must name a path for a socket)", path)
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("probe: %s: another virtsentry-probe listens there (one a socket: set --socket)", path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("probe: whether anybody listens on %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("probe: remove stale socket: %w", err)
	}
	return nil
}
