package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// Host is where is looked.
type Host struct {
	Root   string // below which /proc, /sys, /etc and all else is: / but for tests
	RunDir string // libvirt's run-time state; empty: what the daemon's configuration says
	Config string // the daemon's configuration file
	Socket string // the daemon's control socket, as it is called in what is said
	Asked  Asked  // who answers there
	System System // what a file cannot tell
}

// Asked is the part of the daemon's interface that is used; control.Client has it.
type Asked interface {
	Domains(ctx context.Context) ([]control.DomainStatus, error)
}

// System is what no file tells. Live is that of this host.
type System interface {
	// Dial connects to a UNIX socket, says nothing, and tells who listens.
	Dial(path string) (Peer, error)
	// Helper asks the helper on a socket whether it serves this user. Errors: those of package probe.
	Helper(ctx context.Context, socket string) error
	// PeerName is the address to which a socket of another process is connected; empty for any that is not a UNIX socket with a name.
	PeerName(pid, fd int) (string, error)
	// Writable says whether this user may write to a file, or connect to a socket.
	Writable(path string) error
	// ClockSynchronised says whether the kernel takes the wall clock for synchronised.
	ClockSynchronised() (bool, error)
	// Free is the free space of the file system that holds a directory, in bytes.
	Free(dir string) (uint64, error)
}

// Peer is the process that listens on a socket.
type Peer struct {
	PID int // 0: of another PID namespace
	UID int
}

func (h *Host) path(name string) string { return filepath.Join(h.Root, name) }

func (h *Host) processes() qemu.Processes {
	return qemu.Processes{RunDir: h.path(h.RunDir), ProcDir: h.path("/proc")}
}

// maxText bounds a file of text that is read as a whole, in bytes, and maxLibrary a library.
const (
	maxText    = 16 << 20
	maxLibrary = 64 << 20
)

var errNoFile = errors.New("no ordinary file")

// open opens what must be an ordinary file: what a domain's process names might be anything, and a FIFO would never end.
func (h *Host) open(name string) (*os.File, error) {
	f, err := os.OpenFile(h.path(name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", name, errNoFile)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (h *Host) read(name string, most int64) ([]byte, error) {
	f, err := h.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: more than %d bytes", name, most)
	}
	return text, err
}

// line reads a file of one line.
func (h *Host) line(name string) (string, error) {
	text, err := h.read(name, maxText)
	return strings.TrimSpace(string(text)), err
}

func (h *Host) stat(name string) (fs.FileInfo, error)      { return os.Stat(h.path(name)) }
func (h *Host) readlink(name string) (string, error)       { return os.Readlink(h.path(name)) }
func (h *Host) readDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(h.path(name)) }

// ofProcess is the name of something in /proc/PID.
func ofProcess(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}
