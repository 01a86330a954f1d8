package catalogue

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The versions of the sets that come with the programme. When a set's columns change, so does its sum: raise the version in its file and
// write both here. Profiles that were learnt with the old one are then learnt anew.
func TestVersions(t *testing.T) {
	for name, want := range map[string]string{
		CountsSet:  "counts/1+61f86e27",
		PaperSet:   "paper/1+83b6e64d",
		DefaultSet: "default/1+52b2e808",
		WideSet:    "wide/1+c0d3cd79",
	} {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Version() != want || s.Name() != name {
			t.Errorf("set %s has version %q, want %q", s.Name(), s.Version(), want)
		}
	}
}

// check tells what every set must hold to.
func check(t *testing.T, s *Set) {
	t.Helper()
	columns, groups := s.Columns(), make(map[string]bool)
	if len(columns) == 0 || len(columns) > MaxColumns {
		t.Errorf("%d columns", len(columns))
	}
	for i, c := range columns {
		if c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ',' || r == '"' }) {
			t.Errorf("column %q does not fit a header", c.Name)
		}
		if subsystem, w := s.Describe(c.Name); subsystem != c.Subsystem || w != c.Words || s.Names()[i] != c.Name {
			t.Errorf("column %q is described as %q, %q", c.Name, subsystem, w)
		}
		if strings.ContainsAny(c.Words, "{}") {
			t.Errorf("column %q: words %q", c.Name, c.Words)
		}
		if c.Name != c.Group && !strings.HasPrefix(c.Name, c.Group+":") || i > 0 && c.Group != columns[i-1].Group && groups[c.Group] {
			t.Errorf("column %q is of group %q", c.Name, c.Group)
		}
		groups[c.Group] = true
	}
	next := 0
	for _, e := range s.Entries() {
		buckets := 1
		if e.Buckets != nil {
			buckets = e.Buckets.Count()
		}
		for role := range max(len(e.Roles), 1) {
			for value := range len(e.Values) + 1 {
				if value == len(e.Values) && e.ValueField == "" && value > 0 {
					continue
				}
				for bucket := range buckets {
					if got := e.Column(role, value, bucket); got != next {
						t.Fatalf("event %s: column %d of role %d, value %d, bucket %d; want %d", e.Event, got, role, value, bucket, next)
					}
					next++
				}
			}
		}
	}
	if p := s.Pairs(); p != nil {
		next += len(p.Events) * len(p.Events)
	}
	if next != len(columns) {
		t.Errorf("the entries have %d columns of %d", next, len(columns))
	}
}

func TestSets(t *testing.T) {
	for _, name := range []string{CountsSet, PaperSet, DefaultSet, WideSet, "../unit/testdata/families.toml"} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			s, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			check(t, s)
			// Nobody can tell two columns of the same words apart, and need not where both count the same packets.
			seen := make(map[string]string)
			for _, c := range s.Columns() {
				other, ok := seen[c.Words]
				twice := strings.HasPrefix(other, "virtqueue_fill:net.rx:") && strings.HasPrefix(c.Name, "received:")
				if ok && !twice {
					t.Errorf("%s and %s are both %q", other, c.Name, c.Words)
				}
				seen[c.Words] = c.Name
			}
			if s.About() == "" && name != "../unit/testdata/families.toml" {
				t.Error("nothing is said about the set")
			}
		})
	}
}

func TestPaperSet(t *testing.T) {
	s, err := Load(PaperSet)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"qemu:bdrv_aio_flush", "qemu:memory_region_ops_write", "qemu:qemu_deliver_packet", "qemu:tap_send", "qemu:virtqueue_fill"}
	if diff := cmp.Diff(want, s.TracePoints()); diff != "" {
		t.Error(diff)
	}
	if s.Ordered() || s.TellsQueues() || len(s.Names()) != 5 {
		t.Errorf("the set has %d columns and depends on order", len(s.Names()))
	}
}

func TestDefaultSet(t *testing.T) {
	s, err := Load(DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	names := s.Names()
	for _, want := range []string{"virtqueue_fill:net.rx:len=60-63", "virtqueue_fill:net.rx:len=80-87", "virtqueue_fill:net.tx", "virtqueue_fill:rest",
		"blk_co_pwritev:bytes>=4194304", "sent:size=60-63"} {
		if !slices.Contains(names, want) {
			t.Errorf("no column %s", want)
		}
	}
	if _, words := s.Describe("virtqueue_fill:net.rx:len=60-63"); words != "packets of 60 to 63 bytes received by the guest" {
		t.Errorf("words: %q", words)
	}
	for _, e := range s.Events() {
		if strings.HasPrefix(e, "exec_tb") || strings.HasPrefix(e, "translate") || strings.HasPrefix(e, "apic") {
			t.Errorf("event %s exists only under TCG", e)
		}
	}
	if !s.Ordered() || !s.TellsQueues() {
		t.Error("the set does not depend on order")
	}
}

// The wide set begins with the default set's columns.
func TestWideSet(t *testing.T) {
	d, err := Load(DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Load(WideSet)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.Columns(), w.Columns()[:len(d.Columns())]); diff != "" {
		t.Errorf("(-default +wide):\n%s", diff)
	}
	for _, want := range []string{"memory_region_ops_write:virtio-pci-notify-virtio-net", "memory_region_ops_write:other", "gap:net.rx:gap=1048576-1572863",
		"pair:virtio_queue_notify>virtqueue_fill"} {
		if !slices.Contains(w.Names(), want) {
			t.Errorf("no column %s", want)
		}
	}
}

// Words and comments do not change a version; everything else does.
func TestVersionString(t *testing.T) {
	const text = `name = "x"
version = 1
[[feature]]
event = "a"
subsystem = "s"
words = "w {range}"
buckets = { field = "f", per_octave = 2, min = 2, max = 4 }
`
	version := func(from, to string) string {
		s, err := Parse([]byte(strings.Replace(text, from, to, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return s.Version()
	}
	same := version("", "")
	for _, r := range [][2]string{{`"w {`, `"other {`}, {"version", "# comment\nversion"}, {`"s"`, `"t"`}, {"version = 1", "version = 1\nabout = \"it\""}} {
		if got := version(r[0], r[1]); got != same {
			t.Errorf("%q changes the version %s to %s", r[1], same, got)
		}
	}
	seen := map[string]bool{same: true}
	for _, r := range [][2]string{{"version = 1", "version = 2"}, {`"x"`, `"y"`}, {"max = 4", "max = 8"}, {`"f"`, `"g"`}, {`"a"`, `"b"`},
		{"[[feature]]", "identity = [\"virtio_notify\"]\n[[feature]]"}, {`event = "a"`, "name = \"n\"\nevent = \"a\""}} {
		got := version(r[0], r[1])
		if seen[got] {
			t.Errorf("%q does not change the version %s", r[1], got)
		}
		seen[got] = true
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load("nonsense"); !errors.Is(err, ErrSet) || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("unknown set: %v", err)
	}
	path := filepath.Join(t.TempDir(), "set.toml")
	if err := os.WriteFile(path, []byte("name = 3"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Is(err, ErrSet) || !strings.Contains(err.Error(), path) {
		t.Errorf("wrong file: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a directory is taken for a set")
	}
	data, err := sets.ReadFile("sets/paper.toml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(path); err != nil || s.Name() != PaperSet {
		t.Errorf("set file: %v", err)
	}
}
