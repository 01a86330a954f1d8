package unit

import (
	"os"
	"testing"
)

// BenchmarkReplay cuts a whole trace into units: the recorded one, or the one that
// CTF_BENCH_TRACE names. Metadata is parsed once in each round.
func BenchmarkReplay(b *testing.B) {
	dir := fixtures + "/boot"
	if d := os.Getenv("CTF_BENCH_TRACE"); d != "" {
		dir = d
	}
	events := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		f, err := Cut(dir, Counts)
		if err != nil {
			b.Fatal(err)
		}
		for _, u := range f.Units {
			for _, n := range u.Counts {
				events += n
			}
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
