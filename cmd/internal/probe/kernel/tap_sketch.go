package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// sketchBits is SKETCH_BITS of bpf/tap.bpf.c, and a sketch as it is there: the number of its unit; bits for ports and for peers received,
// and for ports and for peers sent.
const (
	sketchBits  = 4096
	sketchBytes = 8 + 4*sketchBits/8
)

// derive estimates how many ports and peers there were in a unit.
func (t *taps) derive(number int64, counts []uint64) error {
	b, err := t.sketches.LookupBytes(uint32(number % slots))
	if err != nil {
		return fmt.Errorf("read ports and peers: %w", err)
	}
	var sum [sketchBytes - 8]byte
	for ; len(b) >= sketchBytes; b = b[sketchBytes:] {
		if binary.NativeEndian.Uint64(b) != uint64(number) {
			continue // that CPU has seen nothing in this unit
		}
		for i, v := range b[8:sketchBytes] {
			sum[i] |= v
		}
	}
	const bytes = sketchBits / 8
	each := len(probe.TapHeaders)
	for direction := range 2 {
		at := 2*probe.TapLengths.Count() + direction*each + each - 2
		bits := sum[direction*2*bytes:]
		counts[at] = distinct(bits[:bytes])
		counts[at+1] = distinct(bits[bytes : 2*bytes])
	}
	return nil
}

// distinct estimates how many values have set the bits of a bitmap, by linear counting (K.-Y. Whang, B. T. Vander-Zanden, H. M. Taylor, A
// Linear-Time Probabilistic Counting Algorithm for Database Applications, ACM TODS 15(2), 1990). A full bitmap counts as if one bit
// was left.
func distinct(bitmap []byte) uint64 {
	m := float64(8 * len(bitmap))
	zero := 0
	for _, b := range bitmap {
		zero += 8 - bits.OnesCount8(b)
	}
	return uint64(math.Round(m * math.Log(m/math.Max(float64(zero), 1))))
}
