package probe

import (
	"io"
	"testing"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// TestColumns holds for all sources at once: names are unique and can stand in a unit file, and everything is described.
func TestColumns(t *testing.T) {
	var names []string
	seen := make(map[string]Source)
	for _, s := range Sources() {
		columns := s.Columns()
		if len(columns) == 0 || 8*len(columns) > 32<<10 {
			t.Errorf("%s has %d columns", s, len(columns)) // the kernel's bound on a per-CPU value is 32 KB
		}
		for _, c := range columns {
			if other, ok := seen[c.Name]; ok {
				t.Errorf("%s: %s is of %s, too", s, c.Name, other)
			}
			seen[c.Name] = s
			names = append(names, c.Name)
			if subsystem, words, ok := Describe(c.Name); !ok || subsystem != c.Subsystem || words != c.Words || subsystem == "" || words == "" {
				t.Errorf("%s is described as %q, %q", c.Name, subsystem, words)
			}
		}
	}
	if err := unit.Write(io.Discard, unit.File{Features: names}); err != nil {
		t.Error(err)
	}
	if Source("other").Columns() != nil {
		t.Error("an unknown source has columns")
	}
	if _, _, ok := Describe("other"); ok {
		t.Error("an unknown column is described")
	}
}
