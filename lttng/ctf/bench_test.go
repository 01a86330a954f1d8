package ctf

import (
	"math"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// benchmarkTrace is a recorded trace, or the one that CTF_BENCH_TRACE names.
func benchmarkTrace(b *testing.B) *Trace {
	dir := fixtures + "boot"
	if d := os.Getenv("CTF_BENCH_TRACE"); d != "" {
		dir = d
	}
	dirs, err := FindTraces(dir)
	if err != nil || len(dirs) == 0 {
		b.Fatalf("%d traces, %v", len(dirs), err)
	}
	t, err := Open(dirs[0])
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func benchmark(b *testing.B, each func(r *Reader)) {
	t := benchmarkTrace(b)
	var events, bytes int64
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range t.Streams {
			r := s.Reader()
			for r.NextPacket() {
				bytes += int64(r.Packet.ContentBits / 8)
				for r.Next() {
					events++
					each(r)
				}
			}
			if r.Err() != nil {
				b.Fatal(r.Err())
			}
			r.Close()
		}
	}
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(events)/seconds, "events/s")
	b.ReportMetric(float64(bytes)/seconds/1e6, "MB/s")
}

// BenchmarkCount is what cutting units needs: each event's class and time.
func BenchmarkCount(b *testing.B) {
	counts := make(map[int]int)
	var last int64
	benchmark(b, func(r *Reader) {
		if r.Class.Index < 0 {
			counts[r.Class.Index]++
		}
		last = r.Time()
	})
	_ = last
}

// BenchmarkDecode decodes every field of every event.
func BenchmarkDecode(b *testing.B) {
	var ev Event
	benchmark(b, func(r *Reader) {
		if err := r.Decode(&ev); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkParseMetadata(b *testing.B) {
	data, err := ReadMetadataFile(benchmarkTrace(b).Dir)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMetadata(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTally goes over all events and counts them by class, as cutting units does.
func BenchmarkTally(b *testing.B) { benchmarkTally(b, true) }

// BenchmarkPackets reads the same packets, but no event of them: what of BenchmarkTally is the reading of files.
func BenchmarkPackets(b *testing.B) { benchmarkTally(b, false) }

func benchmarkTally(b *testing.B, events bool) {
	t := benchmarkTrace(b)
	tally, counts := t.Metadata.NewTally(), make([]uint64, len(t.Metadata.Classes))
	for i, class := range t.Metadata.Classes {
		tally.Set(class, i)
	}
	var n, bytes int64
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		for _, s := range t.Streams {
			r := s.Reader()
			for r.NextPacket() {
				bytes += int64(r.Packet.ContentBits / 8)
				for events {
					went, at := r.Tally(tally, math.MaxInt64, counts)
					n += int64(went)
					if !at && !r.Next() {
						break
					}
					counts[r.Class.Index]++
					n++
				}
			}
			if r.Err() != nil {
				b.Fatal(r.Err())
			}
			_ = r.Close()
		}
	}
	cpu := cpuTime(b) - before
	if events {
		b.ReportMetric(float64(cpu)/float64(n), "cpu-ns/event")
	}
	b.ReportMetric(float64(cpu)/float64(bytes), "cpu-ns/byte")
}

// cpuTime is what this process has used, in nanoseconds: on a shared machine the time that passes says less.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
