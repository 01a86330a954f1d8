package ctf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

// wrapped puts declarations and a struct's fields into complete metadata.
func wrapped(declarations, fields string) string {
	return `trace { major = 1; minor = 8; byte_order = le; };
clock { name = c; };
` + declarations + `
stream { event.header := struct { integer { size = 8; } id; }; };
event { name = "e"; fields := struct { ` + fields + ` }; };`
}

func TestMetadataRefuses(t *testing.T) {
	deep := strings.Repeat("struct { ", 100) + "integer { size = 8; } x; " + strings.Repeat("} y; ", 100)
	bomb := "struct s0 { integer { size = 8; } x; };\n"
	for i := range 25 {
		bomb += fmt.Sprintf("struct s%d { struct s%d a; struct s%d b; };\n", i+1, i, i)
	}
	const tagged = `enum : integer { size = 8; } { a, b } t; `
	tests := []struct{ name, text, msg string }{
		{"no trace block", "stream { };", "byte order"},
		{"JSON", "\x1e{}", "CTF 2"},
		{"stray character", "trace { @ };", "unexpected character"},
		{"endless comment", "/* trace", "comment without end"},
		{"endless string", `trace { uuid = "abc`, "string without end"},
		{"bad escape", `env { a = "\xg"; };`, "escape"},
		{"bad integer", "trace { major = 99999999999999999999; };", "bad integer"},
		{"version", "trace { major = 2; };", "version"},
		{"trace UUID", `trace { uuid = "12"; };`, "UUID"},
		{"native trace", "trace { byte_order = native; };", "byte order"},
		{"integer without size", wrapped("", "integer { signed = true; } x;"), "without size"},
		{"integer too large", wrapped("", "integer { size = 65; } x;"), "64 bits"},
		{"alignment", wrapped("", "integer { size = 8; align = 3; } x;"), "power of two"},
		{"base", wrapped("", "integer { size = 8; base = 7; } x;"), "base"},
		{"encoding", wrapped("", "integer { size = 8; encoding = EBCDIC; } x;"), "encoding"},
		{"unknown clock", wrapped("", "integer { size = 8; map = clock.d.value; } x;"), "unknown clock"},
		{"half float", wrapped("", "floating_point { exp_dig = 5; mant_dig = 11; } x;"), "precision"},
		{"unknown type", wrapped("", "uint8_t x;"), "unknown type"},
		{"unknown struct", wrapped("", "struct s x;"), "unknown type"},
		{"type without name", wrapped("", "x;"), "a type and a name"},
		{"enum of floats", wrapped("", "enum : floating_point { exp_dig = 8; mant_dig = 24; } { a } x;"), "integers"},
		{"enum without labels", wrapped("", "enum colour : integer { size = 8; } x;"), "labels"},
		{"enum's range", wrapped("", "enum : integer { size = 8; } { a = 5 ... 4 } x;"), "ends before"},
		{"enum's bound", wrapped("", "enum : integer { size = 8; } { a = -1 } x;"), "bound"},
		{"length missing", wrapped("", "integer { size = 8; } x[n];"), "no field read before"},
		{"length after", wrapped("", "integer { size = 8; } x[n]; integer { size = 8; } n;"), "no field read before"},
		{"length is its own", wrapped("", "integer { size = 8; } n[n];"), "no field read before"},
		{"absolute length after", wrapped("", "integer { size = 8; } x[event.fields.n]; integer { size = 8; } n;"), "no field read before"},
		{"length of another scope", wrapped("", "integer { size = 8; } x[event.context.n];"), "no field read before"},
		{"signed length", wrapped("", "integer { size = 8; signed = true; } n; integer { size = 8; } x[n];"), "unsigned integer"},
		{"length in an array", wrapped("", "struct { integer { size = 8; } n; } a[2]; integer { size = 8; } x[a.n];"), "no field read before"},
		{"variant without tag", wrapped("", tagged+"variant { string a; } x;"), "without a tag"},
		{"tag is no enum", wrapped("", "integer { size = 8; } t; variant <t> { string a; } x;"), "enumeration"},
		{"nested too deep", wrapped("", deep), "nested deeper"},
		{"copies grow", wrapped(bomb, "struct s25 x;"), "too large"},
		{"array too long", wrapped("", "integer { size = 8; } x[99999999999];"), "array of"},
		{"arrays of arrays too large", wrapped("", "integer { size = 64; } x[4294967296][4294967296];"), "larger than"},
		{"stream twice", wrapped("stream { id = 0; };", ""), "described twice"},
		{"event twice", wrapped(`event { name = "e"; };`, ""), "described twice"},
		{"event of no stream", wrapped(`event { name = "e"; stream_id = 4; };`, ""), "not described"},
		{"fields are no struct", wrapped(`event { id = 1; fields := string; };`, ""), "no struct"},
		{"fields twice", wrapped(`event { id = 1; fields := struct { }; fields := struct { }; };`, ""), "given twice"},
		{"clock without name", wrapped("clock { freq = 1; };", ""), "without a name"},
		{"clock's frequency", wrapped("clock { name = d; freq = 0; };", ""), "positive"},
		{"clock's offset", wrapped("clock { name = d; offset_s = 99999999999; };", ""), "offset"},
		{"clock's other offset", wrapped("clock { name = d; offset = 18446744073709551615; };", ""), "offset"},
		{"both offsets", wrapped("clock { name = d; offset_s = 9000000000; offset = 9000000000000000000; };", ""), "offset"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseMetadata([]byte(tt.text))
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.msg) {
				t.Errorf("got %v, want an Error with %q", err, tt.msg)
			}
		})
	}
}

