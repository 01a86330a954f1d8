package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/cilium/ebpf"
)

// Errors that a caller can tell apart. Each is wrapped with what was tried and, where there is one, a remedy.
var (
	// ErrUnsupported says that it cannot be done here: the kernel is too old, or was built without it, or the executable has nothing to count.
	ErrUnsupported = errors.New("not supported here")
	// ErrPermission says that the process may not do it.
	ErrPermission = errors.New("not permitted")
	// ErrGone says that what was observed is not there, or no longer: a device, a process, an executable.
	ErrGone = errors.New("it is gone")
	// ErrClosed says that a counter was closed.
	ErrClosed = errors.New("counter is closed")
)

// explain wraps what the kernel answers to an attempt into one of this package's errors.
func explain(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUnsupported), errors.Is(err, ErrPermission), errors.Is(err, ErrGone):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%s: %w: %w", what, ErrUnsupported, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: %w; it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and a kernel that is not locked down", what, ErrPermission, err)
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ESRCH), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("%s: %w: %w", what, ErrGone, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
