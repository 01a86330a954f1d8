package qemu

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errNotTrusted says that a process runs a file that others than root could have made.
var errNotTrusted = errors.New("its executable is not a file that only root may write")

// executable opens the file that a process runs. To read an executable costs as much memory as who made it wants (sections may be of any size, and
// compressed), and a QEMU that its guest has taken over may run another one: so it is to be root's, or the caller's own. The file is to be closed.
func (p Processes) executable(q Process) (*elf.File, *os.File, error) {
	f, err := os.Open(p.proc(q.PID, "exe"))
	if err != nil {
		return nil, nil, noProcess(err)
	}
	e, err := trusted(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return e, f, nil
}

func trusted(f *os.File) (*elf.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular() || !known:
		return nil, errNotTrusted
	case s.Uid != 0 && int(s.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%w: it belongs to user %d", errNotTrusted, s.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("%w: its mode is %v", errNotTrusted, info.Mode().Perm())
	}
	return elf.NewFile(f)
}
