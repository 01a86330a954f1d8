package ctf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Errors of EventClass.Select.
var (
	// ErrNoField says that an event has no field of that name.
	ErrNoField = errors.New("no such field")
	// ErrFieldType says that a field is neither an integer, nor an enumeration, nor a string.
	ErrFieldType = errors.New("field is no integer and no string")
)

// Scalar is a field's value as Reader.Select reads it.
type Scalar struct {
	Uint uint64 // an integer or enumeration; an int64's bits where it is signed
	Text []byte // a string, without its zero byte; valid until the reader moves on
}

// Selector reads chosen fields of one event class without decoding the others. It may be used by several readers at once.
type Selector struct {
	class *EventClass
	steps []selectStep
	picks []pick // the same, if the fields' places do not depend on the data; else nil
}

// pick is a field that starts so many bytes after the event's header whatever the data.
type pick struct {
	at   int
	kind pickKind
	to   int
}

type pickKind uint8

const (
	pickText pickKind = iota
	pick8
	pick16
	pick32
	pick64
	pickSigned32
)

// selectStep skips what lies between two chosen fields, then reads one.
type selectStep struct {
	skip    program
	integer *Integer // nil for a string
	to      int
}

// Select compiles the reading of the named fields, which must be integers, enumerations or strings at the top level of the event's
// fields. The errors are ErrNoField and ErrFieldType, with the names of event and field.
func (c *EventClass) Select(names ...string) (*Selector, error) {
	s := &Selector{class: c}
	var skip program
	var err error
	for _, part := range []*Struct{c.Stream.EventContext, c.Context} {
		if part != nil {
			if skip, err = skip.compile(part, -1); err != nil {
				return nil, fmt.Errorf("event %.80q: %w", c.Name, err)
			}
		}
	}
	var fields []Field
	if c.Fields != nil {
		fields = c.Fields.Fields
		if skip, err = skip.space(c.Fields.align, 0); err != nil {
			return nil, fmt.Errorf("event %.80q: %w", c.Name, err)
		}
	}
	for _, f := range fields {
		for to, name := range names {
			if name != f.Name || slices.Contains(names[:to], name) {
				continue
			}
			step := selectStep{skip: slices.Clone(skip), to: to}
			switch t := f.Type.(type) {
			case *Integer:
				step.integer = t
			case *Enum:
				step.integer = t.Int
			case *String:
			default:
				return nil, fmt.Errorf("event %.80q: field %.80q: %w", c.Name, name, ErrFieldType)
			}
			if step.skip, err = step.skip.space(f.Type.Align(), 0); err != nil {
				return nil, fmt.Errorf("event %.80q: %w", c.Name, err)
			}
			s.steps = append(s.steps, step)
			skip = nil // the next step starts where this field starts
		}
		if skip, err = skip.compile(f.Type, f.slot); err != nil {
			return nil, fmt.Errorf("event %.80q: %w", c.Name, err)
		}
	}
	for to, name := range names {
		if !slices.ContainsFunc(s.steps, func(st selectStep) bool { return st.to == to }) {
			return nil, fmt.Errorf("event %.80q: field %.80q: %w", c.Name, name, ErrNoField)
		}
	}
	s.picks = makePicks(s.steps)
	return s, nil
}

// makePicks finds the places of fields, nil if they depend on the data or a field is of a kind that has no pick.
func makePicks(list []selectStep) []pick {
	var picks []pick
	at := uint64(0)
	for _, st := range list {
		varied, fixed, ok := st.skip.steps()
		if !ok || len(varied) > 0 || at+uint64(fixed) > maxStep {
			return nil
		}
		at += uint64(fixed)
		p := pick{at: int(at), to: st.to}
		if t := st.integer; t != nil {
			switch {
			case t.Order != LittleEndian || t.align > 8 || t.Signed && t.Size != 32 && t.Size != 64:
				return nil
			case t.Size == 8:
				p.kind = pick8
			case t.Size == 16:
				p.kind = pick16
			case t.Size == 32 && t.Signed:
				p.kind = pickSigned32
			case t.Size == 32:
				p.kind = pick32
			case t.Size == 64:
				p.kind = pick64
			default:
				return nil
			}
		}
		picks = append(picks, p)
	}
	return picks
}

// pickAll reads fields of the event whose fields are b; ok is false where there is anything special about one.
func pickAll(picks []pick, b []byte, dst []Scalar) (ok bool) {
	for i := range picks {
		p := &picks[i]
		if p.at > len(b) {
			return false
		}
		d, v := b[p.at:], &dst[p.to]
		switch {
		case p.kind == pickText:
			n := behindZero(d, 0)
			if n < 0 {
				return false
			}
			v.Text = d[:n-1]
		case p.kind == pick64 && len(d) >= 8:
			v.Uint = binary.LittleEndian.Uint64(d)
		case p.kind == pick32 && len(d) >= 4:
			v.Uint = uint64(binary.LittleEndian.Uint32(d))
		case p.kind == pickSigned32 && len(d) >= 4:
			v.Uint = uint64(int32(binary.LittleEndian.Uint32(d)))
		case p.kind == pick16 && len(d) >= 2:
			v.Uint = uint64(binary.LittleEndian.Uint16(d))
		case p.kind == pick8 && len(d) >= 1:
			v.Uint = uint64(d[0])
		default:
			return false
		}
	}
	return true
}

// Select reads the current event's chosen fields into dst, in the order of their names; dst has an element for each. The event must be
// of the selector's class. It does not allocate.
func (r *Reader) Select(s *Selector, dst []Scalar) error {
	if r.err != nil {
		return r.err
	}
	if r.Class != s.class {
		return fmt.Errorf("select fields: the current event is not of class %.80q", s.class.Name)
	}
	if s.picks != nil && r.body%8 == 0 && pickAll(s.picks, r.win.buf[r.body/8:r.pos/8], dst) {
		return nil
	}
	pos := r.body
	for i := range s.steps {
		st := &s.steps[i]
		var msg string
		if pos, msg = r.win.skip(st.skip, pos); msg == "" {
			msg = r.win.scalar(st.integer, pos, &dst[st.to])
		}
		if msg != "" {
			r.failBit(pos, "event "+r.Class.Name+": "+msg)
			return r.err
		}
	}
	return nil
}

// scalar reads an integer, or a string if t is nil.
func (w *window) scalar(t *Integer, pos uint64, v *Scalar) string {
	if t != nil {
		if pos > w.end || uint64(t.Size) > w.end-pos {
			return msgPastEnd
		}
		v.Uint = w.integer(t, pos)
		return ""
	}
	b := w.buf[pos/8 : w.end/8]
	n := bytes.IndexByte(b, 0)
	if n < 0 {
		return msgNoZero
	}
	v.Text = b[:n]
	return ""
}
