package probe

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// checkExecutable checks that an emulator's functions can be observed in a process: that it is root's, and was not replaced after the process began.
// The kernel observes a file, not a path; of another file's functions, that process would call none. Which file it runs may only be seen with
// CAP_SYS_PTRACE, which the helper has not.
func (d Domains) checkExecutable(q qemu.Process, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("the domain's emulator %.200q is no absolute path", path)
	}
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &s); err != nil {
		return fmt.Errorf("the domain's emulator %s: %w", path, err)
	}
	if err := trustworthy(uint32(s.Mode), s.Uid); err != nil {
		return fmt.Errorf("the domain's emulator %s %w", path, err)
	}
	if s.Mask&unix.STATX_BTIME == 0 {
		return nil // this file system does not know; an upgrade then leaves counts of 0
	}
	age, err := d.processes().Age(q)
	if err != nil {
		return err
	}
	const slack = 10 * time.Second // by which the clock may have been set since
	if time.Unix(s.Btime.Sec, int64(s.Btime.Nsec)).After(time.Now().Add(-age).Add(slack)) {
		return errors.New("the domain's emulator " + path + " was replaced since the domain was started; shut the domain down and start it")
	}
	return nil
}
