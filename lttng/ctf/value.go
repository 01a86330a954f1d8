package ctf

import "bytes"

// maxValues bounds the values of one decoded event.
const maxValues = 1 << 18

// Value is a decoded field. Which members count depends on Type.
type Value struct {
	Name   string // of a struct's member
	Type   Type
	Hidden bool    // only serves the format: moves the clock on
	Uint   uint64  // *Integer and *Enum; an int64's bits where the integer is signed
	Float  float64 // *Float
	Text   []byte  // *String and text arrays or sequences, up to the first zero byte; valid until the reader moves on
	Elems  []Value // members, elements; of a *Variant the option chosen
}

// hidden tells whether the field only serves the format: an integer that moves a clock
// on and to which nothing refers.
func (f *Field) hidden() bool {
	i, ok := f.Type.(*Integer)
	if e, isEnum := f.Type.(*Enum); isEnum {
		i, ok = e.Int, true
	}
	return ok && i.Clock != nil && f.slot < 0
}

// Int returns a signed integer's value.
func (v *Value) Int() int64 { return int64(v.Uint) }

// Field returns the member of that name of a struct, nil if there is none.
func (v *Value) Field(name string) *Value {
	for i := range v.Elems {
		if v.Elems[i].Name == name {
			return &v.Elems[i]
		}
	}
	return nil
}

// arena hands out values that live until reset.
type arena struct {
	free  []Value
	block []Value
	used  int
}

func (a *arena) reset() {
	a.free, a.used = a.block, 0
}

// kept is the arena for another reader: nothing of what it handed out is in it.
func (a *arena) kept() arena {
	if len(a.block) > keptValues {
		return arena{}
	}
	clear(a.block)
	return arena{free: a.block, block: a.block}
}

// take returns n zero values in one piece, unless the event has too many.
func (a *arena) take(n int) ([]Value, bool) {
	if a.used += n; a.used > maxValues {
		return nil, false
	}
	if n > len(a.free) {
		a.block = make([]Value, max(n, 2*len(a.block), 64))
		a.free = a.block
	}
	out := a.free[:n:n]
	a.free = a.free[n:]
	clear(out)
	return out, true
}

// decode reads the value of type t at bit pos into v and returns where it ends.
func (w *window) decode(a *arena, t Type, slot int32, pos uint64, v *Value) (uint64, string) {
	var ok bool
	pos = alignUp(pos, t.Align())
	if pos > w.end {
		return pos, msgPastEnd
	}
	v.Type = t
	switch t := t.(type) {
	case *Integer:
		return w.decodeInt(t, slot, pos, v)
	case *Enum:
		return w.decodeInt(t.Int, slot, pos, v)
	case *Float:
		if uint64(t.Size) > w.end-pos {
			return pos, msgPastEnd
		}
		v.Float = w.float(t, pos)
		return pos + uint64(t.Size), ""
	case *String:
		b := w.buf[pos/8 : w.end/8]
		n := bytes.IndexByte(b, 0)
		if n < 0 {
			return pos, msgNoZero
		}
		v.Text = b[:n]
		return pos + uint64(n+1)*8, ""
	case *Struct:
		if v.Elems, ok = a.take(len(t.Fields)); !ok {
			return pos, msgSteps
		}
		msg := ""
		for i := 0; i < len(t.Fields) && msg == ""; i++ {
			f := &t.Fields[i]
			v.Elems[i].Name, v.Elems[i].Hidden = f.Name, f.hidden()
			pos, msg = w.decode(a, f.Type, f.slot, pos, &v.Elems[i])
		}
		return pos, msg
	case *Variant:
		option := t.selects(w.slots[t.slot])
		if option < 0 {
			return pos, msgNoTag
		}
		if v.Elems, ok = a.take(1); !ok {
			return pos, msgSteps
		}
		v.Elems[0].Name = t.Options[option].Name
		return w.decode(a, t.Options[option].Type, -1, pos, &v.Elems[0])
	case *Array:
		return w.decodeElems(a, t.Elem, t.Len, pos, v)
	case *Sequence:
		return w.decodeElems(a, t.Elem, w.slots[t.slot], pos, v)
	}
	return pos, "unknown type"
}

func (w *window) decodeInt(t *Integer, slot int32, pos uint64, v *Value) (uint64, string) {
	if uint64(t.Size) > w.end-pos {
		return pos, msgPastEnd
	}
	v.Uint = w.integer(t, pos)
	if slot >= 0 {
		w.slots[slot] = v.Uint
	}
	return pos + uint64(t.Size), ""
}

func (w *window) decodeElems(a *arena, elem Type, n, pos uint64, v *Value) (uint64, string) {
	if IsText(elem) {
		if n > (w.end-pos)/8 {
			return pos, msgPastEnd
		}
		v.Text, _, _ = bytes.Cut(w.buf[pos/8:pos/8+n], []byte{0})
		return pos + n*8, ""
	}
	if n > maxValues {
		return pos, msgSteps
	}
	var ok bool
	if v.Elems, ok = a.take(int(n)); !ok {
		return pos, msgSteps
	}
	msg := ""
	for i := 0; i < len(v.Elems) && msg == ""; i++ {
		pos, msg = w.decode(a, elem, -1, pos, &v.Elems[i])
	}
	return pos, msg
}
