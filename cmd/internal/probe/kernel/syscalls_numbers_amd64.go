package kernel

import "golang.org/x/sys/unix"

// oldSyscallNumbers are those of system calls that only older architectures have.
var oldSyscallNumbers = map[string]int{
	"poll":       unix.SYS_POLL,
	"epoll_wait": unix.SYS_EPOLL_WAIT,
}
