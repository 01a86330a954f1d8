package ctftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Random is a trace of one stream whose metadata uses much of what TSDL can describe:
// bit-fields of any size and alignment in both byte orders, nested structs, variants,
// enumerations, arrays, sequences and texts, in contexts and fields.
type Random struct {
	Metadata string
	Data     []byte   // the stream file
	Want     []string // the events, as Event writes them
	Clock    []uint64 // the clock at each event

	r   *rand.Rand
	big bool
	out *Bits
	ids int  // makes names unique
	old bool // leave out what old versions of babeltrace2 get wrong
	ref bool // references may be drawn
}

// typ is a type as the generator has it. Its text is its declaration; encode writes a
// random value and returns it in canonical form.
type typ struct {
	text   string
	align  uint64
	encode func(scope map[string]uint64) string
}

// NewRandom makes a trace of a few packets from a seed. With old it leaves out what
// babeltrace2 2.0.4 cannot do: it aborts on references within event contexts and shows
// hexadecimal integers of 61 to 63 bits as 0.
func NewRandom(seed uint64, old bool) *Random {
	t := &Random{r: rand.New(rand.NewPCG(seed, 1)), old: old, ref: !old}
	t.big = t.r.IntN(2) == 0
	order := map[bool]string{true: "be", false: "le"}[t.big]
	var b strings.Builder
	fmt.Fprintf(&b, `/* CTF 1.8 */
trace { major = 1; minor = 8; uuid = "01020304-0506-0708-090a-0b0c0d0e0f10"; byte_order = %s;
	packet.header := struct {
		integer { size = 32; align = 32; signed = false; } magic;
		integer { size = 8; align = 8; signed = false; } uuid[16];
		integer { size = 32; align = 8; signed = false; } stream_id;
		integer { size = 64; align = 8; signed = false; } stream_instance_id;
	};
};
env { hostname = "random"; };
clock { name = c; freq = 1000000000; offset_s = 1000; offset = 5; };
typealias integer { size = 64; align = 8; signed = false; map = clock.c.value; } := stamp;
`, order)
	header := t.header()
	common, special := t.structure(2, "_c"), []typ{}
	fmt.Fprintf(&b, `stream {
	id = 3;
	packet.context := struct { stamp timestamp_begin; stamp timestamp_end; integer { size = 32; align = 16; } content_size;
		integer { size = 64; align = 8; } packet_size; integer { size = 7; align = 1; } odd; integer { size = 64; align = 8; } packet_seq_num; };
	event.header := %s;
	event.context := %s;
};
`, header.text, common.text)
	events := 1 + t.r.IntN(5)
	fields := []typ{}
	for id := range events {
		t.ref = !old
		special = append(special, t.structure(1, "_s"))
		t.ref = true
		fields = append(fields, t.structure(3, "_f"))
		fmt.Fprintf(&b, "event { name = \"e:%d\"; id = %d; stream_id = 3; context := %s; fields := %s; };\n", id, id, special[id].text, fields[id].text)
	}
	t.Metadata = b.String()
	clock := uint64(t.r.IntN(1 << 30))
	for seq := range 1 + t.r.IntN(3) {
		clock = t.packet(uint64(seq), clock, header, common, special, fields)
	}
	return t
}

// header returns one of several event headers. Its scope holds the event's id and the
// clock; the canonical form is empty.
func (t *Random) header() typ {
	type shape struct {
		tag, stamp int
		align      uint64
	}
	s := []shape{{5, 27, 1}, {16, 32, 8}, {9, 20, 4}}[t.r.IntN(3)]
	last := uint64(1)<<s.tag - 1
	text := fmt.Sprintf(`struct {
		enum : integer { size = %d; align = %d; } { compact = 0 ... %d, extended = %d } id;
		variant <id> {
			struct { integer { size = %d; align = %d; map = clock.c.value; } timestamp; } compact;
			struct { integer { size = 32; align = 8; } id; stamp timestamp; } extended;
		} v;
	} align(8)`, s.tag, s.align, last-1, last, s.stamp, s.align)
	return typ{text, 8, func(scope map[string]uint64) string {
		t.out.Align(8)
		id, from, to := scope["id"], scope["from"], scope["to"]
		if to-from < 1<<s.stamp && t.r.IntN(4) > 0 {
			t.out.Uint(id, s.tag, t.big)
			t.out.Align(s.align)
			t.out.Uint(to, s.stamp, t.big)
			return ""
		}
		t.out.Uint(last, s.tag, t.big)
		t.out.Align(8)
		t.out.Uint(id, 32, t.big)
		t.out.Uint(to, 64, t.big)
		return ""
	}}
}

