package ctf

import (
	"bytes"
	"fmt"
)

// maxBits is larger than any packet that is read; a type of more bits is refused.
const maxBits = 1 << 40

// maxSteps bounds the work on a packet whose data asks for many elements of no size,
// beyond one step for each bit.
const maxSteps = 1 << 20

type opKind uint8

const (
	opFixed    opKind = iota // size bits whose value nobody needs
	opInt                    // an integer kept in a slot for later references
	opString                 // bytes up to and with a zero byte
	opSequence               // count from a slot, elements of one size
	opLoop                   // count from a slot or constant, elements by programme
	opChoice                 // one of several programmes, by the tag in a slot
)

// op is one step over a part of an event: align, then advance.
type op struct {
	kind    opKind
	slot    int32
	align   uint64 // bits
	size    uint64 // opFixed: bits; opSequence: bits of an element
	stride  uint64 // opSequence: bits from one element to the next
	count   uint64 // opLoop with slot < 0
	integer *Integer
	variant *Variant
	sub     []program // opLoop: one; opChoice: one for each option
}

// program skips a value of a type whose layout it was compiled from.
type program []op

// fixed tells whether the type has one size whatever the data.
func (pr program) fixed() (size, align uint64, ok bool) {
	switch {
	case len(pr) == 0:
		return 0, 1, true
	case len(pr) == 1 && pr[0].kind == opFixed:
		return pr[0].size, pr[0].align, true
	}
	return 0, 0, false
}

// space appends room of a fixed size, joined with the step before where the padding
// in between is known already.
func (pr program) space(align, size uint64) (program, error) {
	if n := len(pr) - 1; n >= 0 && pr[n].kind == opFixed && align <= pr[n].align {
		size += alignUp(pr[n].size, align)
		if size > maxBits {
			return nil, fmt.Errorf("type larger than %d bits", uint64(maxBits))
		}
		pr[n].size = size
		return pr, nil
	}
	if size > maxBits {
		return nil, fmt.Errorf("type larger than %d bits", uint64(maxBits))
	}
	return append(pr, op{kind: opFixed, align: align, size: size, slot: -1}), nil
}

// compile appends the steps over one value of type t.
func (pr program) compile(t Type, slot int32) (program, error) {
	switch t := t.(type) {
	case *Integer:
		return pr.compileInt(t, slot)
	case *Enum:
		return pr.compileInt(t.Int, slot)
	case *Float:
		return pr.space(t.align, uint64(t.Size))
	case *String:
		return append(pr, op{kind: opString, align: 8, slot: -1}), nil
	case *Struct:
		pr, err := pr.space(t.align, 0)
		for i := 0; i < len(t.Fields) && err == nil; i++ {
			pr, err = pr.compile(t.Fields[i].Type, t.Fields[i].slot)
		}
		return pr, err
	case *Array:
		return pr.compileArray(t)
	case *Sequence:
		elem, err := program(nil).compile(t.Elem, -1)
		if err != nil {
			return nil, err
		}
		if size, align, ok := elem.fixed(); ok {
			align = max(align, t.Align())
			return append(pr, op{kind: opSequence, slot: t.slot, align: align, size: size, stride: alignUp(size, align)}), nil
		}
		return append(pr, op{kind: opLoop, slot: t.slot, align: t.Align(), sub: []program{elem}}), nil
	case *Variant:
		o := op{kind: opChoice, slot: t.slot, align: 1, variant: t}
		for i := range t.Options {
			sub, err := program(nil).compile(t.Options[i].Type, -1)
			if err != nil {
				return nil, err
			}
			o.sub = append(o.sub, sub)
		}
		return append(pr, o), nil
	}
	return nil, fmt.Errorf("unknown type %T", t)
}

func (pr program) compileInt(t *Integer, slot int32) (program, error) {
	if slot < 0 {
		return pr.space(t.align, uint64(t.Size))
	}
	return append(pr, op{kind: opInt, slot: slot, align: t.align, integer: t}), nil
}

func (pr program) compileArray(t *Array) (program, error) {
	elem, err := program(nil).compile(t.Elem, -1)
	if err != nil {
		return nil, err
	}
	size, align, ok := elem.fixed()
	if !ok {
		return append(pr, op{kind: opLoop, slot: -1, align: t.Align(), count: t.Len, sub: []program{elem}}), nil
	}
	align = max(align, t.Align())
	if t.Len > 0 {
		stride := alignUp(size, align)
		if stride > 0 && t.Len > maxBits/stride {
			return nil, fmt.Errorf("type larger than %d bits", uint64(maxBits))
		}
		size += (t.Len - 1) * stride
	} else {
		size = 0
	}
	return pr.space(align, size)
}

