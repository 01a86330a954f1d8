package ctf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tallied is what is counted of a trace.
type tallied struct {
	Counts []uint64 // by class
	Last   []int64  // time of the last event before a packet's end or defect
	Err    string
}

// tally counts a trace's events by class: with Tally as far as that goes, up to times that lie so far apart, or with Next alone (0).
func tally(dir string, step int64, columns func(int) int32) (got tallied) {
	tr, err := Open(dir)
	if err != nil {
		return tallied{Err: err.Error()}
	}
	table := make([]int32, len(tr.Metadata.Classes))
	plan := tr.Metadata.NewTally()
	for i := range table {
		table[i] = columns(i)
		plan.Set(tr.Metadata.Classes[i], int(table[i]))
	}
	got.Counts = make([]uint64, len(table))
	for _, s := range tr.Streams {
		r := s.Reader()
		for r.NextPacket() {
			last := int64(-1)
			for at := false; at || r.Next(); {
				if table[r.Class.Index] >= 0 {
					got.Counts[table[r.Class.Index]]++
				} else if table[r.Class.Index] == Stop {
					got.Counts[0]++ // Tally stops there
				}
				if last, at = r.Time(), false; step > 0 {
					_, at = r.Tally(plan, last+step, got.Counts)
					last = r.Time()
				}
			}
			got.Last = append(got.Last, last)
		}
		if err := r.Err(); err != nil {
			got.Err = err.Error()
		}
		_ = r.Close()
	}
	return got
}

// Tally counts what Next does, and what is wrong with a trace is found as well.
func TestTallyIsNext(t *testing.T) {
	for _, name := range []string{"boot", "fields", "lossy"} {
		dirs, err := FindTraces(fixtures + name)
		if err != nil || len(dirs) == 0 {
			t.Fatal(dirs, err)
		}
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			dir := rapid.SampledFrom(dirs).Draw(t, "trace")
			if rapid.Bool().Draw(t, "damaged") {
				dir = damaged(t, dir)
				defer func() { _ = os.RemoveAll(dir) }()
			}
			// Some classes are passed over, some stop it.
			every := rapid.IntRange(1, 4).Draw(t, "every")
			columns := func(i int) int32 {
				if i%every == 0 {
					return int32(i)
				}
				return int32(-i%every) - 1
			}
			step := rapid.SampledFrom([]int64{1, 1000, 1e6, 1e9, 1 << 62}).Draw(t, "step")
			if diff := cmp.Diff(tally(dir, 0, columns), tally(dir, step, columns)); diff != "" {
				t.Fatalf("%s (-next +tally):\n%s", dir, diff)
			}
		}))
	}
}

// damaged copies a trace, with some bytes of its streams changed and one cut off.
func damaged(t *rapid.T, from string) string {
	dir, err := os.MkdirTemp("", "tally")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != "metadata" && len(data) > 200 {
			for range rapid.IntRange(0, 5).Draw(t, "changes") {
				data[rapid.IntRange(100, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "to")
			}
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
