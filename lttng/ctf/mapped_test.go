package ctf

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mappedTrace is a copy of a trace that may be changed, with the path of its largest data file.
func mappedTrace(t *testing.T) (tr *Trace, largest string) {
	t.Helper()
	dirs, err := FindTraces(fixtures + "boot")
	if err != nil || len(dirs) == 0 {
		t.Fatal(dirs, err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "trace"), os.DirFS(dirs[0])); err != nil {
		t.Fatal(err)
	}
	if tr, err = Open(filepath.Join(dir, "trace")); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, s := range tr.Streams {
		if info, err := os.Stat(s.Files[0]); err == nil && info.Size() > size {
			size, largest = info.Size(), s.Files[0]
		}
	}
	return tr, largest
}

// count goes over all events, and calls cut once in between.
func countMapped(tr *Trace, cut func()) (events int, err error) {
	tally, counts := tr.Metadata.NewTally(), make([]uint64, len(tr.Metadata.Classes))
	for i, class := range tr.Metadata.Classes {
		tally.Set(class, i)
	}
	for _, s := range tr.Streams {
		r := s.Reader()
		defer r.Close()
		for r.NextPacket() {
			cut()
			for r.Next() {
				n, _ := r.Tally(tally, math.MaxInt64, counts)
				events += n + 1
			}
		}
		if r.Err() != nil {
			return events, r.Err()
		}
	}
	return events, nil
}

func TestMappedIsRead(t *testing.T) {
	tr, _ := mappedTrace(t)
	want, err := countMapped(tr, func() {})
	if err != nil || want == 0 {
		t.Fatal(want, err)
	}
	got := 0
	err = tr.Mapped(func() (err error) {
		got, err = countMapped(tr, func() {
			if tr.mapped[len(tr.mapped)-1].view.bytes == nil {
				t.Error("a file is not mapped")
			}
		})
		return err
	})
	if err != nil || got != want {
		t.Errorf("%d events, want %d, %v", got, want, err)
	}
	if tr.Streams[0].Reader().maps {
		t.Error("files are mapped afterwards")
	}
}

// What is cut while it is mapped ends the reading, and not the process.
func TestMappedFileIsCut(t *testing.T) {
	tr, largest := mappedTrace(t)
	err := tr.Mapped(func() error {
		_, err := countMapped(tr, func() {
			if err := os.Truncate(largest, 0); err != nil {
				t.Error(err)
			}
		})
		return err
	})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Msg, "cut while being read") {
		t.Fatalf("%v", err)
	}
}

func TestMappedPanics(t *testing.T) {
	tr, _ := mappedTrace(t)
	defer func() {
		if recover() != "another" {
			t.Error("a panic for another reason is kept back")
		}
	}()
	_ = tr.Mapped(func() error { panic("another") })
}
