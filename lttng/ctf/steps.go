package ctf

import (
	"bytes"
	"math"
	"math/bits"
)

// quick is how the events of an id are gone over where their stream's headers are LTTng's large ones and their fields lie on bytes.
type quick struct {
	class *EventClass // nil: there is none that may be
	size  uint16      // bytes of an event from its header on, up to the first field whose size the data tells
	steps []step      // from there on; nil where there is no such field
	tail  uint32      // bytes behind the last step
}

// step goes over fields that lie on bytes without padding, as LTTng-UST writes them on x86: bytes that are there whatever the data, then one field whose size the
// data tells. program.skip says the same of them.
type step struct {
	bytes uint32 // at most maxStep
	kind  stepKind
	big   bool   // stepCounted: the count is big-endian
	width uint8  // stepCounted: bytes of the count
	elem  uint32 // stepCounted: bytes of an element, at most maxStep
}

type stepKind uint8

const (
	stepString  stepKind = iota // bytes up to and with a zero byte
	stepCounted                 // a count, and elements right behind it
)

const maxStep = 1 << 30

// steps translates a programme: steps, and the bytes behind the last one. ok is false where its fields do not lie on bytes, or are of other kinds.
func (pr program) steps() (list []step, tail uint32, ok bool) {
	before := uint64(0)
	for i := 0; i < len(pr); i++ {
		o := &pr[i]
		if o.align > 8 {
			return nil, 0, false
		}
		switch o.kind {
		case opFixed:
			if before += o.size / 8; o.size%8 != 0 || before > maxStep {
				return nil, 0, false
			}
			continue
		case opString:
			list = append(list, step{bytes: uint32(before), kind: stepString})
		case opInt:
			if i+1 == len(pr) {
				return nil, 0, false
			}
			s, ok := counted(o, &pr[i+1])
			if !ok {
				return nil, 0, false
			}
			s.bytes = uint32(before)
			list = append(list, s)
			i++
		default:
			return nil, 0, false
		}
		before = 0
	}
	return list, uint32(before), true
}

// counted joins a sequence with the count right in front of it.
func counted(count, sequence *op) (step, bool) {
	t := count.integer
	if sequence.kind != opSequence || sequence.slot != count.slot || sequence.align > 8 || t.Signed {
		return step{}, false
	}
	if sequence.size == 0 || sequence.size%8 != 0 || sequence.size/8 > maxStep || sequence.stride != sequence.size {
		return step{}, false
	}
	switch t.Size {
	case 8, 16, 32, 64:
	default:
		return step{}, false
	}
	return step{kind: stepCounted, width: t.Size / 8, big: t.Order == BigEndian, elem: uint32(sequence.size / 8)}, true
}

// makeQuick says how the stream's events are gone over.
func (s *StreamClass) makeQuick() {
	const extended = 0xffff
	if s.header != headerLargeLE {
		return
	}
	for _, e := range s.Events {
		if e.ID >= extended || e.ID >= s.compact() {
			continue
		}
		if n := int(e.ID) + 1; n > len(s.quick) {
			s.quick = append(s.quick, make([]quick, n-len(s.quick))...)
		}
		list, tail, ok := e.body.steps()
		first := &tail // what is there before any field whose size the data tells
		if len(list) > 0 {
			first = &list[0].bytes
		}
		if !ok || *first > math.MaxUint16-largeHeader {
			continue
		}
		size := uint16(largeHeader + *first)
		*first = 0
		s.quick[e.ID] = quick{class: e, size: size, steps: list, tail: tail}
	}
}

// skip runs the steps from byte pos of a packet's content and returns where the event ends. ok is false where the content ends before.
func (q *quick) skip(buf []byte, pos int) (end int, ok bool) {
	for i := range q.steps {
		s := &q.steps[i]
		if pos += int(s.bytes); pos < 0 || pos > len(buf) {
			return pos, false
		}
		var word uint64 // the eight bytes at pos, with zeros for those behind the end; the compiler makes one load of these
		if pos < len(buf)-7 {
			word = uint64(buf[pos]) | uint64(buf[pos+1])<<8 | uint64(buf[pos+2])<<16 | uint64(buf[pos+3])<<24 |
				uint64(buf[pos+4])<<32 | uint64(buf[pos+5])<<40 | uint64(buf[pos+6])<<48 | uint64(buf[pos+7])<<56
		} else {
			word = lastWord(buf[pos:])
		}
		if s.kind == stepString {
			if zeros := zeroBytes(word); zeros != 0 {
				pos += bits.TrailingZeros64(zeros)/8 + 1 // beyond the end, the next step says so
			} else if pos = behindZero(buf, pos+8); pos < 0 {
				return pos, false
			}
			continue
		}
		n := s.count(word)
		pos += int(s.width)
		left := uint64(len(buf) - pos)
		if pos > len(buf) || n > left || n*uint64(s.elem) > left { // content is far below 32 bits, and so is n then
			return pos, false
		}
		pos += int(n * uint64(s.elem))
	}
	pos += int(q.tail)
	return pos, pos <= len(buf)
}

// lastWord returns b's bytes, fewer than eight, as the begin of a little-endian word.
func lastWord(b []byte) (word uint64) {
	for i := range min(8, len(b)) {
		word |= uint64(b[i]) << (8 * i)
	}
	return word
}

// behindZero returns the place behind the first zero byte from pos on, -1 if there is none.
func behindZero(b []byte, pos int) int {
	for range 8 { // most texts are names: shorter than what a call of bytes.IndexByte is worth
		if pos < 0 || pos >= len(b)-7 {
			break
		}
		word := uint64(b[pos]) | uint64(b[pos+1])<<8 | uint64(b[pos+2])<<16 | uint64(b[pos+3])<<24 |
			uint64(b[pos+4])<<32 | uint64(b[pos+5])<<40 | uint64(b[pos+6])<<48 | uint64(b[pos+7])<<56
		if zeros := zeroBytes(word); zeros != 0 {
			return pos + bits.TrailingZeros64(zeros)/8 + 1
		}
		pos += 8
	}
	n := bytes.IndexByte(b[pos:], 0)
	if n < 0 {
		return -1
	}
	return pos + n + 1
}

// count takes the count from the eight bytes that it begins.
func (s *step) count(word uint64) uint64 {
	rest := (64 - 8*s.width) & 63 // 0 to 56; the compiler need not know what else it may be
	if s.big {
		return bits.ReverseBytes64(word) >> rest
	}
	return word << rest >> rest
}

// zeroBytes has the top bit of the first byte of v that is zero, if there is one; above that there may be more than those of zeros.
func zeroBytes(v uint64) uint64 { return (v - 0x0101010101010101) &^ v & 0x8080808080808080 }
