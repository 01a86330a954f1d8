package ctf

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const fixtures = "../../testdata/traces/"

// openAll opens all traces of a fixture.
func openAll(tb testing.TB, name string) []*Trace {
	tb.Helper()
	dirs, err := FindTraces(fixtures + name)
	if err != nil || len(dirs) == 0 {
		tb.Fatalf("%d traces, %v", len(dirs), err)
	}
	var out []*Trace
	for _, dir := range dirs {
		t, err := Open(dir)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, t)
	}
	return out
}

// scramble is what the recorded application makes its values with.
func scramble(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

var appStrings = []string{"", "plain", "with \"quotes\" and 'apostrophes'", "new\nline\tand tab\r\v\f\a\b", "\\ backslash ? mark",
	"\x01\x02\x1b[31m\x7f", "grüße € 😀", "invalid \xff\xfe utf-8",
	"a longer text, so that the events' sizes differ: 0123456789012345678901234567890123456789012345678901234567890123456789"}

var appDoubles = []float64{0, math.Copysign(0, -1), 1, -1.5, 3.141592653589793, 1e-310, 1.7976931348623157e308, -2.5e-7, 123456789, 999999.5, 100000, 1e15}

// elems writes n array elements, each made by value from what the application has.
func elems(n int, value func(i int) any) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprint(value(i)))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// wanted returns the fields of one round's events in canonical form.
func wanted(n int) []string {
	v := scramble(uint64(n))
	if n < 4 {
		v = []uint64{0, math.MaxUint64, 1 << 63, 0x8080808080808080}[n]
	}
	d := appDoubles[n%len(appDoubles)]
	if n%50 == 49 {
		d = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[n/50%3]
	}
	q := func(i int) uint64 { return scramble(uint64(n*256 + i)) }
	b := func(i int) any { return uint8(q(i)) }
	// What is in network order is written as it lies in memory, which is little-endian.
	n16, n32, n64 := bits.ReverseBytes16(uint16(v)), bits.ReverseBytes32(uint32(v)), bits.ReverseBytes64(v)
	h := func(i int) any { return bits.ReverseBytes16(uint16(q(i))) }
	nw := func(i int) any { return int32(bits.ReverseBytes32(uint32(q(i)))) }
	w := func(i int) any { return int32(q(i)) }
	l := func(i int) any { return int64(q(i)) }
	count := n % 7
	if n%40 == 39 {
		count = 200
	}
	sixteen := "sixteen letters!"[:16-n%17%16]
	s := appStrings[n%len(appStrings)]
	hex := func(f float64) string { return strconv.FormatFloat(f, 'x', -1, 64) }
	return []string{
		fmt.Sprintf("fields:begin {n:%d}", n),
		fmt.Sprintf("fields:integers {i8:%d,u8:%d,i16:%d,u16:%d,i32:%d,u32:%d,i64:%d,u64:%d,character:%d,machine_word:%d,x8:%d,x32:%d,x64:%d,"+
			"n16:%d,n32:%d,n64:%d,nx32:%d,nx64:%d}", int8(v), uint8(v), int16(v), uint16(v), int32(v), uint32(v), int64(v), v, int8(v), int64(v),
			int8(v), int32(v), v, n16, int32(n32), int64(n64), n32, int64(n64)),
		fmt.Sprintf("fields:floats {odd:1,single:%s,precise:%s}", hex(float64(float32(d))), hex(d)),
		fmt.Sprintf("fields:arrays {bytes:%s,words:%s,mac:%s,longs:%s,ports:%s,addresses:%s,characters:%s}", elems(6, b), elems(4, w), elems(6, b),
			elems(2, l), elems(3, h), elems(4, nw), elems(3, func(i int) any { return int8(q(i)) })),
		fmt.Sprintf("fields:sequences {_bytes_length:%d,bytes:%s,_words_length:%d,words:%s,_longs_length:%d,longs:%s,_ports_length:%d,ports:%s,"+
			"_addresses_length:%d,addresses:%s,after:165}", count, elems(count, b), count, elems(count, w), count, elems(count, l), count, elems(count, h),
			count, elems(count, nw)),
		fmt.Sprintf("fields:texts {string:%s,fixed:%s,_counted_length:%d,counted:%s,_empty_length:0,empty:\"\",again:%s}", strconv.Quote(s),
			strconv.Quote(sixteen), n%17, strconv.Quote(sixteen[:min(n%17, len(sixteen))]), strconv.Quote(s)),
		fmt.Sprintf("fields:enums {signed_colour:%d,small_colour:%d,unsigned_flavour:%d,small_flavour:%d}", n%310-105, int8(n%310-105), n%300, uint8(n%300)),
		"fields:nothing {}",
		fmt.Sprintf("fields:end {n:%d}", n),
	}
}

