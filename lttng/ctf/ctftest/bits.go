package ctftest

// Bits writes bit-fields one after another, as CTF lays them out.
type Bits struct {
	Buf []byte
	n   uint64 // bits written
}

// Len returns the number of bits written.
func (b *Bits) Len() uint64 { return b.n }

// Align fills up with zero bits to a multiple of align bits.
func (b *Bits) Align(align uint64) {
	for b.n%align != 0 {
		b.bit(0, 0)
	}
}

// Uint writes the lowest size bits of v. Big-endian fields begin with their highest
// bit in their first byte's highest, little-endian ones with their lowest bit in the
// lowest.
func (b *Bits) Uint(v uint64, size int, bigEndian bool) {
	for i := range size {
		if bigEndian {
			b.bit(byte(v>>(size-1-i)&1), 7-b.n%8)
		} else {
			b.bit(byte(v>>i&1), b.n%8)
		}
	}
}

func (b *Bits) bit(v byte, place uint64) {
	if b.n%8 == 0 {
		b.Buf = append(b.Buf, 0)
	}
	b.Buf[b.n/8] |= v << place
	b.n++
}

// Bytes writes whole bytes; the position must be a whole byte.
func (b *Bits) Bytes(data []byte) {
	for _, c := range data {
		b.Uint(uint64(c), 8, false)
	}
}
