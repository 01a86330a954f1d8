package catalogue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refused are changes to a good set file, and what the error must name.
var refused = []struct{ name, from, to, want string }{
	{"unknown key", "version", "nonsense = 1\nversion", "nonsense"},
	{"unknown key of a feature", "event =", "evnt = 1\nevent =", "evnt"},
	{"key in capitals", "version", "Version = 2\nversion", "Version"},
	{"no name", `name = "x"`, "", "identifier"},
	{"name with a comma", `name = "x"`, `name = "x,y"`, "identifier"},
	{"version 0", "version = 1", "version = 0", "version"},
	{"version of another type", "version = 1", `version = "1"`, "version"},
	{"no TOML", "version = 1", "version = = 1", "line"},
	{"no features", "[[feature]]", "[[nothing]]", "nothing"},
	{"no event", `event = "virtqueue_fill"`, "", "event"},
	{"event with its provider", `event = "virtqueue_fill"`, `event = "qemu:virtqueue_fill"`, "event"},
	{"no words", `words = "packets of {range} in {queue} from {value}"`, "", "words"},
	{"words without range", "{range}", "some bytes", "{range}"},
	{"words with other braces", "packets", "{packets}", "braces"},
	{"value's words with braces", `words = "ps"`, `words = "{range}"`, "words"},
	{"words with range twice", "{range}", "{range} {range}", "{range}"},
	{"words without queue", "{queue}", "a queue", "{queue}"},
	{"words without value", "{value}", "a name", "{value}"},
	{"words with a control character", "packets", `\u0007`, "words"},
	{"unknown role", `"net.rx", `, `"net.rx", "net.xx", `, "net.xx"},
	{"role twice", `"net.rx", `, `"net.tx", "net.tx", `, "second column"},
	{"event without a queue", `event = "virtqueue_fill"`, `event = "tap_send"`, "queue"},
	{"no field", `field = "len", `, "", "field"},
	{"unit", `unit = "bytes"`, `unit = "ells"`, "ells"},
	{"parts that are no power of two", "per_octave = 8", "per_octave = 6", "per_octave"},
	{"too many parts", "per_octave = 8", "per_octave = 128", "per_octave"},
	{"no parts", "per_octave = 8", "per_octave = 0", "per_octave"},
	{"negative bound", "min = 32", "min = -32", "min"},
	{"min below parts", "min = 32", "min = 4", "min"},
	{"max below min", "max = 64", "max = 32", "max"},
	{"no max", ", max = 64", "", "max"},
	{"buckets and gap", "buckets", "gap = { unit = \"ns\", per_octave = 2, min = 2, max = 4 }\nbuckets", "gap"},
	{"gap with a field", `buckets = { field = "len", unit = "bytes"`, `gap = { field = "len", unit = "ns"`, "gap"},
	{"gap in bytes", `buckets = { field = "len", unit = "bytes"`, `gap = { unit = "bytes"`, "gap"},
	{"where with both", `is = ["b"]`, `is = ["b"], not = ["c"]`, "where"},
	{"where with none", `, is = ["b"]`, "", "where"},
	{"where with an empty prefix", `is = ["b"]`, `is = [""]`, "where"},
	{"values without others", `others = "others", `, "", "others"},
	{"value with a comma", `prefix = "p"`, `prefix = "p,q"`, "p,q"},
	{"value without words", `, words = "ps"`, "", "words"},
	{"value twice", `list = [`, `list = [{ prefix = "p", words = "ps" }, `, "second column"},
	{"unknown identity", `["virtio_notify"]`, `["exec_tb"]`, "exec_tb"},
	{"pair of one", `["a_b", "c"]`, `["a_b"]`, "pairs"},
	{"pair twice", `["a_b", "c"]`, `["c", "c"]`, "second column"},
	{"unknown base", "version = 1", "version = 1\nbase = \"nothing\"", "base"},
	{"base that builds on another", "version = 1", "version = 1\nbase = \"wide\"", "base"},
	{"too many columns", "max = 64", "max = 4611686018427387904", "columns"},
	{"too large", "version", "# " + strings.Repeat("x", maxFileSize) + "\nversion", "larger"},
	{"no UTF-8", "packets", "\xff", "UTF-8"},
}

const goodFile = `name = "x"
version = 1
identity = ["virtio_notify"]
[[feature]]
event = "virtqueue_fill"
subsystem = "virtio"
queues = ["net.rx", "net.tx", "net.ctl", "blk", "unknown"]
words = "packets of {range} in {queue} from {value}"
where = { field = "a", is = ["b"] }
values = { field = "v", others = "others", list = [{ prefix = "p", words = "ps" }] }
buckets = { field = "len", unit = "bytes", per_octave = 8, min = 32, max = 64 }
[pairs]
subsystem = "sequence"
events = ["a_b", "c"]
`

func TestParse(t *testing.T) {
	s, err := Parse([]byte(goodFile))
	if err != nil {
		t.Fatal(err)
	}
	check(t, s)
	if n := len(s.Names()); n != 5*2*10+4 {
		t.Errorf("%d columns", n)
	}
	for i, want := range []string{"virtqueue_fill:net.rx:p:len<32", "virtqueue_fill:net.rx:p:len=32-35"} {
		if got := s.Names()[i]; got != want {
			t.Errorf("column %d is %s, want %s", i, got, want)
		}
	}
	if subsystem, words := s.Describe("virtqueue_fill:blk:other:len>=64"); subsystem != "virtio" || words != "packets of 64 bytes and more in virtio disks' queues from others" {
		t.Errorf("described as %q, %q", subsystem, words)
	}
	if _, words := s.Describe("pair:c>a_b"); words != "c followed by a_b" {
		t.Errorf("described as %q", words)
	}
}

// The example in the description of set files is one.
func TestReadmeExample(t *testing.T) {
	text, err := os.ReadFile("sets/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	for _, x := range []string{example, strings.NewReplacer("\nbuckets", "\n# buckets", "# gap =", "gap =").Replace(example)} {
		s, err := Parse([]byte(x))
		if err != nil {
			t.Fatal(err)
		}
		check(t, s)
	}
	for r := range Rest + 1 {
		if !strings.Contains(string(text), "`"+r.String()+"`") {
			t.Errorf("role %s is not described", r)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(goodFile, tt.from) {
				t.Fatalf("%q is not in the good file", tt.from)
			}
			_, err := Parse([]byte(strings.Replace(goodFile, tt.from, tt.to, 1)))
			if !errors.Is(err, ErrSet) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got %v; want an error with %q", err, tt.want)
			}
		})
	}
}

// FuzzParse: any bytes give an error or a set that holds to its rules.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("sets/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d set files, %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(goodFile))
	for _, r := range refused {
		if len(r.to) < 1000 {
			f.Add([]byte(strings.Replace(goodFile, r.from, r.to, 1)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err == nil {
			check(t, s)
			again, err := Parse(data)
			if err != nil || again.Version() != s.Version() {
				t.Errorf("a second reading: %v, version %s after %s", err, again.Version(), s.Version())
			}
		}
	})
}