func (t *Random) packet(seq, clock uint64, header, common typ, special, fields []typ) uint64 {
	t.out = &Bits{}
	t.out.Uint(0xC1FC1FC1, 32, t.big)
	for i := range 16 {
		t.out.Uint(uint64(i+1), 8, t.big)
	}
	t.out.Uint(3, 32, t.big)
	t.out.Uint(9, 64, t.big)
	begin := clock
	t.out.Uint(begin, 64, t.big)
	end := t.out.Len()
	t.out.Uint(0, 64, t.big)
	sizes := t.out.Len()
	t.out.Uint(0, 32, t.big)
	t.out.Uint(0, 64, t.big)
	t.out.Uint(t.r.Uint64(), 7, t.big)
	t.out.Align(8)
	t.out.Uint(seq, 64, t.big)
	for range t.r.IntN(12) {
		from := clock
		clock += uint64(t.r.IntN(1 << (t.r.IntN(35) + 1)))
		id := t.r.IntN(len(fields))
		header.encode(map[string]uint64{"id": uint64(id), "from": from, "to": clock})
		text := fmt.Sprintf("e:%d %s %s %s", id, common.encode(nil), special[id].encode(nil), fields[id].encode(nil))
		t.Want, t.Clock = append(t.Want, text), append(t.Clock, clock)
	}
	content := t.out.Len()
	t.out.Align(8 * 256)
	size := t.out.Len()
	t.put(end, clock, 64)
	t.put(sizes, content, 32)
	t.put(sizes+32, size, 64)
	t.Data = append(t.Data, t.out.Buf...)
	return clock
}

// put writes over zeros that stand at bit pos.
func (t *Random) put(pos, v uint64, size int) {
	over := Bits{n: pos, Buf: t.out.Buf[:pos/8]}
	over.Uint(v, size, t.big)
}

func (t *Random) name(prefix string) string {
	t.ids++
	return prefix + strconv.Itoa(t.ids)
}

