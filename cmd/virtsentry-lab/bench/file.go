package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// format of the files; another one is not read.
const format = 1

// File is what a benchmark found, as testdata/benchmarks/NAME.json holds it.
type File[T any] struct {
	Format  int       `json:"format"`
	Name    string    `json:"name"`
	Begin   time.Time `json:"begin"`
	Machine Machine   `json:"machine"`
	Short   bool      `json:"short,omitempty"` // a run that only shows that all of it works: its figures are not for a page
	Result  T         `json:"result"`
}

// Write keeps what the benchmark of a name found in DIR/NAME.json; an earlier file is replaced.
func Write[T any](dir string, f File[T]) error {
	f.Format = format
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return fmt.Errorf("benchmark %s: %w", f.Name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("benchmark %s: %w", f.Name, err)
	}
	name := filepath.Join(dir, f.Name+".json")
	if err := os.WriteFile(name+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("benchmark %s: %w", f.Name, err)
	}
	return os.Rename(name+".new", name)
}

// Read reads what Write wrote. ok is false where no such benchmark was kept. Errors name the file.
func Read[T any](dir, name string) (f File[T], ok bool, err error) {
	file := filepath.Join(dir, name+".json")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, false, fmt.Errorf("%s: %w: run the benchmark again", file, err)
	}
	if f.Format != format || f.Name != name {
		return f, false, fmt.Errorf("%s: format %d of benchmark %q, want %d of %q: run the benchmark again", file, f.Format, f.Name, format, name)
	}
	return f, true, nil
}
