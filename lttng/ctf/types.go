package ctf

import "math/bits"

// ByteOrder is the order of a field's bytes; in bit-fields also of its bits.
type ByteOrder uint8

// Byte orders. Native is what the trace block says, replaced when the metadata is complete.
const (
	Native ByteOrder = iota
	LittleEndian
	BigEndian
)

// Type is the type of a field: *Integer, *Float, *String, *Enum, *Struct, *Variant,
// *Array or *Sequence.
type Type interface {
	// Align is the alignment in bits, a power of two, relative to the packet's start.
	Align() uint64
}

// Integer is a bit-field of 1 to 64 bits.
type Integer struct {
	Size     uint8 // bits
	Signed   bool
	Order    ByteOrder
	Base     uint8 // preferred base when shown: 2, 8, 10 or 16
	Text     bool  // a character: its array or sequence is a text
	Clock    *Clock
	align    uint64
	clockRef string
}

// Float is an IEEE 754 number of 32 or 64 bits.
type Float struct {
	Size  uint8 // bits
	Order ByteOrder
	align uint64
}

// String ends with a zero byte.
type String struct{}

// Enum is an integer whose values have labels.
type Enum struct {
	Int      *Integer
	Mappings []Mapping // in the order of the metadata; ranges may overlap
}

// Mapping gives the label of a range of values, both ends included. The bounds are
// an int64's bits where the enumeration is signed.
type Mapping struct {
	Label  string
	Lo, Hi uint64
}

// Struct is a sequence of named fields.
type Struct struct {
	Fields []Field
	align  uint64
}

// Field is a member of a Struct or an option of a Variant.
type Field struct {
	Name string // without the underscore that LTTng puts in front
	Type Type
	slot int32 // where its value is kept for a sequence or variant that refers to it, or -1
}

// Variant is one of its options, chosen by the label of an enumeration read before.
type Variant struct {
	Options []Field
	path    []string // reference to the tag
	tag     *Enum    // set when the reference is resolved
	slot    int32
	choice  []choice
}

// choice is a range of tag values that selects an option.
type choice struct {
	lo, hi uint64
	option int
}

// Array has a constant number of elements.
type Array struct {
	Elem Type
	Len  uint64
}

// Sequence has as many elements as an integer read before says.
type Sequence struct {
	Elem Type
	path []string // reference to the length
	slot int32
}

// Align implements Type.
func (t *Integer) Align() uint64 { return t.align }

// Align implements Type.
func (t *Float) Align() uint64 { return t.align }

// Align implements Type: strings start on a byte.
func (t *String) Align() uint64 { return 8 }

// Align implements Type.
func (t *Enum) Align() uint64 { return t.Int.align }

// Align implements Type: the largest of the members' and of the struct's own.
func (t *Struct) Align() uint64 { return t.align }

// Align implements Type: a variant has none of its own, the chosen option aligns itself.
func (t *Variant) Align() uint64 { return 1 }

// Align implements Type.
func (t *Array) Align() uint64 { return t.Elem.Align() }

// Align implements Type.
func (t *Sequence) Align() uint64 { return t.Elem.Align() }

// IsText tells whether an array or sequence with this element type is a text.
func IsText(elem Type) bool {
	i, ok := elem.(*Integer)
	return ok && i.Text && i.Size == 8 && i.align == 8
}

// contains tells whether v, taken as a value of the enumeration, is in the mapping.
func (t *Enum) contains(m Mapping, v uint64) bool {
	return inRange(t.Int.Signed, m.Lo, m.Hi, v)
}

func inRange(signed bool, lo, hi, v uint64) bool {
	if signed {
		return int64(lo) <= int64(v) && int64(v) <= int64(hi)
	}
	return lo <= v && v <= hi
}

// Labels appends the labels of value v (an int64's bits where signed) to dst.
func (t *Enum) Labels(dst []string, v uint64) []string {
	for _, m := range t.Mappings {
		if !t.contains(m, v) {
			continue
		}
		seen := false
		for _, have := range dst {
			seen = seen || have == m.Label
		}
		if !seen {
			dst = append(dst, m.Label)
		}
	}
	return dst
}

// selects returns the index of the option that the tag's value chooses, -1 if none.
func (t *Variant) selects(tag uint64) int {
	for _, c := range t.choice {
		if inRange(t.tag.Int.Signed, c.lo, c.hi, tag) {
			return c.option
		}
	}
	return -1
}

// alignUp rounds pos up to a multiple of align, a power of two.
func alignUp(pos, align uint64) uint64 {
	return (pos + align - 1) &^ (align - 1)
}

func isPowerOfTwo(v uint64) bool { return bits.OnesCount64(v) == 1 }
