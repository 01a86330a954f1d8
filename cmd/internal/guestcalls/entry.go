package guestcalls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/virtsentry/virtsentry/cmd/internal/gdb"
)

// ErrNoEntry says that the guest has nothing that looks like the system-call entry of a 64-bit Linux.
var ErrNoEntry = errors.New("no system-call entry of a 64-bit Linux")

// Table is the guest's interrupt descriptor table: the address and the limit of the register IDTR.
type Table struct {
	Base  uint64
	Limit uint32
}

// Memory reads guest memory; gdb.Conn does. An address that is not mapped is a gdb.Error.
type Memory interface {
	Memory(address uint64, size int) ([]byte, error)
}

// The handler of exception 0 and the system-call entry lie in one section of the kernel, .entry.text, which is a few pages long. It is mapped also where page-table
// isolation takes the rest of the kernel away while a program runs.
const (
	reach   = 128 << 10 // bytes on each side of the handler
	page    = 4096
	piece   = 1024
	kernel  = 0xffff_8000_0000_0000 // the lowest address of the kernel's half
	oneGate = 16
)

// The first instructions of entry_SYSCALL_64: swapgs, and %rsp saved in the CPU's own area, whose address is absolute, or (from Linux 6.8 on) relative to the instruction.
var (
	swapgs   = []byte{0x0f, 0x01, 0xf8}
	absolute = []byte{0x0f, 0x01, 0xf8, 0x65, 0x48, 0x89, 0x24, 0x25}
	relative = []byte{0x0f, 0x01, 0xf8, 0x65, 0x48, 0x89, 0x25}
)

// FindEntry finds the system-call entry of a stopped guest: from the handler of exception 0 in the interrupt descriptor table, the section around it is searched for
// the entry's first instructions. The guest may have prepared all of it; what is found is an address in the kernel's half at which a swapgs is, once, and nothing more is
// believed of it. Errors: ErrNoEntry; gdb.ErrProtocol and those of the connection.
func FindEntry(m Memory, t Table) (uint64, error) {
	if t.Base < kernel || t.Limit < oneGate-1 {
		return 0, fmt.Errorf("%w: its interrupt descriptor table is at %#x: it has not booted so far, or is no 64-bit system", ErrNoEntry, t.Base)
	}
	gate, err := m.Memory(t.Base, oneGate)
	if err != nil {
		if isRefused(err) {
			return 0, fmt.Errorf("%w: its interrupt descriptor table at %#x cannot be read: %w", ErrNoEntry, t.Base, err)
		}
		return 0, err
	}
	handler, err := parseGate(gate)
	if err != nil {
		return 0, err
	}
	var found []uint64
	low := (handler - reach) &^ (page - 1)
	for at := max(low, kernel); at-low < 2*reach && at >= low; {
		run, end, err := mapped(m, at, low+2*reach)
		if err != nil {
			return 0, err
		}
		found = append(found, entries(run, at)...)
		at = end
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("%w: none within %d KiB of the handler at %#x", ErrNoEntry, reach>>10, handler)
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("%w: %d places look like one, at %#x first", ErrNoEntry, len(found), found[0])
}

// mapped reads on until an address or a page that is not mapped, and says where to go on behind that.
func mapped(m Memory, from, to uint64) (run []byte, next uint64, err error) {
	for at := from; at < to && at >= from; at += piece {
		part, err := m.Memory(at, piece)
		if isRefused(err) {
			return run, (at | (page - 1)) + 1, nil
		}
		if err != nil {
			return nil, 0, err
		}
		run = append(run, part...)
	}
	return run, to, nil
}

func isRefused(err error) bool {
	var refused *gdb.Error
	return errors.As(err, &refused)
}

// parseGate reads an interrupt gate of 64-bit mode and returns its handler: Intel's manual, volume 3, 6.14.1.
func parseGate(b []byte) (uint64, error) {
	if len(b) < oneGate {
		return 0, fmt.Errorf("%w: a gate of %d bytes", ErrNoEntry, len(b))
	}
	const present, gates = 0x80, 0x1e
	if kind := b[5]; kind&present == 0 || kind&gates != 0x0e {
		return 0, fmt.Errorf("%w: exception 0 has no gate (type %#x)", ErrNoEntry, kind)
	}
	handler := uint64(binary.LittleEndian.Uint16(b)) | uint64(binary.LittleEndian.Uint16(b[6:]))<<16 | uint64(binary.LittleEndian.Uint32(b[8:]))<<32
	if handler < kernel+reach || handler > ^uint64(0)-2*reach {
		return 0, fmt.Errorf("%w: the handler of exception 0 is at %#x", ErrNoEntry, handler)
	}
	return handler, nil
}

// entries are the addresses in a run of memory at which the instructions of the entry are.
func entries(run []byte, base uint64) (found []uint64) {
	for i := 0; ; i++ {
		n := bytes.Index(run[i:], swapgs)
		if n < 0 {
			return found
		}
		if i += n; bytes.HasPrefix(run[i:], absolute) || bytes.HasPrefix(run[i:], relative) {
			found = append(found, base+uint64(i))
		}
	}
}
