// Package guestcalls counts the system calls of a guest without anything in it: a hardware breakpoint lies on the entry of its kernel, and QEMU's gdb stub stops the guest
// there. The entry is found from the guest's own tables. The guest must run a 64-bit Linux on x86_64; its 32-bit programs, and those that call by other ways than the
// instruction SYSCALL, are not seen.
//
// Each call costs the guest a stop. So the break is armed all the time only while calls are few, and otherwise for moments, out of which the counts are scaled: see Limits.
package guestcalls