// packetised puts text into metadata packets of at most size bytes of text.
func packetised(text string, order binary.ByteOrder, uuid UUID, size int) []byte {
	var out []byte
	for len(text) > 0 {
		n := min(size, len(text))
		head := make([]byte, metadataHeaderSize)
		order.PutUint32(head, metadataMagic)
		copy(head[4:], uuid[:])
		order.PutUint32(head[24:], uint32(metadataHeaderSize+n)*8)
		order.PutUint32(head[28:], uint32(metadataHeaderSize+n+5)*8)
		head[35], head[36] = 1, 8
		out = append(append(append(out, head...), text[:n]...), 0, 0, 0, 0, 0)
		text = text[n:]
	}
	return out
}

func TestPacketisedMetadata(t *testing.T) {
	tr := ctftest.Trace{UUID: [16]byte{1, 2, 3}, Events: []string{"a", "b"}}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, size := range []int{1, 7, 100, 1 << 20} {
			data := packetised(tr.Metadata(), order, tr.UUID, size)
			md, err := ParseMetadata(data)
			if err != nil || len(md.Classes) != 2 {
				t.Fatalf("packets of %d bytes: %v", size, err)
			}
			if text, err := MetadataText(data); err != nil || text != tr.Metadata() {
				t.Fatalf("text differs, %v", err)
			}
		}
	}
	if _, err := ParseMetadata(packetised(tr.Metadata(), binary.LittleEndian, UUID{9}, 100)); err == nil {
		t.Error("packets of another trace: no error")
	}
	good := packetised(tr.Metadata(), binary.LittleEndian, tr.UUID, 100)
	broken := map[string]func(b []byte) []byte{
		"cut in a header":     func(b []byte) []byte { return b[:150] },
		"cut in a packet":     func(b []byte) []byte { return b[:200] },
		"magic":               func(b []byte) []byte { b[142] = 0; return b },
		"other UUID":          func(b []byte) []byte { b[146] ^= 1; return b },
		"compressed":          func(b []byte) []byte { b[32] = 1; return b },
		"version":             func(b []byte) []byte { b[36] = 9; return b },
		"content beyond size": func(b []byte) []byte { b[24] = 0xff; return b },
		"content too small":   func(b []byte) []byte { b[24], b[25] = 8, 0; return b },
	}
	for name, breakIt := range broken {
		_, err := ParseMetadata(breakIt(append([]byte(nil), good...)))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "metadata packet") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTypeNames(t *testing.T) {
	md, err := ParseMetadata([]byte(wrapped(`
		typealias integer { size = 32; signed = 1; } := int;
		typealias integer { size = 64; } := unsigned long int;
		typedef unsigned long int word, pair[2];
		enum colour { red, green = 5, "deep blue" };
		typealias enum colour := shade;
		struct point { int x, _y; } align(64);
		variant choice { int red; string green; };
		// a comment to the end of the line
		callsite { name = "e"; func = "f"; };`, `
		word w; pair p; shade s; struct point pt; string { encoding = ASCII; } text;
		struct inner { typealias integer { size = 3; } := three; three bits; } in;
		enum colour tag; variant choice <tag> v;
		integer { size = 8; encoding = UTF8; } name[ 16 ]; int m[2][3];`)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range md.Classes[0].Fields.Fields {
		got = append(got, f.Name+" "+describe(f.Type))
	}
	want := []string{"w uint64", "p uint64[2]", "s enum(int32 red=0 green=5 deep blue=6)", "pt struct(x int32,y int32)@64", "text string",
		"in struct(bits uint3)@1", "tag enum(int32 red=0 green=5 deep blue=6)", "v variant(red int32,green string)", "name text8[16]", "m int32[3][2]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func describe(t Type) string {
	switch t := t.(type) {
	case *Integer:
		kind := map[bool]string{true: "int", false: "uint"}[t.Signed]
		if t.Text {
			kind = "text"
		}
		return fmt.Sprint(kind, t.Size)
	case *Enum:
		s := "enum(" + describe(t.Int)
		for _, m := range t.Mappings {
			s += fmt.Sprintf(" %s=%d", m.Label, m.Lo)
		}
		return s + ")"
	case *String:
		return "string"
	case *Array:
		return fmt.Sprintf("%s[%d]", describe(t.Elem), t.Len)
	case *Struct:
		return fmt.Sprintf("struct(%s)@%d", describeFields(t.Fields), t.align)
	case *Variant:
		return "variant(" + describeFields(t.Options) + ")"
	}
	return fmt.Sprintf("%T", t)
}

func describeFields(fields []Field) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, f.Name+" "+describe(f.Type))
	}
	return strings.Join(parts, ",")
}

