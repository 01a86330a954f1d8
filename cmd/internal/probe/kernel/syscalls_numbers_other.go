//go:build !amd64

package kernel

// oldSyscallNumbers are those of system calls that only older architectures have.
var oldSyscallNumbers map[string]int
