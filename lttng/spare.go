package lttng

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// spare is how many descriptors a call may take at a time, and some for others meanwhile.
const spare = 8

// spareFiles makes sure that a call gets the descriptors that it needs. Where it does not, liblttng-ctl (2.13) closes descriptor 0 by mistake, as it clears a poll
// set that was never made; and it ends the process by an assertion when its next socket is given that number. So 0 to 2 are open when this returns, too.
func spareFiles() (err error) {
	var held []int
	for len(held) < spare {
		fd, openErr := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if openErr != nil {
			err = fmt.Errorf("no descriptors are left for a call of LTTng (LimitNOFILE, or ulimit -n, is too low): %w", openErr)
			break
		}
		if fd > 2 {
			held = append(held, fd)
		}
	}
	for _, fd := range held {
		_ = unix.Close(fd)
	}
	return err
}
