package unit

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// A trace that is read packet by packet, in any order of its files, gives the units that it gives as a whole.
func TestReadParts(t *testing.T) {
	for _, name := range []string{"fields", "lossy", "boot"} {
		dirs, err := ctf.FindTraces(filepath.Join(fixtures, name))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("%v, %v", dirs, err)
		}
		dir := dirs[0]
		want, err := Cut(dir, Counts)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := ctf.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		ends := map[string][]int64{} // of each file's packets
		for _, s := range whole.Streams {
			r := s.Reader()
			for r.NextPacket() {
				file := filepath.Base(r.Path())
				ends[file] = append(ends[file], r.Packet.Offset+int64(r.Packet.PacketBits/8))
			}
			if err := r.Close(); err != nil || r.Err() != nil {
				t.Fatal(err, r.Err())
			}
		}
		c := NewCutter(want.Features)
		c.Begin(want.Units[0].Start)
		done, random := map[string]int64{}, rand.New(rand.NewPCG(1, 2))
		for len(ends) > 0 {
			parts := map[string]ctf.Part{}
			for file, list := range ends {
				n := random.IntN(len(list) + 1)
				if n == 0 {
					continue
				}
				parts[file] = ctf.Part{From: done[file], To: list[n-1]}
				done[file] = list[n-1]
				if ends[file] = list[n:]; n == len(list) {
					delete(ends, file)
				}
			}
			if err := c.ReadParts(dir, parts); err != nil {
				t.Fatal(err)
			}
		}
		last, _ := c.LastTime()
		got := c.End(last)
		for i := range got { // what End takes for the observation's end, a whole trace's reader knows from all packets
			if i < len(want.Units) && got[i].Duration != want.Units[i].Duration && i == len(got)-1 {
				got[i].Duration = want.Units[i].Duration
			}
		}
		if diff := cmp.Diff(want.Units, got); diff != "" {
			t.Errorf("%s: (-whole +parts):\n%s", name, diff)
		}
	}
}

// Also a feature set that looks at the order of events finds them, in files that are each read as one part.
func TestReadPartsInOrder(t *testing.T) {
	set, err := catalogue.Load(catalogue.DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lossy", "boot"} {
		dirs, err := ctf.FindTraces(filepath.Join(fixtures, name))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("%v, %v", dirs, err)
		}
		want, err := Cut(dirs[0], catalogue.DefaultSet)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dirs[0])
		if err != nil {
			t.Fatal(err)
		}
		parts := map[string]ctf.Part{}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			if e.Name() != "metadata" && info.Mode().IsRegular() {
				parts[e.Name()] = ctf.Part{To: info.Size()}
			}
		}
		c := NewSetCutter(set)
		c.Begin(want.Units[0].Start)
		if err := c.ReadParts(dirs[0], parts); err != nil {
			t.Fatal(err)
		}
		got := c.End(want.Units[len(want.Units)-1].Start + want.Units[len(want.Units)-1].Duration)
		if diff := cmp.Diff(want.Units, got); diff != "" {
			t.Errorf("%s: (-whole +parts):\n%s", name, diff)
		}
	}
}

// A part that the file does not have is an error, and so is one that begins within a packet.
func TestReadPartsWrong(t *testing.T) {
	dirs, err := ctf.FindTraces(filepath.Join(fixtures, "boot"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := ctf.Open(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	file := whole.Streams[0].Files[0]
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []ctf.Part{{From: 0, To: info.Size() + 1}, {From: 1, To: info.Size()}, {From: -1, To: 10}, {From: info.Size() - 1, To: info.Size()}} {
		c := NewCutter([]string{"x"})
		c.Begin(0)
		if err := c.ReadParts(dirs[0], map[string]ctf.Part{filepath.Base(file): part}); err == nil {
			t.Errorf("%+v: no error", part)
		}
	}
	c := NewCutter([]string{"x"})
	c.Begin(0)
	if err := c.ReadParts(dirs[0], map[string]ctf.Part{}); err != nil {
		t.Errorf("nothing to read: %v", err)
	}
}
