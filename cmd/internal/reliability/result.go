package reliability

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// format of the files of results; another one is not read.
const format = 1

// Result is what was seen of a case, as testdata/reliability/ID.json holds it.
type Result struct {
	Format int       `json:"format"`
	Case   string    `json:"case"`
	Begin  time.Time `json:"begin"` // of the first run that is counted
	Times  int       `json:"times"` // the fault was caused
	Broken int       `json:"broken,omitempty"`
	// Right is whether it was measured how soon the state was right; Units and Seconds are the worst of it: how many units of the guest were reported
	// between the fault, or its end, and the right state, and how long that took.
	Right   bool    `json:"right"`
	Units   int     `json:"units,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Seen    string  `json:"seen,omitempty"` // in words and figures, of the newest run
}

// plus is two results of one case as one.
func (r Result) plus(next Result) Result {
	if r.Case == "" {
		return next
	}
	r.Times, r.Broken = r.Times+next.Times, r.Broken+next.Broken
	r.Right = r.Right || next.Right
	r.Units, r.Seconds = max(r.Units, next.Units), max(r.Seconds, next.Seconds)
	if next.Seen != "" {
		r.Seen = next.Seen
	}
	return r
}

// Recorder keeps results in a directory. What one recorder notes of a case adds up and replaces what the file held before. It may be used by several
// goroutines.
type Recorder struct {
	dir string

	mu      sync.Mutex // guards results
	results map[string]Result
}

// NewRecorder keeps results in dir; "": nowhere.
func NewRecorder(dir string) *Recorder { return &Recorder{dir: dir, results: map[string]Result{}} }

// Note adds a result to those of its case. Errors: the case is not in [Cases].
func (r *Recorder) Note(result Result) error {
	if _, ok := ByID(result.Case); !ok {
		return fmt.Errorf("reliability: case %q is not in the list of cases: add it there", result.Case)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := r.results[result.Case].plus(result)
	r.results[result.Case] = sum
	if r.dir == "" {
		return nil
	}
	return write(r.dir, result.Case, sum.keep())
}

// keep is the result as a file has it.
func (r Result) keep() Result {
	r.Format, r.Begin, r.Seconds = format, r.Begin.UTC().Truncate(time.Second), float64(int(r.Seconds*100+0.5))/100
	return r
}

// write replaces DIR/NAME.json in one step.
func write(dir, name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("reliability: %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("reliability: keep the result: %w", err)
	}
	file := filepath.Join(dir, name+".json")
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("reliability: keep the result: %w", err)
	}
	return os.Rename(file+".new", file)
}

// read reads DIR/NAME.json; ok is false where there is none.
func read(dir, name string, v any) (ok bool, err error) {
	file := filepath.Join(dir, name+".json")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return false, fmt.Errorf("%s: %w: make faults writes it anew", file, err)
	}
	return true, nil
}

// Read reads what was noted of a case; ok is false where nothing was. Errors name the file.
func Read(dir, id string) (r Result, ok bool, err error) {
	ok, err = read(dir, id, &r)
	if err == nil && ok && (r.Format != format || r.Case != id || r.Times < 1) {
		err = fmt.Errorf("%s: format %d of case %q, %d times; want format %d of %q: make faults writes it anew", filepath.Join(dir, id+".json"), r.Format, r.Case, r.Times, format, id)
	}
	return r, ok, err
}
