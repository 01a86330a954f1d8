package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// Metadata that is still being written is waited for, and what never becomes whole is an error that says so.
func TestWholeMetadata(t *testing.T) {
	var found string
	for _, root := range []string{"../../../testdata/traces", "../../../lttng/testdata"} {
		if dirs, err := ctf.FindTraces(root); err == nil && len(dirs) > 0 {
			found = dirs[0]
			break
		}
	}
	data, err := ctf.ReadMetadataFile(found)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "metadata")
	write := func(part int) {
		t.Helper()
		// A new file in the old one's place, so that no reader finds it empty in between.
		if err := errors.Join(os.WriteFile(file+".new", data[:len(data)*part/4], 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	var w wholeMetadata
	write(3)
	if err := w.wait(t.Context(), dir, 3*wholeEvery); err == nil || !strings.Contains(err.Error(), "not whole") || !strings.Contains(err.Error(), dir) {
		t.Errorf("of three quarters: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- w.wait(t.Context(), dir, time.Minute) }()
	time.Sleep(3 * wholeEvery)
	write(4)
	if err := <-waited; err != nil || w.text == "" {
		t.Errorf("of what became whole: %v", err)
	}
	// The next chunk's is the same: it is not parsed again, and what is cut short there is seen all the same.
	if err := w.wait(t.Context(), dir, 0); err != nil {
		t.Error(err)
	}
	write(3)
	ctx, cancel := context.WithTimeout(t.Context(), 3*wholeEvery)
	defer cancel()
	if err := w.wait(ctx, dir, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("when there is no more time: %v", err)
	}
	if err := w.wait(t.Context(), filepath.Join(dir, "none"), 0); err == nil {
		t.Error("of a directory that is not there: no error")
	}
}
