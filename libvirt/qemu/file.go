package qemu

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Sizes beyond which a file is not what it should be, bytes.
const (
	mostPIDFile = 64
	mostStat    = 4 << 10
	mostCmdline = 8 << 20 // more than the kernel takes of arguments, execve(2)
)

// readFile reads a regular file of a bounded size. It never waits, as for somebody who writes into a FIFO.
func readFile(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > most {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return data, nil
}
