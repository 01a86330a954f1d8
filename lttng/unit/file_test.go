package unit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A compressed unit file is the same as the plain one; what is no such file says which it is.
func TestReadFile(t *testing.T) {
	want := File{Features: []string{"a"}, Units: []Unit{{Start: 0, Duration: width, Counts: []uint64{7}}}}
	var plain, packed bytes.Buffer
	if err := Write(&plain, want); err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, path := range []string{put("units.csv", plain.Bytes()), put("units.csv.gz", packed.Bytes())} {
		got, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	for name, data := range map[string][]byte{
		"plain.csv.gz": plain.Bytes(), "packed.csv": packed.Bytes(), "cut.csv.gz": packed.Bytes()[:packed.Len()-9], "empty.csv.gz": nil,
	} {
		if _, err := ReadFile(put(name, data)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
