package unit

import (
	"os"
	"testing"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// BenchmarkCut cuts a whole trace into units, by events and by feature sets: the recorded one, or the one that CTF_BENCH_TRACE names.
// Metadata is parsed before. ns/event is for each event in the trace, counted or not.
func BenchmarkCut(b *testing.B) {
	dir := fixtures + "/boot"
	if d := os.Getenv("CTF_BENCH_TRACE"); d != "" {
		dir = d
	}
	for _, name := range []string{"events", catalogue.CountsSet, catalogue.PaperSet, catalogue.DefaultSet, catalogue.WideSet, "testdata/families.toml"} {
		b.Run(name, func(b *testing.B) {
			c := NewCutter(nil)
			if name != "events" {
				set, err := catalogue.Load(name)
				if err != nil {
					b.Fatal(err)
				}
				c = NewSetCutter(set)
			}
			events := countAll(b, dir)
			b.ReportAllocs()
			for b.Loop() {
				clear(c.streams)
				if _, err := c.whole(dir); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(events), "ns/event")
		})
	}
}

// countAll returns how many events a trace has.
func countAll(b *testing.B, dir string) (events uint64) {
	b.Helper()
	f, err := Cut(dir, Counts)
	if err != nil {
		b.Fatal(err)
	}
	for _, u := range f.Units {
		for _, n := range u.Counts {
			events += n
		}
	}
	return events
}