// Every kind of field that LTTng-UST writes has the value that the application wrote.
func TestEveryFieldType(t *testing.T) {
	traces := openAll(t, "fields")
	m, err := NewMerger(traces...)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got := make(map[uint64][]string) // by thread
	var ev Event
	last := int64(math.MinInt64)
	for m.Next() {
		r := m.Event()
		if r.Time() < last {
			t.Fatalf("event at %d after one at %d", r.Time(), last)
		}
		last = r.Time()
		if err := r.Decode(&ev); err != nil {
			t.Fatal(err)
		}
		c := &ev.StreamContext
		if name := string(c.Field("procname").Text); name != "ustapp" || c.Field("vpid").Int() <= 0 || c.Field("pthread_id").Uint == 0 {
			t.Fatalf("context %s", canonical(c))
		}
		thread := c.Field("vtid").Uint
		got[thread] = append(got[thread], r.Class.Name+" "+canonical(&ev.Fields))
	}
	if m.Err() != nil {
		t.Fatal(m.Err())
	}
	var want []string
	for n := range 60 {
		want = append(want, wanted(n)...)
	}
	if len(got) != 2 {
		t.Errorf("%d threads, want 2", len(got))
	}
	for thread, events := range got {
		if diff := cmp.Diff(want, events); diff != "" {
			t.Errorf("thread %d (-written +read):\n%s", thread, diff)
		}
	}
}

func TestEnumLabels(t *testing.T) {
	md := openAll(t, "fields")[0].Metadata
	var enum *Enum
	for _, c := range md.Classes {
		if c.Name == "fields:enums" {
			enum = c.Fields.Fields[0].Type.(*Enum)
		}
	}
	minus := func(v int64) uint64 { return uint64(v) }
	for v, want := range map[uint64][]string{
		minus(-5): {"BELOW"}, minus(-100): {"NEGATIVE"}, minus(-9): nil, 0: {"ZERO"}, 1: {"ONE"}, 2: {"TWO"}, 3: {"MANY"},
		50: {"MANY", "FIFTY"}, 100: {"MANY"}, 101: nil, 200: {`with space, "quotes"`},
	} {
		if diff := cmp.Diff(want, enum.Labels(nil, v)); diff != "" {
			t.Errorf("%d (-want +got):\n%s", int64(v), diff)
		}
	}
}

func TestFixtureMetadata(t *testing.T) {
	md := openAll(t, "boot")[0].Metadata
	if md.EnvText("tracer_name") != "lttng-ust" || !md.HasUUID || md.ByteOrder != LittleEndian || len(md.Streams) != 1 {
		t.Errorf("%q %v %v %d streams", md.EnvText("tracer_name"), md.HasUUID, md.ByteOrder, len(md.Streams))
	}
	if e, ok := md.EnvEntry("vpid"); !ok || !e.IsInt || e.Int <= 0 {
		t.Errorf("vpid: %+v, %v", e, ok)
	}
	if c := md.Streams[0].Clock; c == nil || c.Name != "monotonic" || c.Frequency != 1e9 {
		t.Errorf("clock: %+v", c)
	}
	if md.Streams[0].header != headerLargeLE {
		t.Errorf("event header is read as shape %d", md.Streams[0].header)
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	tr := openAll(t, "boot")[0]
	r := tr.Streams[0].Reader()
	defer r.Close()
	if !r.NextPacket() {
		t.Fatal(r.Err())
	}
	if n := testing.AllocsPerRun(100, func() { r.Next(); r.Time() }); n != 0 {
		t.Errorf("%v allocations for each event", n)
	}
}
