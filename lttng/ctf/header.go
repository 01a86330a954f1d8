package ctf

import "encoding/binary"

// headerShape says how an event header is read: LTTng's two are known by their
// structure, whatever their names, and read without walking the type.
type headerShape uint8

const (
	headerGeneric   headerShape = iota
	headerNone                  // events have no header: one class, no time stamps
	headerCompactLE             // 5-bit id and 27-bit time stamp, or 32-bit id and 64-bit time stamp
	headerLargeLE               // 16-bit id and 32-bit time stamp, or 32-bit id and 64-bit time stamp
)

// shapeOf recognises LTTng's event headers, little-endian, byte-aligned. A header that
// others than its own variant refer to (refs, by slot) is read the general way.
func shapeOf(s *Struct, refs []int) headerShape {
	if s == nil {
		return headerNone
	}
	if s.align != 8 || len(s.Fields) != 2 || s.Fields[0].Name != "id" {
		return headerGeneric
	}
	tag, ok := s.Fields[0].Type.(*Enum)
	v, ok2 := s.Fields[1].Type.(*Variant)
	if !ok || !ok2 || tag.Int.Signed || tag.Int.Order != LittleEndian || v.tag != tag || len(v.Options) != 2 ||
		v.slot != s.Fields[0].slot || refs[v.slot] != 1 {
		return headerGeneric
	}
	ext := uint64(1)<<tag.Int.Size - 1
	if len(v.choice) != 2 || v.choice[0] != (choice{0, ext - 1, 0}) || v.choice[1] != (choice{ext, ext, 1}) {
		return headerGeneric
	}
	compact, ok := plainInts(v.Options[0].Type, "timestamp")
	extended, ok2 := plainInts(v.Options[1].Type, "id", "timestamp")
	if !ok || !ok2 || extended[0].Size != 32 || extended[1].Size != 64 || extended[0].align != 8 || extended[1].align != 8 ||
		extended[0].Clock != nil || extended[1].Clock == nil || compact[0].Clock != extended[1].Clock {
		return headerGeneric
	}
	switch {
	case tag.Int.Size == 16 && tag.Int.align == 8 && compact[0].Size == 32 && compact[0].align == 8:
		return headerLargeLE
	case tag.Int.Size == 5 && tag.Int.align == 1 && compact[0].Size == 27 && compact[0].align == 1:
		return headerCompactLE
	}
	return headerGeneric
}

// plainInts returns the members of a struct if they are little-endian unsigned
// integers with these names, referred to by nobody.
func plainInts(t Type, names ...string) ([]*Integer, bool) {
	s, ok := t.(*Struct)
	if !ok || len(s.Fields) != len(names) || s.align > 8 {
		return nil, false
	}
	var ints []*Integer
	for i, f := range s.Fields {
		t, ok := f.Type.(*Integer)
		if !ok || f.Name != names[i] || f.slot >= 0 || t.Signed || t.Order != LittleEndian {
			return nil, false
		}
		ints = append(ints, t)
	}
	return ints, true
}

// header is what an event's header says.
type header struct {
	id     uint64
	cycles uint64 // the clock's value after the header
	hasID  bool
}

// wrap moves a clock value on to the next one whose low bits are v.
func wrap(cycles, v uint64, bits uint8) uint64 {
	if bits >= 64 {
		return v
	}
	mask := uint64(1)<<bits - 1
	next := cycles&^mask | v&mask
	if next < cycles {
		next += mask + 1
	}
	return next
}

// readHeader reads the event header at bit pos. h.cycles is the clock before it.
func (w *window) readHeader(s *StreamClass, pos uint64, h *header) (uint64, string) {
	switch s.header {
	case headerLargeLE:
		pos = alignUp(pos, 8)
		b := w.buf[min(pos, w.end)/8 : w.end/8]
		if len(b) >= 6 {
			if id := binary.LittleEndian.Uint16(b); id != 0xffff {
				h.id, h.hasID = uint64(id), true
				h.cycles = wrap(h.cycles, uint64(binary.LittleEndian.Uint32(b[2:])), 32)
				return pos + 48, ""
			}
		}
		return extendedHeader(b, 2, pos, h)
	case headerCompactLE:
		pos = alignUp(pos, 8)
		b := w.buf[min(pos, w.end)/8 : w.end/8]
		if len(b) >= 4 {
			if v := binary.LittleEndian.Uint32(b); v&31 != 31 {
				h.id, h.hasID = uint64(v&31), true
				h.cycles = wrap(h.cycles, uint64(v>>5), 27)
				return pos + 32, ""
			}
		}
		return extendedHeader(b, 1, pos, h)
	case headerNone:
		return pos, ""
	}
	return w.walkHeader(s.EventHeader, pos, h)
}

// extendedHeader reads the rest of an extended header, which starts after skip bytes.
func extendedHeader(b []byte, skip int, pos uint64, h *header) (uint64, string) {
	if len(b) < skip+12 {
		return pos, msgPastEnd
	}
	h.id, h.hasID = uint64(binary.LittleEndian.Uint32(b[skip:])), true
	h.cycles = binary.LittleEndian.Uint64(b[skip+4:])
	return pos + uint64(skip+12)*8, ""
}

// walkHeader reads a header of any shape: the last integer or enumeration named id
// gives the event's class, every integer mapped to a clock moves the clock on.
func (w *window) walkHeader(t Type, pos uint64, h *header) (uint64, string) {
	return w.walkField(&Field{Type: t, slot: -1}, pos, h)
}

func (w *window) walkField(f *Field, pos uint64, h *header) (uint64, string) {
	var i *Integer
	msg := ""
	switch t := f.Type.(type) {
	case *Integer:
		i = t
	case *Enum:
		i = t.Int
	case *Struct:
		pos = alignUp(pos, t.align)
		for n := range t.Fields {
			if pos, msg = w.walkField(&t.Fields[n], pos, h); msg != "" {
				break
			}
		}
		return pos, msg
	case *Variant:
		option := t.selects(w.slots[t.slot])
		if option < 0 {
			return pos, msgNoTag
		}
		return w.walkField(&Field{Type: t.Options[option].Type, slot: -1}, pos, h)
	default:
		pr, err := program(nil).compile(t, f.slot)
		if err != nil {
			return pos, err.Error()
		}
		return w.skip(pr, pos)
	}
	pos = alignUp(pos, i.align)
	if pos > w.end || uint64(i.Size) > w.end-pos {
		return pos, msgPastEnd
	}
	v := w.integer(i, pos)
	if f.slot >= 0 {
		w.slots[f.slot] = v
	}
	if f.Name == "id" {
		h.id, h.hasID = v, true
	}
	if i.Clock != nil {
		h.cycles = wrap(h.cycles, v, i.Size)
	}
	return pos + uint64(i.Size), ""
}