// structure returns a struct of a few members, with lengths and tags before what
// refers to them.
func (t *Random) structure(depth int, prefix string) typ {
	type member struct {
		name string
		typ
	}
	var members []member
	add := func(name string, y typ) { members = append(members, member{name: name, typ: y}) }
	for range t.r.IntN(5) {
		name := t.name(prefix)
		kind := t.r.IntN(4)
		if !t.ref {
			kind = 2
		}
		switch kind {
		case 0:
			length := "_" + name + "_length"
			add(length, t.length(length))
			add(name+"["+length+"]", t.sequence(depth, length))
		case 1:
			tag := name + "_tag"
			e, v := t.variant(depth, tag)
			add(tag, e)
			add(name, v)
		default:
			add(name, t.field(depth))
		}
	}
	align := uint64(1) << t.r.IntN(7)
	text := "struct {"
	for _, m := range members {
		text += " " + m.text + " " + m.name + ";"
	}
	text += fmt.Sprintf(" } align(%d)", align)
	for _, m := range members {
		align = max(align, m.align)
	}
	return typ{text, align, func(map[string]uint64) string {
		t.out.Align(align)
		scope := make(map[string]uint64)
		var parts []string
		for _, m := range members {
			name, _, _ := strings.Cut(m.name, "[")
			parts = append(parts, strings.TrimPrefix(name, "_")+":"+m.encode(scope))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}}
}

// field returns any type that refers to nothing.
func (t *Random) field(depth int) typ {
	kind := t.r.IntN(8)
	switch {
	case kind == 0 && depth > 0:
		return t.structure(depth-1, "_n")
	case kind == 1 && depth > 0:
		return t.array(depth)
	case kind == 2:
		return t.float()
	case kind == 3:
		return t.text()
	case kind == 4:
		return t.enum()
	}
	return t.integer()
}

func (t *Random) integer() typ {
	size, signed, big := 1+t.r.IntN(64), t.r.IntN(2) == 0, t.big
	if t.old {
		size = min(size, 60)
	}
	align := uint64(1) << t.r.IntN(7)
	order := "native"
	if size%8 == 0 && align >= 8 && t.r.IntN(3) == 0 {
		big = !t.big
		order = map[bool]string{true: "be", false: "le"}[big]
	}
	base := []string{"2", "8", "10", "16", "hex", "decimal"}[t.r.IntN(6)]
	text := fmt.Sprintf("integer { size = %d; align = %d; signed = %v; byte_order = %s; base = %s; encoding = none; }", size, align, signed, order, base)
	return typ{text, align, func(map[string]uint64) string {
		v := t.value(size)
		t.out.Align(align)
		t.out.Uint(v, size, big)
		return canonical(v, size, signed)
	}}
}

// value draws size bits, often extreme ones.
func (t *Random) value(size int) uint64 {
	v := []uint64{0, 1, math.MaxUint64, 1 << (size - 1), t.r.Uint64(), t.r.Uint64()}[t.r.IntN(6)]
	return v & (math.MaxUint64 >> (64 - size))
}

func canonical(v uint64, size int, signed bool) string {
	if signed {
		return strconv.FormatInt(int64(v<<(64-size))>>(64-size), 10)
	}
	return strconv.FormatUint(v, 10)
}

func (t *Random) float() typ {
	size, exp, mant := 64, 11, 53
	if t.r.IntN(2) == 0 {
		size, exp, mant = 32, 8, 24
	}
	align := []uint64{8, 32, 64}[t.r.IntN(3)]
	text := fmt.Sprintf("floating_point { exp_dig = %d; mant_dig = %d; align = %d; }", exp, mant, align)
	return typ{text, align, func(map[string]uint64) string {
		t.out.Align(align)
		f := []float64{0, 1, -1.5, 1e10, t.r.NormFloat64(), math.Inf(1)}[t.r.IntN(6)]
		if size == 32 {
			v := math.Float32bits(float32(f))
			t.out.Uint(uint64(v), 32, t.big)
			return strconv.FormatFloat(float64(float32(f)), 'x', -1, 64)
		}
		t.out.Uint(math.Float64bits(f), 64, t.big)
		return strconv.FormatFloat(f, 'x', -1, 64)
	}}
}

const characters = "aA0 \"'\\?\n\t\x01\x7f\xc3\xbc"

func (t *Random) letters() []byte {
	b := make([]byte, 1+t.r.IntN(6))
	for i := range b {
		b[i] = characters[t.r.IntN(len(characters))]
	}
	return b
}

const char = "integer { size = 8; align = 8; signed = true; encoding = UTF8; }"

// text returns a string; none is empty, for the sake of babeltrace2 before 2.0.5.
func (t *Random) text() typ {
	return typ{"string", 8, func(map[string]uint64) string {
		t.out.Align(8)
		b := t.letters()
		t.out.Bytes(b)
		t.out.Bytes([]byte{0})
		return strconv.Quote(string(b))
	}}
}

func (t *Random) enum() typ {
	size, signed := 1+t.r.IntN(64), t.r.IntN(2) == 0
	low := "0"
	if signed && size > 1 {
		low = "-1"
	}
	align := uint64(1) << t.r.IntN(5)
	text := fmt.Sprintf(`enum : integer { size = %d; align = %d; signed = %v; } { LOW = %s, "next one", RANGE = 5 ... 900, AGAIN = 7 }`,
		size, align, signed, low)
	return typ{text, align, func(map[string]uint64) string {
		v := t.value(size)
		t.out.Align(align)
		t.out.Uint(v, size, t.big)
		return canonical(v, size, signed)
	}}
}

// length returns an integer that puts its value into the scope under name.
func (t *Random) length(name string) typ {
	size := []int{3, 8, 16, 32, 64}[t.r.IntN(5)]
	align := uint64(1) << t.r.IntN(4)
	text := fmt.Sprintf("integer { size = %d; align = %d; signed = false; }", size, align)
	return typ{text, align, func(scope map[string]uint64) string {
		n := uint64(1 + t.r.IntN(4))
		scope[name] = n
		t.out.Align(align)
		t.out.Uint(n, size, t.big)
		return strconv.FormatUint(n, 10)
	}}
}

// sequence returns the element's declaration: the length stands behind the name.
func (t *Random) sequence(depth int, length string) typ {
	if t.r.IntN(3) == 0 {
		return typ{char, 8, func(scope map[string]uint64) string {
			t.out.Align(8)
			b := append(t.letters(), make([]byte, 4)...)[:scope[length]]
			t.out.Bytes(b)
			text, _, _ := strings.Cut(string(b), "\x00")
			return strconv.Quote(text)
		}}
	}
	elem := t.field(depth - 1)
	return typ{elem.text, elem.align, func(scope map[string]uint64) string { return t.elements(elem, scope[length]) }}
}

func (t *Random) elements(elem typ, n uint64) string {
	t.out.Align(elem.align)
	var parts []string
	for range n {
		parts = append(parts, elem.encode(nil))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// array is declared through a struct, since its dimension stands behind the name.
func (t *Random) array(depth int) typ {
	elem, n := t.field(depth-1), 1+t.r.IntN(3)
	text := fmt.Sprintf("struct { %s _a[%d]; }", elem.text, n)
	return typ{text, elem.align, func(map[string]uint64) string {
		return "{a:" + t.elements(elem, uint64(n)) + "}"
	}}
}

// variant returns its tag and itself.
func (t *Random) variant(depth int, tag string) (e, v typ) {
	options := []typ{t.field(depth - 1), t.integer(), t.field(depth - 1)}
	align := uint64(1) << t.r.IntN(4)
	e = typ{fmt.Sprintf("enum : integer { size = 12; align = %d; } { _one = 0, _two = 10 ... 20, _three }", align), align, func(scope map[string]uint64) string {
		n := t.r.IntN(3)
		value := []uint64{0, uint64(10 + t.r.IntN(11)), 21}[n]
		scope[tag] = uint64(n)
		t.out.Align(align)
		t.out.Uint(value, 12, t.big)
		return strconv.FormatUint(value, 10)
	}}
	names := []string{"_one", "_two", "_three"}
	text := "variant <" + tag + "> {"
	for i, o := range options {
		text += " " + o.text + " " + names[i] + ";"
	}
	v = typ{text + " }", 1, func(scope map[string]uint64) string {
		n := scope[tag]
		return "<" + names[n][1:] + ":" + options[n].encode(nil) + ">"
	}}
	return e, v
}
