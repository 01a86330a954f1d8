package ctf

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

// FuzzMetadata: any bytes give metadata or an error; what was accepted can be used.
func FuzzMetadata(f *testing.F) {
	// Small seeds: the fuzzer spends its time on large ones with making them smaller.
	tr := ctftest.Trace{UUID: UUID{1}, Events: []string{"a"}}
	f.Add([]byte(tr.Metadata()))
	f.Add(packetised(tr.Metadata(), binary.LittleEndian, tr.UUID, 300))
	f.Add([]byte(wrapped("typealias integer { size = 8; } := unsigned char; enum e : unsigned char { A, B = 3 ... 5, \"c\" }; variant v { string A; unsigned char B; };",
		"enum e t; variant v <t> v; unsigned char n, a[2][n]; floating_point { exp_dig = 8; mant_dig = 24; } f;")))
	for seed := range uint64(4) {
		f.Add([]byte(ctftest.NewRandom(seed, false).Metadata))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		md, err := ParseMetadata(data)
		if err != nil {
			return
		}
		for i, c := range md.Classes {
			if c.Index != i || c.Stream == nil || c.Stream.Event(c.ID) != c {
				t.Errorf("event %q is not where it should be", c.Name)
			}
			for _, s := range []*Struct{c.Context, c.Fields} {
				if s != nil && !isPowerOfTwo(s.Align()) {
					t.Errorf("event %q has an alignment of %d", c.Name, s.Align())
				}
			}
		}
		for _, c := range md.Clocks {
			c.NS(12345)
		}
	})
}

// FuzzPackets: any stream file is read to its end or to an error. Skipping and decoding
// an event agree on where it ends.
func FuzzPackets(f *testing.F) {
	random := make([]*ctftest.Random, 6)
	for i := range random {
		random[i] = ctftest.NewRandom(uint64(i), false)
		f.Add(byte(i), random[i].Data)
	}
	recorded := openAll(f, "fields")[0]
	data, err := os.ReadFile(recorded.Streams[0].Files[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(len(random)), data[:16<<10])
	metadata := make([]*Metadata, 0, len(random)+1)
	for _, r := range random {
		md, err := ParseMetadata([]byte(r.Metadata))
		if err != nil {
			f.Fatal(err)
		}
		metadata = append(metadata, md)
	}
	metadata = append(metadata, recorded.Metadata)
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		tr := &Trace{Metadata: metadata[int(which)%len(metadata)]}
		r := newReader(tr, nil, 1024)
		r.file, r.size, r.path = memory{bytes.NewReader(data)}, int64(len(data)), "memory"
		var ev Event
		for r.NextPacket() {
			for r.Next() {
				body, end := r.body, r.pos
				if err := r.Decode(&ev); err != nil {
					break // more elements than are decoded
				}
				pos := body
				for _, part := range []*Struct{r.Class.Stream.EventContext, r.Class.Context, r.Class.Fields} {
					if part != nil {
						pos, _ = r.win.decode(&r.values, part, -1, pos, &Value{})
					}
				}
				if pos != end {
					t.Fatalf("event from bit %d: skipping ends at %d, decoding at %d", body, end, pos)
				}
				canonical(&ev.Fields)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// memory is a data file that was never on a disk.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// FuzzTally: of any stream file, Tally and Next together count what Next alone does, and find the same defect. Bits of how say which classes are passed over
// or stopped at.
func FuzzTally(f *testing.F) {
	var metadata []*Metadata
	add := func(md *Metadata, data []byte) {
		f.Add(byte(len(metadata)), uint64(0x1b), data)
		metadata = append(metadata, md)
	}
	for _, name := range []string{"fields", "boot"} {
		t := openAll(f, name)[0]
		data, err := os.ReadFile(t.Streams[0].Files[0])
		if err != nil {
			f.Fatal(err)
		}
		add(t.Metadata, data[:min(len(data), 8<<10)])
	}
	for i := range uint64(6) {
		r := ctftest.NewRandom(i, false)
		md, err := ParseMetadata([]byte(r.Metadata))
		if err != nil {
			f.Fatal(err)
		}
		add(md, r.Data)
	}
	f.Fuzz(func(t *testing.T, which byte, how uint64, data []byte) {
		md := metadata[int(which)%len(metadata)]
		read := func(tally bool) (counts []uint64, at []uint64, failure string) {
			plan := md.NewTally()
			counts = make([]uint64, len(md.Classes))
			column := func(class *EventClass) int {
				return []int{class.Index, class.Index, Pass, Stop}[how>>(2*(class.Index%32))&3]
			}
			for _, class := range md.Classes {
				if c := column(class); c != Stop { // which is what they are without
					plan.Set(class, c)
				}
			}
			r := newReader(&Trace{Metadata: md}, nil, 1024)
			r.file, r.size, r.path = memory{bytes.NewReader(data)}, int64(len(data)), "memory"
			for r.NextPacket() {
				for stopped := false; ; {
					if tally {
						_, stopped = r.Tally(plan, math.MaxInt64, counts)
					}
					if !stopped && !r.Next() {
						break
					}
					switch column(r.Class) {
					case Stop:
						at = append(at, r.Cycles, r.body, r.pos)
					case Pass:
					default:
						counts[r.Class.Index]++
					}
				}
			}
			if r.Err() != nil {
				failure = r.Err().Error()
			}
			return counts, at, failure
		}
		counts, at, failure := read(false)
		gotCounts, gotAt, gotFailure := read(true)
		if !slices.Equal(counts, gotCounts) || !slices.Equal(at, gotAt) || failure != gotFailure {
			t.Fatalf("Tally counts %d, stops %d times and ends with %q; Next %d, %d, %q", gotCounts, len(gotAt)/3, gotFailure, counts, len(at)/3, failure)
		}
	})
}
