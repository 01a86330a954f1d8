package monitor

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// teeQueue bounds the chunks that wait on disk for a recording's reader.
const teeQueue = 8

// tees hands chunks that were read to recordings instead of removing them. The zero value is ready; it is safe for concurrent use.
type tees struct {
	mu     sync.Mutex // guards the fields below, and those of every tee
	of     map[string]*tee
	closed bool // the daemon ends
}

// tee is the recording of one domain.
type tee struct {
	dir    string      // of the chunks that wait
	chunks chan string // their directories, in order; closed when no more will come
	over   bool        // chunks is closed
	why    error       // the recording ended early; nil: it did not
	count  int         // chunks so far
}

// take lets go of a chunk of a domain: a recording gets it, and otherwise it is removed. It never waits.
func (t *tees) take(uuid, chunk string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of[uuid]
	if r != nil && len(r.chunks) == cap(r.chunks) { // nobody else puts chunks in
		r.stop(fmt.Errorf("%w: the recording was not read fast enough: %d chunks waited for it", control.ErrRefused, teeQueue))
	}
	if r == nil || r.over {
		return os.RemoveAll(chunk)
	}
	r.count++
	aside := filepath.Join(r.dir, fmt.Sprintf("chunk-%06d", r.count))
	if err := os.Rename(chunk, aside); err != nil {
		r.stop(fmt.Errorf("record: %w", err))
		return errors.Join(err, os.RemoveAll(chunk))
	}
	r.chunks <- aside
	return nil
}

// wants says whether a recording of a domain takes chunks.
func (t *tees) wants(uuid string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of[uuid]
	return r != nil && !r.over
}

// stop says that no more chunks come. The caller holds the lock.
func (r *tee) stop(why error) {
	if !r.over {
		r.over, r.why = true, why
		close(r.chunks)
	}
}

// begin begins a recording that keeps its chunks in dir, which is made.
func (t *tees) begin(uuid, dir string) (*tee, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, fmt.Errorf("%w: the daemon ends", control.ErrRefused)
	case t.of[uuid] != nil:
		return nil, fmt.Errorf("%w: the domain is being recorded already", control.ErrRefused)
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if t.of == nil {
		t.of = map[string]*tee{}
	}
	r := &tee{dir: dir, chunks: make(chan string, teeQueue)}
	t.of[uuid] = r
	return r, nil
}

// stop lets a recording take no more chunks; those that wait are still its reader's.
func (t *tees) stop(r *tee, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.stop(why)
}

// end ends a recording and says why it ended early, if it did. Nothing of it is left on disk.
func (t *tees) end(uuid string, r *tee) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.stop(nil)
	if t.of[uuid] == r {
		delete(t.of, uuid)
	}
	return errors.Join(r.why, os.RemoveAll(r.dir))
}

// close ends all recordings, whether their readers read or not, and lets none begin.
func (t *tees) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, r := range t.of {
		r.stop(fmt.Errorf("%w: the daemon ends", control.ErrRefused))
		_ = os.RemoveAll(r.dir) // what is left is cleared away by the next daemon
	}
}

// Record writes a domain's trace from now on as a tar archive, control.Backend.
func (m *Monitor) Record(ctx context.Context, ref string, w io.Writer) error {
	d, err := m.find(ref)
	if err != nil {
		return err
	}
	watcher := m.watcher(d.UUID)
	if watcher == nil {
		return fmt.Errorf("%.256s: %w", ref, control.ErrNoDomain)
	}
	observed := watcher.status().Sources
	if len(observed) > 0 && !slices.ContainsFunc(observed, func(s control.Source) bool { return s.Name == ust }) {
		return fmt.Errorf("%w: domain %s is not observed by trace points, of which a trace would be; its units can be recorded (--units)", control.ErrRefused, d.Name)
	}
	// With this name, a daemon that begins clears away what one that was killed left behind.
	r, err := m.tees.begin(d.UUID, filepath.Join(m.cfg.LTTng.OutputDir, sessionPrefix+"record-"+d.UUID))
	if err != nil {
		return err
	}
	m.log.WithFields(logrus.Fields{"domain": d.Name, "uuid": d.UUID}).Info("recording")
	written := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-ctx.Done():
			m.tees.stop(r, nil)
		case <-watcher.done:
			m.tees.stop(r, fmt.Errorf("%w: domain %s has ended", control.ErrRefused, d.Name))
		case <-written:
		}
	})
	err = writeChunks(w, r.chunks)
	close(written)
	waiting.Wait()
	return errors.Join(err, m.tees.end(d.UUID, r))
}

// writeChunks writes chunks as they come, and removes each.
func writeChunks(w io.Writer, chunks <-chan string) error {
	archive, seen := tar.NewWriter(w), false
	for chunk := range chunks {
		if err := writeChunk(archive, chunk); err != nil {
			return err
		}
		seen = true
	}
	if !seen {
		return fmt.Errorf("%w: nothing was seen of the domain in that time (virtsentry status says why)", control.ErrRefused)
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// writeChunk puts a chunk's directory into the archive and removes it.
func writeChunk(archive *tar.Writer, dir string) error {
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		inside, err := filepath.Rel(filepath.Dir(dir), file)
		if err != nil {
			return err
		}
		return writeEntry(archive, file, filepath.ToSlash(inside))
	})
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

func writeEntry(archive *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime()}); err != nil {
		return err
	}
	_, err = io.CopyN(archive, f, info.Size())
	return err
}
