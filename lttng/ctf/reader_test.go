package ctf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

// small is a trace of one stream with two packets; the second begins at byte 512.
func small() ctftest.Trace {
	return ctftest.Trace{UUID: [16]byte{7}, Events: []string{"a", "b"}, Streams: []ctftest.Stream{{Instance: 4, Packets: []ctftest.Packet{
		{Begin: 10, End: 5_000_000_000, Seq: 0, Discarded: 1, Events: []ctftest.Event{{ID: 0, Time: 11, N: 1}, {ID: 1, Time: 4_900_000_000, N: 2}}},
		{Begin: 5_000_000_000, End: 6_000_000_000, Seq: 1, Discarded: 2, Events: []ctftest.Event{{ID: 1, Time: 5_500_000_000, N: 3}}},
	}}}}
}

// readAll reads a trace directory to its end and writes each event as "name time n".
func readAll(dir string) (events []string, packets []Packet, err error) {
	tr, err := Open(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range tr.Streams {
		r := s.Reader()
		defer r.Close()
		var ev Event
		for r.NextPacket() {
			packets = append(packets, r.Packet)
			for r.Next() {
				if err := r.Decode(&ev); err != nil {
					return events, packets, err
				}
				events = append(events, fmt.Sprintf("%s %d %d", r.Class.Name, r.Time(), ev.Fields.Field("n").Uint))
			}
		}
		if r.Err() != nil {
			return events, packets, r.Err()
		}
	}
	return events, packets, nil
}

func TestReader(t *testing.T) {
	dir := t.TempDir()
	tr := small()
	tr.Offset = 1000
	if err := tr.Write(dir); err != nil {
		t.Fatal(err)
	}
	// What LTTng may leave behind beside the data.
	writeFiles(t, dir, map[string]string{"empty": "", ".hidden": "x"})
	events, packets, err := readAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a 1011 1", "b 4900001000 2", "b 5500001000 3"}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for i, p := range packets {
		if p.Seq != uint64(i) || p.Discarded != uint64(i+1) || p.Instance != 4 || p.CPU != 4 || p.Offset != int64(512*i) || p.PacketBits != 4096 ||
			!p.HasBegin || !p.HasEnd || !p.HasSeq || !p.HasDiscarded || !p.HasCPU || !p.HasInstance || p.DiscardedBits != 64 {
			t.Errorf("packet %d: %+v", i, p)
		}
	}
	if packets[0].BeginNS != 1010 || packets[1].EndNS != 6_000_001_000 {
		t.Errorf("times %d to %d", packets[0].BeginNS, packets[1].EndNS)
	}
}

// A stream whose files LTTng limits in size, written in a circle: the file with the
// higher number has the older packets.
func TestStreamInSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	tr := small()
	all := tr.Streams[0].Packets
	tr.Streams = nil
	if err := tr.Write(dir); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{
		"ch_0_0": string(tr.AppendPacket(nil, 4, &all[1])),
		"ch_0_1": string(tr.AppendPacket(nil, 4, &all[0])),
	})
	events, packets, err := readAll(dir)
	if err != nil || len(events) != 3 || len(packets) != 2 || packets[0].Seq != 0 {
		t.Errorf("%v in %d packets, %v", events, len(packets), err)
	}
}

func TestReaderRefuses(t *testing.T) {
	const contentAt, sizeAt = 48, 56
	put := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint64(b[at:], v); return b }
	}
	tests := []struct {
		name   string
		change func(data []byte) []byte
		offset int64
		msg    string
	}{
		{"header cut", func(b []byte) []byte { return b[:20] }, 20, "past the packet's content"},
		{"context cut", func(b []byte) []byte { return b[:70] }, 64, "past the packet's content"},
		{"packet cut", func(b []byte) []byte { return b[:300] }, 0, "file ends after 300"},
		{"second packet cut", func(b []byte) []byte { return b[:900] }, 512, "file ends after 388"},
		{"rest of a header", func(b []byte) []byte { return append(b, 0xC1, 0x1F, 0xFC, 0xC1, 1) }, 1029, "past the packet's content"},
		{"zeros behind", func(b []byte) []byte { return append(b, make([]byte, 100)...) }, 1024, "magic"},
		{"magic", put(0, 1), 0, "magic"},
		{"UUID", func(b []byte) []byte { b[4] = 8; return b }, 0, "another trace"},
		{"stream", func(b []byte) []byte { b[20] = 8; return b }, 0, "stream 8"},
		{"packet of no size", put(sizeAt, 0), 0, "packet of 0 bits"},
		{"packet of odd size", put(sizeAt, 4095), 0, "packet of 4095 bits"},
		{"packet beyond the file", put(sizeAt, 1<<20), 0, "the file ends"},
		{"packet beyond anything", put(sizeAt, 1<<63), 0, "the file ends"},
		{"content beyond the packet", put(contentAt, 4104), 0, "content of 4104 bits"},
		{"content below the header", put(contentAt, 8), 0, "less than header"},
		{"event cut", put(contentAt, 8*90), 90, "past the packet's content"},
		{"event's fields cut", put(contentAt, 8*92), 90, "past the packet's content"},
		{"extended header cut", func(b []byte) []byte { return put(contentAt, 8*102)(b) }, 94, "event header"},
		{"unknown event", func(b []byte) []byte { b[84] = 9; return b }, 84, "unknown event 9 of stream 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tr := small()
			if err := tr.Write(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "ch_4")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			writeFiles(t, dir, map[string]string{"ch_4": string(tt.change(data))})
			_, _, err = readAll(dir)
			var e *Error
			if !errors.As(err, &e) || e.File != path || e.Offset != tt.offset || !strings.Contains(err.Error(), tt.msg) {
				t.Errorf("got %v, want %q at byte %d", err, tt.msg, tt.offset)
			}
		})
	}
}

