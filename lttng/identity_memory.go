package lttng

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// memory is that of a process.
type memory interface {
	io.ReaderAt
	io.Closer
}

// memory of a process of this host is read by process_vm_readv(2), which takes the right to trace the process and no other. proc_pid_mem(5) takes that, too,
// and is a file that only the process's user may open, and who may open any file.
func (h host) memory(pid int) (memory, error) {
	if h == this {
		return processMemory(pid), nil
	}
	return os.Open(h.path(pid, "mem"))
}

// processMemory is that of the process of this ID. Its addresses are the offsets.
type processMemory int

// ReadAt reads memory of the process. Errors: unix.EFAULT where there is none, unix.ESRCH, unix.EPERM.
func (m processMemory) ReadAt(p []byte, address int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	local := []unix.Iovec{{Base: &p[0]}}
	local[0].SetLen(len(p))
	n, err := unix.ProcessVMReadv(int(m), local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(p)}}, 0)
	if err == nil && n < len(p) {
		err = unix.EFAULT
	}
	return max(n, 0), err
}

// Close does nothing.
func (processMemory) Close() error { return nil }
