package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// faults lists what is not ok, by check and status, in alphabetical order.
func faults(findings []Finding) string {
	var list []string
	for _, f := range findings {
		if f.Status != OK {
			list = append(list, string(f.Check)+" "+string(f.Status))
		}
	}
	return sorted(strings.Join(list, ", "))
}

func sorted(list string) string {
	parts := strings.Split(list, ", ")
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// golden compares with a file in testdata.
func golden(t *testing.T, h *host, name string, findings []Finding) {
	t.Helper()
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s %s: %s\n", f.Domain, f.Check, f.Status, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "\tremedy: %s\n", f.Remedy)
		}
	}
	got := strings.ReplaceAll(b.String(), h.root, "")
	path := filepath.Join("testdata", name+".txt")
	if *update {
		h.must(os.MkdirAll("testdata", 0o755))
		h.must(os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	h.must(err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-golden +got):\n%s", path, diff)
	}
}
