package monitor

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// teeQueue bounds the chunks that wait on disk for a recording's reader.
const teeQueue = 8

// tees hands chunks that were read to recordings instead of removing them. The zero value is ready; it is safe for concurrent use.
type tees struct {
	mu sync.Mutex // guards of
	of map[string]*tee
}

// tee is the recording of one domain.
type tee struct {
	dir    string        // of the chunks that wait
	chunks chan string   // their directories in dir, in order
	slow   chan struct{} // closed when the reader was too slow
	over   bool          // nothing is taken any more; guarded by tees.mu
	count  int           // chunks so far; guarded by tees.mu
}

// take lets go of a chunk of a domain: a recording gets it, and otherwise it is removed. It never waits.
func (t *tees) take(uuid, chunk string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of[uuid]
	if r == nil || r.over {
		return os.RemoveAll(chunk)
	}
	if len(r.chunks) == cap(r.chunks) { // nobody else puts chunks in
		r.over = true
		close(r.slow)
		return os.RemoveAll(chunk)
	}
	r.count++
	aside := filepath.Join(r.dir, fmt.Sprintf("chunk-%06d", r.count))
	if err := os.Rename(chunk, aside); err != nil {
		return errors.Join(err, os.RemoveAll(chunk))
	}
	r.chunks <- aside
	return nil
}

// begin begins a recording that keeps its chunks in dir, which is made.
func (t *tees) begin(uuid, dir string) (*tee, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[uuid] != nil {
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
	r := &tee{dir: dir, chunks: make(chan string, teeQueue), slow: make(chan struct{})}
	t.of[uuid] = r
	return r, nil
}

// end ends a recording; nothing of it is left on disk.
func (t *tees) end(uuid string, r *tee) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.over = true
	delete(t.of, uuid)
	return os.RemoveAll(r.dir)
}

// Record writes a domain's trace from now on as a tar archive, control.Backend.
func (m *Monitor) Record(ctx context.Context, ref string, w io.Writer) (err error) {
	d, err := m.Domain(ref)
	if err != nil {
		return err
	}
	watcher := m.watcher(d.UUID)
	if watcher == nil {
		return fmt.Errorf("%.256s: %w", ref, control.ErrNoDomain)
	}
	// With this name, a daemon that begins clears away what one that was killed left behind.
	r, err := m.tees.begin(d.UUID, filepath.Join(m.cfg.LTTng.OutputDir, sessionPrefix+"record-"+d.UUID))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.tees.end(d.UUID, r)) }()
	archive := tar.NewWriter(w)
	for r != nil {
		select {
		case chunk := <-r.chunks:
			if err := writeChunk(archive, chunk); err != nil {
				return err
			}
			continue
		default:
		}
		select {
		case chunk := <-r.chunks:
			if err := writeChunk(archive, chunk); err != nil {
				return err
			}
		case <-r.slow:
			return errors.Join(fmt.Errorf("%w: the reader is too slow: more than %d chunks waited for it", control.ErrRefused, teeQueue), archive.Close())
		case <-watcher.done:
			return errors.Join(fmt.Errorf("%w: domain %s has ended", control.ErrRefused, d.Name), archive.Close())
		case <-ctx.Done():
			return archive.Close()
		}
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
		return writeEntry(archive, file, path.Clean(filepath.ToSlash(inside)))
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
