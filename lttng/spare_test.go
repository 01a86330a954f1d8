package lttng

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// No call is made that would not get its descriptors, as liblttng-ctl does not survive that.
func TestSpareFiles(t *testing.T) {
	if err := spareFiles(); err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(fd), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	sessions, err := Sessions()
	if restoreErr := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); restoreErr != nil {
		t.Fatal(restoreErr)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("Sessions = %v, %v; want EMFILE", sessions, err)
	}
}
