package monitor

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

// reel is a monitor with a domain whose source gives chunks when a test says so.
type reel struct {
	*Monitor
	t       *testing.T
	watcher *watcher
	chunks  int
}

func newReel(t *testing.T) *reel {
	m := New(testConfig(t), testSet, libsvm.Engine{}, silent())
	w := &watcher{domain: libvirt.Domain{UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809", Name: "web"}, done: make(chan struct{})}
	w.now = control.DomainStatus{UUID: w.domain.UUID, Name: w.domain.Name}
	m.watchers[w.domain.UUID] = w
	return &reel{Monitor: m, t: t, watcher: w}
}

// chunk gives out a chunk of one file, as a source that has read it.
func (r *reel) chunk() {
	r.t.Helper()
	r.chunks++
	dir := filepath.Join(r.cfg.LTTng.OutputDir, "session", fmt.Sprint("archive-", r.chunks))
	if err := os.MkdirAll(filepath.Join(dir, "ust", "pid"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ust", "pid", "metadata"), fmt.Append(nil, "chunk ", r.chunks), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := r.tees.take(r.watcher.domain.UUID, dir); err != nil {
		r.t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		r.t.Errorf("the chunk is still there: %v", err)
	}
}

// record begins a recording and returns what ends it with its error.
func (r *reel) record(w io.Writer) (stop context.CancelFunc, ended <-chan error) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	over := make(chan error, 1)
	go func() { over <- r.Record(ctx, "web", w) }()
	for {
		r.tees.mu.Lock()
		begun := r.tees.of[r.watcher.domain.UUID] != nil
		r.tees.mu.Unlock()
		if begun {
			return stop, over
		}
		time.Sleep(time.Millisecond)
	}
}

// clean checks that nothing is left on disk.
func (r *reel) clean() {
	r.t.Helper()
	entries, err := filepath.Glob(filepath.Join(r.cfg.LTTng.OutputDir, sessionPrefix+"*"))
	if err != nil || len(entries) > 0 {
		r.t.Errorf("left: %v, %v", entries, err)
	}
	if entries, err := os.ReadDir(filepath.Join(r.cfg.LTTng.OutputDir, "session")); err != nil || len(entries) > 0 {
		r.t.Errorf("left: %v, %v", entries, err)
	}
}

// contents lists the files of an archive, which must be whole.
func contents(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	found := map[string]string{}
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = string(text)
	}
}

func TestRecord(t *testing.T) {
	r := newReel(t)
	r.chunk() // before anybody asks
	var archive bytes.Buffer
	stop, ended := r.record(&archive)
	if err := r.Record(t.Context(), "web", io.Discard); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second recording: %v", err)
	}
	r.chunk()
	r.chunk()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	r.chunk() // afterwards
	want := map[string]string{"chunk-000001/ust/pid/metadata": "chunk 2", "chunk-000002/ust/pid/metadata": "chunk 3"}
	if diff := cmp.Diff(want, contents(t, &archive)); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	r.clean()
	if err := r.Record(t.Context(), "no-such", io.Discard); !errors.Is(err, control.ErrNoDomain) {
		t.Errorf("Record of no domain = %v", err)
	}
}

func TestRecordOfNothing(t *testing.T) {
	r := newReel(t)
	stop, ended := r.record(io.Discard)
	stop()
	if err := <-ended; !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "nothing was seen") {
		t.Errorf("Record = %v", err)
	}
}

// The source does not wait for a reader; what came until the reader was too slow is whole.
func TestRecordForASlowReader(t *testing.T) {
	r := newReel(t)
	in, out := io.Pipe()
	_, ended := r.record(out)
	for range teeQueue + 2 {
		r.chunk()
	}
	var archive bytes.Buffer
	read := make(chan error)
	go func() {
		_, err := io.Copy(&archive, in)
		read <- err
	}()
	if err := <-ended; !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "not read fast enough") {
		t.Errorf("Record = %v", err)
	}
	_ = out.Close()
	if err := <-read; err != nil {
		t.Error(err)
	}
	if n := len(contents(t, &archive)); n < teeQueue {
		t.Errorf("%d chunks in the archive", n)
	}
	r.chunk()
	r.clean()
}

func TestRecordEnds(t *testing.T) {
	for name, end := range map[string]func(*reel, *io.PipeReader){
		"the domain ends":   func(r *reel, _ *io.PipeReader) { close(r.watcher.done) },
		"the client is off": func(_ *reel, in *io.PipeReader) { _ = in.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReel(t)
			in, out := io.Pipe()
			_, ended := r.record(out)
			r.chunk()
			go func() { _, _ = io.Copy(io.Discard, in) }()
			end(r, in)
			r.chunk()
			if err := <-ended; err == nil {
				t.Error("Record: no error")
			}
			_ = out.Close()
			r.clean()
		})
	}
	// A daemon that ends does not wait for a client that reads nothing.
	r := newReel(t)
	in, out := io.Pipe()
	_, ended := r.record(out)
	r.chunk()
	r.tees.close()
	r.clean()
	r.chunk()
	r.clean()
	_ = in.Close()
	if err := <-ended; err == nil {
		t.Error("Record after the daemon's end: no error")
	}
	if err := r.Record(t.Context(), "web", io.Discard); !errors.Is(err, control.ErrRefused) {
		t.Errorf("Record after the daemon's end = %v", err)
	}
}

// Of a domain that is not observed by trace points there is no trace, and that is said at once.
func TestRecordWithoutTracePoints(t *testing.T) {
	r := newReel(t)
	r.watcher.now.Sources = []control.Source{{Name: "tap"}, {Name: "functions"}}
	if err := r.Record(t.Context(), "web", io.Discard); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "--units") {
		t.Errorf("Record: %v", err)
	}
}
