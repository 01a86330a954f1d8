package unit

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

var update = flag.Bool("update", false, "write the golden files anew")

const fixtures = "../../testdata/traces"

func TestFixtures(t *testing.T) {
	for _, name := range []string{"fields", "lossy", "rotated", "boot"} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := Replay(filepath.Join(fixtures, name), &got, Counts); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join(fixtures, name+".units.csv")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-golden +got):\n%s", diff)
			}
			if _, err := Read(&got); err != nil {
				t.Errorf("own output: %v", err)
			}
		})
	}
}

// The chunks of a rotated session, read one after another, give the same units as the
// session read as a whole.
func TestRotatedFixture(t *testing.T) {
	root := filepath.Join(fixtures, "rotated")
	whole, err := Cut(root, Counts)
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := ctf.FindTraces(root)
	if err != nil || len(dirs) < 2 {
		t.Fatalf("%d chunks, %v", len(dirs), err)
	}
	c := NewCutter(whole.Features)
	c.Begin(whole.Units[0].Start)
	var units []Unit
	for _, dir := range dirs {
		if err := c.ReadTrace(dir); err != nil {
			t.Fatal(err)
		}
		last, _ := c.LastTime()
		units = append(units, c.Advance(last-100_000_000)...)
	}
	last, _ := c.LastTime()
	units = append(units, c.End(last)...)
	if diff := cmp.Diff(whole.Units, units); diff != "" {
		t.Errorf("(-whole +chunks):\n%s", diff)
	}
	if c.Late() != 0 {
		t.Errorf("%d late events", c.Late())
	}
	if len(c.parsed) != 1 {
		t.Errorf("the chunks' metadata was parsed %d times", len(c.parsed))
	}
}