// data in which a length or tag asks for the impossible.
func TestHostileFields(t *testing.T) {
	tests := []struct {
		name, fields string
		data         []byte
		msg          string
	}{
		{"sequence past the end", "integer { size = 32; } n; integer { size = 8; } x[n];", []byte{0xff, 0xff, 0xff, 0xff}, "past the packet's content"},
		{"64-bit length", "integer { size = 64; } n; integer { size = 64; } x[n];", []byte{0, 0, 0, 0, 0, 0, 0, 0x20}, "past the packet's content"},
		{"text past the end", "integer { size = 32; } n; integer { size = 8; encoding = UTF8; } x[n];", []byte{5, 0, 0, 0, 'a'}, "past the packet's content"},
		{"string without end", "string x;", []byte("abc"), "without an end"},
		{"strings without end", "integer { size = 32; } n; string x[n];", []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0}, "without an end"},
		{"no such option", "enum : integer { size = 8; } { a, b } t; variant <t> { string a; string b; } v;", []byte{2, 0}, "no option"},
		{"label without option", "enum : integer { size = 8; } { a, b } t; variant <t> { string a; } v;", []byte{1, 0}, "no option"},
		{"elements of no size", "integer { size = 64; } n; struct { enum : integer { size = 8; } { a } t; struct { } e; } y; variant <y.t> { struct { } a; } x[n];",
			[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, "more elements"},
		{"many structs of no size", "integer { size = 64; } n; struct { } x[n];", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, map[string]string{
				"metadata": "trace { byte_order = le; }; stream { }; event { name = e; fields := struct { " + tt.fields + " }; };",
				"data":     string(tt.data),
			})
			tr, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			r := tr.Streams[0].Reader()
			defer r.Close()
			if !r.NextPacket() {
				t.Fatal(r.Err())
			}
			for r.Next() {
			}
			if tt.msg != "" {
				if r.Err() == nil || !strings.Contains(r.Err().Error(), tt.msg) {
					t.Errorf("got %v, want %q", r.Err(), tt.msg)
				}
				return
			}
			// Skipped without work, but not decoded.
			if r.Err() != nil {
				t.Error(r.Err())
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, ErrNotTrace) {
		t.Errorf("empty directory: %v", err)
	}
	writeFiles(t, dir, map[string]string{"metadata": "trace {\n  nonsense"})
	_, err := Open(dir)
	var e *Error
	if !errors.As(err, &e) || e.File != filepath.Join(dir, "metadata") || e.Line != 2 {
		t.Errorf("bad metadata: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "missing")); !errors.Is(err, ErrNotTrace) {
		t.Errorf("missing directory: %v", err)
	}
}

func TestFindTraces(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"b/ust/pid/x", "a", "b/ust"} {
		writeFiles(t, filepath.Join(root, d), map[string]string{"metadata": ""})
	}
	if err := os.MkdirAll(filepath.Join(root, "c", "metadata"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "a"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := FindTraces(root)
	want := []string{filepath.Join(root, "a"), filepath.Join(root, "b/ust"), filepath.Join(root, "b/ust/pid/x")}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := FindTraces(filepath.Join(root, "missing")); err == nil {
		t.Error("missing directory: no error")
	}
}

func TestMergerOrder(t *testing.T) {
	root := t.TempDir()
	for i, offset := range []int64{0, 3} {
		tr := ctftest.Trace{UUID: [16]byte{byte(9 - i)}, Offset: offset, Events: []string{fmt.Sprint("t", i, "s0"), fmt.Sprint("t", i, "s1")}}
		for s := range uint64(2) {
			tr.Streams = append(tr.Streams, ctftest.Stream{Instance: s, Packets: []ctftest.Packet{
				{Begin: 0, End: 20, Events: []ctftest.Event{{ID: uint16(s), Time: 4 + s}, {ID: uint16(s), Time: 7}, {ID: uint16(s), Time: 20}}}}})
		}
		if err := tr.Write(filepath.Join(root, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	var traces []*Trace
	for i := range 2 {
		tr, err := Open(filepath.Join(root, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		traces = append(traces, tr)
	}
	m, err := NewMerger(traces...)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var got []string
	for m.Next() {
		got = append(got, fmt.Sprint(m.Event().Class.Name, "@", m.Event().Time()))
	}
	want := []string{"t0s0@4", "t0s1@5", "t1s0@7", "t0s0@7", "t0s1@7", "t1s1@8", "t1s0@10", "t1s1@10", "t0s0@20", "t0s1@20", "t1s0@23", "t1s1@23"}
	if diff := cmp.Diff(want, got); diff != "" || m.Err() != nil {
		t.Errorf("%v (-want +got):\n%s", m.Err(), diff)
	}
}
