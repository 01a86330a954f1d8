package ctf

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

// selectable returns the names of an event's fields that Select reads.
func selectable(c *EventClass) (names []string) {
	if c.Fields == nil {
		return nil
	}
	for _, f := range c.Fields.Fields {
		switch f.Type.(type) {
		case *Integer, *Enum, *String:
			names = append(names, f.Name)
		}
	}
	return names
}

// Select reads what Decode reads, whichever fields are chosen and in whatever order.
func TestSelectAgreesWithDecode(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		random := ctftest.NewRandom(rapid.Uint64().Draw(t, "seed"), false)
		writeFiles(t, dir, map[string]string{"metadata": random.Metadata, "ch_0": string(random.Data)})
		trace, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		selectors := make(map[*EventClass]*Selector)
		chosen := make(map[*EventClass][]string)
		for _, c := range trace.Metadata.Classes {
			names := rapid.Permutation(selectable(c)).Draw(t, "order")
			names = names[:rapid.IntRange(0, len(names)).Draw(t, "fields")]
			if selectors[c], err = c.Select(names...); err != nil {
				t.Fatal(err)
			}
			chosen[c] = names
		}
		for _, s := range trace.Streams {
			r := s.Reader()
			defer r.Close()
			var ev Event
			for r.NextPacket() {
				for r.Next() {
					got := make([]Scalar, len(chosen[r.Class]))
					if err := r.Select(selectors[r.Class], got); err != nil {
						t.Fatal(err)
					}
					if err := r.Decode(&ev); err != nil {
						t.Fatal(err)
					}
					for i, name := range chosen[r.Class] {
						if v := ev.Fields.Field(name); v.Uint != got[i].Uint || !bytes.Equal(v.Text, got[i].Text) {
							t.Fatalf("%s.%s: %v selected, %v decoded", r.Class.Name, name, got[i], v)
						}
					}
				}
			}
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
		}
	})
}

func TestSelectRefuses(t *testing.T) {
	text := strings.Replace((&ctftest.Trace{Events: []string{"a", "b"}}).Metadata(), "uint32_t _n;", "uint32_t _n; uint32_t _list[2];", 1)
	md, err := ParseMetadata([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a, b := md.Classes[0], md.Classes[1]
	for _, tt := range []struct {
		class *EventClass
		names []string
		want  error
	}{{a, []string{"n"}, nil}, {a, nil, nil}, {a, []string{"list"}, ErrFieldType}, {b, []string{"n", "list"}, ErrNoField}, {a, []string{"n", "n"}, ErrNoField}} {
		if _, err := tt.class.Select(tt.names...); !errors.Is(err, tt.want) {
			t.Errorf("%s %v: %v, want %v", tt.class.Name, tt.names, err, tt.want)
		}
	}
}

func TestSelectAnotherClass(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	tr := ctftest.Trace{Events: []string{"a", "b"}, Streams: []ctftest.Stream{{Packets: []ctftest.Packet{{End: 9, Events: []ctftest.Event{{ID: 1, N: 7}}}}}}}
	if err := tr.Write(dir); err != nil {
		t.Fatal(err)
	}
	trace, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := trace.Streams[0].Reader()
	defer r.Close()
	if !r.NextPacket() || !r.Next() {
		t.Fatal(r.Err())
	}
	got := make([]Scalar, 1)
	for i, want := range []bool{false, true} {
		s, err := trace.Metadata.Classes[i].Select("n")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Select(s, got); (err == nil) != want {
			t.Errorf("class %s: %v", trace.Metadata.Classes[i].Name, err)
		}
	}
	if got[0].Uint != 7 {
		t.Errorf("n = %d, want 7", got[0].Uint)
	}
	s, err := r.Class.Select("n")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = r.Select(s, got) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
