package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capability is one of capabilities(7).
type capability struct {
	bit  uint
	name string
}

// kept is what the helper needs: to load programs and make maps, to attach them to what processes do, and to network devices.
var kept = []capability{
	{unix.CAP_BPF, "CAP_BPF"},
	{unix.CAP_PERFMON, "CAP_PERFMON"},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"},
}

// netRaw is needed beside them on kernels without tcx.
var netRaw = capability{unix.CAP_NET_RAW, "CAP_NET_RAW"}

// set is a set of capabilities, as capset(2) has it: 64 bits in two halves.
type set [2]unix.CapUserData

func (s *set) add(c capability) {
	bit := uint32(1) << (c.bit % 32)
	s[c.bit/32].Effective |= bit
	s[c.bit/32].Permitted |= bit
}

func (s *set) has(c capability) bool {
	return s[c.bit/32].Effective&(1<<(c.bit%32)) != 0
}

func header() unix.CapUserHeader {
	return unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

// require checks that the process has capabilities.
func require(list []capability) error {
	var have set
	h := header()
	if err := unix.Capget(&h, &have[0]); err != nil {
		return fmt.Errorf("ask for capabilities: %w", err)
	}
	var missing []string
	for _, c := range list {
		if !have.has(c) {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s missing: start it as root, and leave it these capabilities (CapabilityBoundingSet= of systemd; it keeps no others)", strings.Join(missing, ", "))
	}
	return nil
}

// confine takes from all threads of the process, and from whatever it might start, every capability but those in the list, for good. Only a process
// without cgo can, as C would have threads of its own.
func confine(list []capability) error {
	all := func(what string, trap, a, b, c uintptr) error {
		if _, _, errno := syscall.AllThreadsSyscall(trap, a, b, c); errno != 0 {
			return fmt.Errorf("%s: %w", what, errno)
		}
		return nil
	}
	if err := all("set no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return err
	}
	if err := dropBounding(list, all); err != nil {
		return err
	}
	if err := all("clear ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	var want set
	for _, c := range list {
		want.add(c)
	}
	h := header()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&want[0])), 0); errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return require(list)
}

// dropBounding drops from the bounding set what is not in the list. That takes CAP_SETPCAP; without it, nothing is to be dropped there that matters:
// no_new_privs keeps a process that this one starts from getting any.
func dropBounding(list []capability, all func(what string, trap, a, b, c uintptr) error) error {
	keep := map[uint]bool{}
	for _, c := range list {
		keep[c.bit] = true
	}
	for bit := uint(0); bit < 64; bit++ {
		in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(bit), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // beyond the kernel's last one
		}
		if err != nil {
			return fmt.Errorf("read the bounding set: %w", err)
		}
		if in == 0 || keep[bit] {
			continue
		}
		if err := all("drop capabilities from the bounding set", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(bit), 0); err != nil && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return nil
}
