// Package gdb is a client of the GDB remote serial protocol, as far as QEMU's gdb stub is needed to break on an address of a guest and to read registers and
// memory: "Debugging with GDB", appendix E. The stub answers for a guest that is trusted in nothing: each packet has a limit, each answer a deadline, and what is not
// understood is an error.
package gdb

import "errors"

// Limits of what the other side may send.
const (
	maxPacket = 32 << 10 // bytes between $ and #: a page of memory as hexadecimal digits, and all registers, are far less
	maxStray  = 64       // bytes and packets beside what is waited for
)

// ErrProtocol says that the stub has said what it may not.
var ErrProtocol = errors.New("gdb stub: not understood")

// Error is the stub's own: it could not do what was asked for, such as read memory that is not mapped.
type Error struct {
	Command string // its first characters
	Code    string // "E14"; empty: the stub does not know the command
}

// Error describes it.
func (e *Error) Error() string {
	if e.Code == "" {
		return "gdb stub: does not know " + e.Command
	}
	return "gdb stub: refuses " + e.Command + ": " + e.Code
}