// compileAll computes the layout of every event class and event header.
func (p *parser) compileAll() error {
	for _, s := range p.md.Streams {
		s.Clock = clockOf(s.EventHeader)
		if s.Clock == nil {
			s.Clock = clockOf(s.PacketContext)
		}
		if s.Clock == nil && len(p.md.Clocks) == 1 {
			s.Clock = p.md.Clocks[0]
		}
		var common program
		var err error
		if s.EventContext != nil {
			if common, err = common.compile(s.EventContext, -1); err != nil {
				return p.errorf("stream %d: event.context: %v", s.ID, err)
			}
		}
		for _, e := range s.Events {
			body := append(program(nil), common...)
			for _, part := range []*Struct{e.Context, e.Fields} {
				if part == nil {
					continue
				}
				if body, err = body.compile(part, -1); err != nil {
					return p.errorf("event %.80q: %v", e.Name, err)
				}
			}
			e.body = body
		}
		s.makeQuick()
	}
	return nil
}

// clockOf returns the clock of the first integer that is mapped to one.
func clockOf(t Type) *Clock {
	switch t := t.(type) {
	case *Integer:
		return t.Clock
	case *Enum:
		return t.Int.Clock
	case *Array:
		return clockOf(t.Elem)
	case *Struct:
		if t != nil {
			return clockOfFields(t.Fields)
		}
	case *Variant:
		return clockOfFields(t.Options)
	}
	return nil
}

func clockOfFields(fields []Field) *Clock {
	for _, f := range fields {
		if c := clockOf(f.Type); c != nil {
			return c
		}
	}
	return nil
}

// window is the content of one packet being decoded.
type window struct {
	buf   []byte   // from the packet's first byte
	end   uint64   // bits of content, at most 8*len(buf)
	slots []uint64 // values referred to by sequences and variants
	steps int      // left for the current packet
}

const (
	msgPastEnd = "field reaches past the packet's content"
	msgNoZero  = "string without an end in the packet's content"
	msgNoTag   = "variant's tag selects no option"
	msgSteps   = "more elements than are read"
)

// skip runs a programme from bit pos and returns where it ends; a defect is told by
// its message, with the bit at which it was found.
func (w *window) skip(pr program, pos uint64) (uint64, string) {
	for i := range pr {
		o := &pr[i]
		pos = alignUp(pos, o.align)
		if pos > w.end {
			return pos, msgPastEnd
		}
		left := w.end - pos
		switch o.kind {
		case opFixed:
			if o.size > left {
				return pos, msgPastEnd
			}
			pos += o.size
		case opInt:
			if uint64(o.integer.Size) > left {
				return pos, msgPastEnd
			}
			w.slots[o.slot] = w.integer(o.integer, pos)
			pos += uint64(o.integer.Size)
		case opString:
			n := bytes.IndexByte(w.buf[pos/8:w.end/8], 0)
			if n < 0 {
				return pos, msgNoZero
			}
			pos += uint64(n+1) * 8
		case opSequence:
			if n := w.slots[o.slot]; n > 0 && o.size > 0 {
				if o.size > left || n-1 > (left-o.size)/o.stride {
					return pos, msgPastEnd
				}
				pos += (n-1)*o.stride + o.size
			}
		default:
			var msg string
			if pos, msg = w.skipParts(o, pos); msg != "" {
				return pos, msg
			}
		}
	}
	return pos, ""
}

func (w *window) skipParts(o *op, pos uint64) (uint64, string) {
	if o.kind == opChoice {
		option := o.variant.selects(w.slots[o.slot])
		if option < 0 {
			return pos, msgNoTag
		}
		return w.skip(o.sub[option], pos)
	}
	n := o.count
	if o.slot >= 0 {
		n = w.slots[o.slot]
	}
	var msg string
	for ; n > 0; n-- {
		if w.steps--; w.steps < 0 {
			return pos, msgSteps
		}
		if pos, msg = w.skip(o.sub[0], pos); msg != "" {
			return pos, msg
		}
	}
	return pos, ""
}
