package ctf

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

// canonical writes a value as ctftest.Random does.
func canonical(v *Value) string {
	switch t := v.Type.(type) {
	case *Integer:
		return canonicalInt(t, v.Uint)
	case *Enum:
		return canonicalInt(t.Int, v.Uint)
	case *Float:
		return strconv.FormatFloat(v.Float, 'x', -1, 64)
	case *String:
		return strconv.Quote(string(v.Text))
	case *Variant:
		return "<" + v.Elems[0].Name + ":" + canonical(&v.Elems[0]) + ">"
	case *Array:
		return canonicalElems(v, t.Elem)
	case *Sequence:
		return canonicalElems(v, t.Elem)
	}
	var parts []string
	for i := range v.Elems {
		parts = append(parts, v.Elems[i].Name+":"+canonical(&v.Elems[i]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func canonicalInt(t *Integer, v uint64) string {
	if t.Signed {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatUint(v, 10)
}

func canonicalElems(v *Value, elem Type) string {
	if IsText(elem) {
		return strconv.Quote(string(v.Text))
	}
	var parts []string
	for i := range v.Elems {
		parts = append(parts, canonical(&v.Elems[i]))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func writeFiles(t interface{ Fatal(...any) }, dir string, files map[string]string) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRandomTraces(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		want := ctftest.NewRandom(rapid.Uint64().Draw(t, "seed"), false)
		writeFiles(t, dir, map[string]string{"metadata": want.Metadata, "stream": string(want.Data)})
		tr, err := Open(dir)
		if err != nil {
			t.Fatalf("%v in\n%s", err, want.Metadata)
		}
		if len(tr.Streams) != 1 {
			t.Fatalf("%d streams", len(tr.Streams))
		}
		r := tr.Streams[0].Reader()
		defer r.Close()
		var got []string
		var clock []uint64
		var ev Event
		for r.NextPacket() {
			for r.Next() {
				if err := r.Decode(&ev); err != nil {
					t.Fatal(err)
				}
				got = append(got, strings.Join([]string{r.Class.Name, canonical(&ev.StreamContext), canonical(&ev.Context), canonical(&ev.Fields)}, " "))
				clock = append(clock, r.Cycles)
			}
		}
		if r.Err() != nil {
			t.Fatalf("%v in\n%s", r.Err(), want.Metadata)
		}
		if diff := cmp.Diff(want.Want, got); diff != "" {
			t.Fatalf("events (-written +read):\n%s\n%s", diff, want.Metadata)
		}
		if diff := cmp.Diff(want.Clock, clock); diff != "" {
			t.Fatalf("clock (-written +read):\n%s", diff)
		}
	})
}
