package unit

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRead: any bytes give a unit file or an error, and what was accepted is written
// again as it was.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.units.csv"))
	if err != nil || len(files) == 0 {
		f.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("start_ns,duration_ns,lost,a\n-2000000000,2000000000,18446744073709551615,0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, file); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(data, []byte("\n")) {
			data = append(data, '\n')
		}
		want := bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("(-read +written):\n%s", diff)
		}
	})
}
