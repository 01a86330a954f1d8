package kernel

import (
	"fmt"
	"math"
	"math/bits"
)

// kind says what is counted of a call: enum kind of bpf/functions.bpf.c.
type kind uint64

const (
	kindCalls   kind = iota // that there was one
	kindPacket              // the length of a packet
	kindRequest             // the bytes of a disk request
	kindQueue               // what a virtio device has written into the buffers of a request
	kindAccount             // bytes and type of a disk request
	kindWrite               // the bytes of a write to a device register
	kindVector              // the length of a packet in pieces
)

// place says where an argument is: enum place of bpf/functions.bpf.c.
type place uint64

const (
	placeNowhere  place = iota
	placeRegister       // in the register
	placeMemory         // in memory, at number bytes from where the register points to
	placeConstant       // it is number
)

// argument is where a probe finds a number.
type argument struct {
	place    place
	register uint64 // number of the word in struct pt_regs
	size     uint64 // in bytes: 1, 2, 4 or 8
	signed   bool
	number   int32
}

// maxColumn is the last column that fits a cookie.
const maxColumn = 1<<12 - 1

// cookie tells the program what to count: bits 0 to 11 the first column, 12 to 15 the kind, 16 to 20 the register, 21 and 22 the place, 23 and 24
// the logarithm of the size, 25 the sign, 32 to 63 the number.
func cookie(column int, k kind, a argument) (uint64, error) {
	if column < 0 || column > maxColumn {
		return 0, fmt.Errorf("column %d of %d at most", column, maxColumn)
	}
	c := uint64(column) | uint64(k)<<12 | a.register<<16 | uint64(a.place)<<21 | uint64(uint32(a.number))<<32
	if a.size > 0 {
		c |= uint64(bits.Len64(a.size)-1) << 23
	}
	if a.signed {
		c |= 1 << 25
	}
	return c, nil
}

// fits says whether a displacement or constant can stand in a cookie.
func fits(n int64) bool { return n >= math.MinInt32 && n <= math.MaxInt32 }

// parameters are the words of struct pt_regs that have a function's first six integer arguments on x86-64 (System V ABI): rdi, rsi, rdx, rcx, r8, r9.
var parameters = [...]uint64{14, 13, 12, 11, 9, 8}