func TestClock(t *testing.T) {
	tests := []struct {
		attributes string
		cycles     uint64
		want       int64
	}{
		{"", 5, 5},
		{"offset_s = 1; offset = 3;", 5, 1_000_000_008},
		{"offset = 1795286212380441822;", 4494489646169, 1795290706870087991},
		{"offset = -7;", 5, -2},
		{"offset_s = -2; offset = 1;", 5, -1_999_999_994},
		{"freq = 3;", 10, 3_333_333_333},
		{"freq = 2000000000; offset = 1;", 1 << 63, 1 << 62},
		{"freq = 1;", 1 << 40, math.MaxInt64},
		{"", math.MaxUint64, math.MaxInt64},
		{"offset = 10;", math.MaxInt64, math.MaxInt64},
		{"offset_s = -1;", math.MaxInt64, math.MaxInt64 - 1_000_000_000},
	}
	for _, tt := range tests {
		md, err := ParseMetadata([]byte("trace { byte_order = be; }; clock { name = c; " + tt.attributes + " };"))
		if err != nil {
			t.Errorf("%q: %v", tt.attributes, err)
			continue
		}
		if got := md.Clocks[0].NS(tt.cycles); got != tt.want {
			t.Errorf("%q at %d: %d, want %d", tt.attributes, tt.cycles, got, tt.want)
		}
	}
}
