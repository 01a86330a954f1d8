package probe

// SyscallRoles are the roles of QEMU's threads, in the order of the columns. A worker is whatever is none of the others: the pool that
// does disk I/O, migration, VNC and SPICE.
var SyscallRoles = []string{"vcpu", "iothread", "main", "worker"}

// roleWords are those of SyscallRoles.
var roleWords = []string{"vCPU threads", "I/O threads", "QEMU's main thread", "QEMU's worker threads"}

// SyscallNames are the system calls that have a column of their own for each role, and one for all others. They are those of QEMU's event
// loops, disk and network back ends, memory and threads, and some that a QEMU does not make unless somebody has taken it over (execve and
// those with it). What it does at its start only, such as seccomp, is among the others.
var SyscallNames = []string{
	// files and disks
	"read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2",
	"io_setup", "io_destroy", "io_submit", "io_getevents", "io_pgetevents", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"fsync", "fdatasync", "sync_file_range", "fallocate", "ftruncate", "lseek", "copy_file_range", "flock",
	"openat", "close", "fstat", "newfstatat", "statx", "faccessat", "readlinkat", "unlinkat", "getdents64", "statfs", "fstatfs",
	// events and devices
	"ioctl", "poll", "ppoll", "pselect6", "epoll_wait", "epoll_pwait", "epoll_ctl", "eventfd2", "signalfd4", "pipe2", "dup", "dup3", "fcntl",
	// network
	"socket", "socketpair", "bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockopt", "setsockopt", "getsockname",
	"sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
	// memory
	"mmap", "munmap", "mprotect", "madvise", "mremap", "brk", "memfd_create",
	// threads, time and signals
	"futex", "sched_yield", "sched_setaffinity", "set_robust_list", "membarrier", "clone", "clone3", "exit",
	"nanosleep", "clock_nanosleep", "clock_gettime", "timer_settime", "timerfd_settime",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "tgkill",
	// other programs
	"execve", "kill", "ptrace",
	syscallOther,
}

const syscallOther = "other"

// syscallsColumns returns the system calls of each role.
func syscallsColumns() []Column {
	columns := make([]Column, 0, len(SyscallRoles)*len(SyscallNames))
	for i, role := range SyscallRoles {
		for _, name := range SyscallNames {
			what := "system calls " + name
			if name == syscallOther {
				what = "other system calls"
			}
			columns = append(columns, Column{"syscalls:" + role + ":" + name, "syscalls", what + " by " + roleWords[i]})
		}
	}
	return columns
}
