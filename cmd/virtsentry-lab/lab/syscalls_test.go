package lab

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

const format = `name: sys_enter
ID: 349
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:long id;	offset:8;	size:8;	signed:1;
	field:unsigned long args[6];	offset:16;	size:48;	signed:0;
`

func TestParseTracePoint(t *testing.T) {
	got, err := parseTracePoint("349\n", format)
	if err != nil || got != (tracePoint{id: 349, idOffset: 8}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, in := range map[string][2]string{
		"no id":           {"", format},
		"negative id":     {"-1", format},
		"no format":       {"349", ""},
		"no field id":     {"349", strings.Replace(format, "long id", "long no", 1)},
		"another size":    {"349", strings.Replace(format, "offset:8;	size:8", "offset:8;	size:4", 1)},
		"no offset":       {"349", strings.Replace(format, "offset:8;", "8;", 1)},
		"offset too far":  {"349", strings.Replace(format, "offset:8;", "offset:99999;", 1)},
		"negative offset": {"349", strings.Replace(format, "offset:8;", "offset:-8;", 1)},
	} {
		if got, err := parseTracePoint(in[0], in[1]); err == nil {
			t.Errorf("%s: got %+v, no error", name, got)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for text, want := range map[string][]int{
		"0": {0}, "0-1": {0, 1}, "0-2,5": {0, 1, 2, 5},
		"": nil, "a": nil, "1-0": nil, "-1": nil, "0-": nil, "0,": nil, "0-99999999": nil, "0-4095,0-4095": nil,
	} {
		got, err := parseCPUs(text)
		if (err == nil) != (want != nil) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && !cmp.Equal(want, got) {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// record makes one record of the ring.
func record(kind uint32, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, kind)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint16(b, uint16(8+len(body)))
	return append(b, body...)
}

func callRecord(time int64, number uint64) []byte {
	raw := make([]byte, 8+8+48+4)
	binary.NativeEndian.PutUint64(raw[8:], number)
	body := binary.NativeEndian.AppendUint64(nil, uint64(time))
	body = binary.NativeEndian.AppendUint32(body, uint32(len(raw)))
	return record(unix.PERF_RECORD_SAMPLE, append(body, raw...))
}

func lossRecord(n uint64) []byte {
	return record(unix.PERF_RECORD_LOST, binary.NativeEndian.AppendUint64(make([]byte, 8), n))
}

func TestSyscallUnits(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("numbers of amd64")
	}
	const s = int64(1e9)
	var ring []byte
	for _, r := range [][]byte{
		callRecord(3*s, 0),   // before the first whole unit
		callRecord(4*s, 0),   // read
		callRecord(5*s, 0),   //
		callRecord(6*s-1, 1), // write
		lossRecord(3),        // between the units 4 and 8
		record(unix.PERF_RECORD_EXIT, make([]byte, 24)),
		callRecord(8*s, 999),     // without a name
		callRecord(9*s, 1<<64-1), // -1: no call of this architecture
		callRecord(12*s, 2),      // after the last whole unit
	} {
		ring = append(ring, r...)
	}
	c := newSyscallCounts(8, 100*s)
	var tail syscallTail
	if err := c.add(&tail, ring); err != nil {
		t.Fatal(err)
	}
	tail.owed = 1
	c.settle(&tail, 13*s+100*s)
	want := unit.File{
		Features: []string{"syscall:999", "syscall:other", "syscall:read", "syscall:write"},
		Units: []unit.Unit{
			{Start: 104 * s, Duration: 2 * s, Lost: 3, Counts: []uint64{0, 0, 2, 1}},
			{Start: 106 * s, Duration: 2 * s, Lost: 3, Counts: []uint64{0, 0, 0, 0}},
			{Start: 108 * s, Duration: 2 * s, Lost: 3, Counts: []uint64{1, 1, 0, 0}},
			{Start: 110 * s, Duration: 2 * s, Counts: []uint64{0, 0, 0, 0}},
		},
	}
	if diff := cmp.Diff(want, c.file(103*s, 113*s)); diff != "" {
		t.Error(diff)
	}
	if f := c.file(103*s, 103*s); len(f.Units) > 0 {
		t.Errorf("no span: %v", f)
	}
}

func TestSyscallRecordsRefused(t *testing.T) {
	good := callRecord(4e9, 0)
	shortRaw := callRecord(4e9, 0)
	binary.NativeEndian.PutUint32(shortRaw[16:], 15)
	longRaw := callRecord(4e9, 0)
	binary.NativeEndian.PutUint32(longRaw[16:], 1<<32-1)
	for name, ring := range map[string][]byte{
		"half a header":       good[:7],
		"half a record":       good[:len(good)-1],
		"size 0":              make([]byte, 8),
		"sample without time": record(unix.PERF_RECORD_SAMPLE, make([]byte, 7)),
		"raw part too short":  shortRaw,
		"raw part too long":   longRaw,
		"loss without number": record(unix.PERF_RECORD_LOST, make([]byte, 8)),
		"time out of bounds":  callRecord(-1, 0),
		"time far ahead":      append(callRecord(4e9, 0), callRecord(4e18, 0)...),
		"time far back":       append(callRecord(4e18, 0), callRecord(4e9, 0)...),
	} {
		if err := newSyscallCounts(8, 0).add(new(syscallTail), ring); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever is in a ring, it gives an error or a unit file, and no endless one.
func TestSyscallRecordsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ring []byte
		for range rapid.IntRange(0, 8).Draw(t, "records") {
			ring = append(ring, rapid.OneOf(
				rapid.Custom(func(t *rapid.T) []byte {
					return callRecord(rapid.Int64().Draw(t, "time"), rapid.Uint64().Draw(t, "number"))
				}),
				rapid.Map(rapid.Uint64(), lossRecord),
				rapid.SliceOfN(rapid.Byte(), 0, 40),
			).Draw(t, "record")...)
		}
		c := newSyscallCounts(8, rapid.Int64Range(-1<<60, 1<<60).Draw(t, "offset"))
		if c.add(new(syscallTail), ring) == nil {
			_ = c.file(0, 10e9)
		}
	})
}

// Each number of a spot check has the name that the kernel gives it.
func TestSyscallNames(t *testing.T) {
	for n, want := range map[int]string{
		unix.SYS_READ: "syscall:read", unix.SYS_PPOLL: "syscall:ppoll", unix.SYS_FUTEX: "syscall:futex",
		unix.SYS_IO_SUBMIT: "syscall:io_submit", maxSyscall: "syscall:other", 1000: "syscall:1000",
	} {
		if got := syscallFeature(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
