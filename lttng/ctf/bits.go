package ctf

import (
	"encoding/binary"
	"math"
)

// integer reads the integer at bit pos; the caller has checked that it is within the
// content. Signed values come back as an int64's bits.
func (w *window) integer(t *Integer, pos uint64) uint64 {
	v := w.bits(t.Order, pos, uint64(t.Size))
	if t.Signed && t.Size < 64 {
		shift := 64 - t.Size
		v = uint64(int64(v<<shift) >> shift)
	}
	return v
}

// bits reads n (1 to 64) bits at pos.
func (w *window) bits(order ByteOrder, pos, n uint64) uint64 {
	if pos&7 == 0 {
		b := w.buf[pos>>3:]
		switch {
		case n == 8:
			return uint64(b[0])
		case order == LittleEndian:
			switch n {
			case 16:
				return uint64(binary.LittleEndian.Uint16(b))
			case 32:
				return uint64(binary.LittleEndian.Uint32(b))
			case 64:
				return binary.LittleEndian.Uint64(b)
			}
		default:
			switch n {
			case 16:
				return uint64(binary.BigEndian.Uint16(b))
			case 32:
				return uint64(binary.BigEndian.Uint32(b))
			case 64:
				return binary.BigEndian.Uint64(b)
			}
		}
	}
	if order == BigEndian {
		return w.bitsBE(pos, n)
	}
	return w.bitsLE(pos, n)
}

// bitsLE reads a bit-field whose first bit is the least significant one of the first
// byte's rest.
func (w *window) bitsLE(pos, n uint64) uint64 {
	var v, got uint64
	for got < n {
		shift := pos & 7
		take := min(8-shift, n-got)
		part := uint64(w.buf[pos>>3]>>shift) & (1<<take - 1)
		v |= part << got
		got += take
		pos += take
	}
	return v
}

// bitsBE reads a bit-field whose first bit is the most significant one.
func (w *window) bitsBE(pos, n uint64) uint64 {
	var v, got uint64
	for got < n {
		used := pos & 7
		take := min(8-used, n-got)
		part := uint64(w.buf[pos>>3]>>(8-used-take)) & (1<<take - 1)
		v = v<<take | part
		got += take
		pos += take
	}
	return v
}

func (w *window) float(t *Float, pos uint64) float64 {
	v := w.bits(t.Order, pos, uint64(t.Size))
	if t.Size == 32 {
		return float64(math.Float32frombits(uint32(v)))
	}
	return math.Float64frombits(v)
}
