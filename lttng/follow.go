package lttng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng/ctf"
	"github.com/virtsentry/virtsentry/lttng/internal/plainfile"
)

// ErrNothingToFollow says that a session's present chunk has no trace whose metadata is there already, or more than one.
var ErrNothingToFollow = errors.New("the session's present chunk has not one trace with metadata")

// Follower reads what a session records where it is being written, between two rotations. One goroutine uses it.
//
// A rotation is what LTTng has for reading a session that goes on, and tells what is complete. But each rotation of a per-PID session has the consumer daemon write
// the process's metadata again, for which it often waits 200 ms (LTTng-tools 2.13, lttng_ustconsumer_recv_metadata), one session after the other: with some forty
// processes a rotation each two seconds takes more time than there is, however many processors the host has. So between rotations the session's
// switch timer ([Config.SwitchTimer]) has the consumer daemon write what the ring buffers hold, and the follower reads the packets that the stream's index lists: it
// lists a packet after the packet was written. Files are only appended to; what was read is given back by making a hole in them (fallocate(2)).
//
// What it cannot tell is whether a stream that has nothing new had no events, or is late. So who follows gives the consumer daemon time, has a look whether
// sessions still live ([Sessions]) and whether the consumer daemon writes at all ([Follower.Written], of any session), and rotates now and then, which tells for
// certain.
type Follower struct {
	session *Session
	dir     string           // of the trace that is followed; empty: none is
	read    map[string]int64 // how far its data files were read, by their names
	indexes map[string]int64 // how long their indexes were then
	flushed uint64
	written time.Time
	unfreed map[string]ctf.Part // parts that were read and whose storage is not given back yet
	beside  listing             // of the directory that the trace is in
	data    listing             // of its data files
}

// Follower returns a follower that has nothing to follow before its first Begin.
func (s *Session) Follower() *Follower { return &Follower{session: s} }

// Begin begins to follow the chunk that a rotation has begun. Errors: ErrNothingToFollow: it may have after the next rotation.
func (f *Follower) Begin() error {
	f.dir, f.read, f.indexes, f.written, f.unfreed = "", map[string]int64{}, map[string]int64{}, time.Time{}, map[string]ctf.Part{}
	f.beside, f.data = listing{}, listing{}
	entries, err := os.ReadDir(f.session.cfg.Output)
	if err != nil {
		return fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
	}
	var found []string
	for _, e := range entries {
		if !e.IsDir() || e.Name() == archives {
			continue
		}
		dirs, err := ctf.FindTraces(filepath.Join(f.session.cfg.Output, e.Name()))
		if err != nil {
			return fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
		}
		found = append(found, dirs...)
	}
	if len(found) != 1 {
		return fmt.Errorf("lttng: session %s: %w: it has %d", f.session.cfg.Name, ErrNothingToFollow, len(found))
	}
	switch info, err := os.Stat(filepath.Join(found[0], "metadata")); {
	case err != nil:
		return fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
	case info.Size() == 0:
		return fmt.Errorf("lttng: session %s: %w: it is empty", f.session.cfg.Name, ErrNothingToFollow)
	}
	f.dir = found[0]
	return nil
}

// archives is the directory of the chunks that are complete, in a session's output directory.
const archives = "archives"

// Following says whether Begin has found something to follow.
func (f *Follower) Following() bool { return f.dir != "" }

// Alone says whether the trace that is followed is still the only one beside it: no other process has been recorded since Begin.
func (f *Follower) Alone() (bool, error) {
	names, err := f.beside.list(filepath.Dir(f.dir), func(string, fs.FileMode) bool { return true })
	if err != nil {
		return false, fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
	}
	return len(names) == 1 && names[0] == filepath.Base(f.dir), nil
}

// listing is a directory's entries, which are read again only when one has come or gone. The zero value knows of none.
type listing struct {
	names []string
	when  time.Time // the directory was changed last; zero: another change may have the same time
}

// ripe is how old a change of a directory must be that a later one is sure to have another time: file systems tell the time by the kernel's tick.
const ripe = time.Second

// list returns those names of a directory that are wanted, in lexical order.
func (l *listing) list(dir string, wanted func(name string, kind fs.FileMode) bool) ([]string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !l.when.IsZero() && info.ModTime().Equal(l.when) {
		return l.names, nil
	}
	looked := time.Now()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	l.names, l.when = nil, time.Time{}
	for _, e := range entries {
		if wanted(e.Name(), e.Type()) {
			l.names = append(l.names, e.Name())
		}
	}
	if looked.Sub(info.ModTime()) > ripe {
		l.when = info.ModTime()
	}
	return l.names, nil
}

// isData says whether a file of a trace's directory is one with data.
func isData(name string, kind fs.FileMode) bool {
	return kind.IsRegular() && name != "metadata" && !strings.HasPrefix(name, ".")
}

// End forgets what is followed.
func (f *Follower) End() { f.dir = "" }

// New returns the trace's directory and what was written to its data files since the last call. Empty: nothing. Each part is given out once, and is to be
// read before [Follower.Free]. Errors: a data file or its index is not as the consumer daemon writes it.
func (f *Follower) New() (dir string, parts map[string]ctf.Part, err error) {
	files, err := f.data.list(f.dir, isData)
	if err != nil {
		return "", nil, fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
	}
	parts = map[string]ctf.Part{}
	indexes, flushed, wrote := map[string]int64{}, f.flushed, f.written
	for _, name := range files {
		index := filepath.Join(f.dir, "index", name+".idx")
		info, err := os.Stat(index)
		if err != nil {
			return "", nil, fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
		}
		if info.Size() == f.indexes[name] { // as with most processors of a large host
			continue
		}
		indexes[name] = info.Size()
		if at := info.ModTime(); at.After(wrote) {
			wrote = at
		}
		end, at, err := indexed(index, info.Size())
		if err == nil {
			err = written(filepath.Join(f.dir, name), end)
		}
		if err != nil {
			return "", nil, fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
		}
		if end > f.read[name] {
			parts[name] = ctf.Part{From: f.read[name], To: end}
			flushed = at
		}
	}
	// All of it is given out, or nothing: what an error kept back is there for the next call, and for Rest.
	for name, part := range parts {
		f.read[name] = part.To
	}
	maps.Copy(f.indexes, indexes)
	f.flushed, f.written = flushed, wrote
	return f.dir, parts, nil
}

// written checks that a data file has what its index lists: the sizes of packets come from the process that is traced. Were one that is too large believed, what
// is written up to there would not be read by anybody.
func written(file string, end int64) error {
	info, err := os.Lstat(file)
	if err == nil && end > info.Size() {
		err = fmt.Errorf("%s has %d bytes; its index lists packets up to byte %d", filepath.Base(file), info.Size(), end)
	}
	return err
}

// Flushed is the end of a newest packet that New has given out, by the trace's clock, in its cycles: mostly when the switch timer went off last.
func (f *Follower) Flushed() uint64 { return f.flushed }

// Written is when the consumer daemon last wrote of what New has given out, by the clock of the host, which may be set, to some milliseconds.
func (f *Follower) Written() time.Time { return f.written }

// Rest returns what has not been given out yet of the chunk that was followed, now that it is at dir, archived by a rotation, and complete.
func (f *Follower) Rest(chunk string) (dir string, parts map[string]ctf.Part, err error) {
	dirs, err := ctf.FindTraces(chunk)
	if err != nil {
		return "", nil, fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
	}
	if len(dirs) != 1 || filepath.Base(dirs[0]) != filepath.Base(f.dir) {
		return "", nil, fmt.Errorf("lttng: session %s: chunk %s has %d traces, want only %s", f.session.cfg.Name, filepath.Base(chunk), len(dirs), filepath.Base(f.dir))
	}
	files, err := os.ReadDir(dirs[0])
	if err != nil {
		return "", nil, fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
	}
	parts = map[string]ctf.Part{}
	for _, e := range files {
		name := e.Name()
		if !isData(name, e.Type()) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return "", nil, fmt.Errorf("lttng: session %s: %w", f.session.cfg.Name, err)
		}
		if info.Size() > f.read[name] {
			parts[name] = ctf.Part{From: f.read[name], To: info.Size()}
		}
	}
	return dirs[0], parts, nil
}

// freeLeast is how much of a data file is given back at once at least, bytes: a hole costs as much as reading what the events of some units take.
const freeLeast = 128 << 10

// Free gives back the storage of parts that were read, once it is worth while. A file system that cannot make holes keeps them until the next rotation.
func (f *Follower) Free(dir string, parts map[string]ctf.Part) error {
	for name, part := range parts {
		whole := part
		if before, some := f.unfreed[name]; some && before.To == part.From {
			whole.From = before.From
		}
		if f.unfreed[name] = whole; whole.To-whole.From < freeLeast {
			continue
		}
		delete(f.unfreed, name)
		if err := punch(filepath.Join(dir, name), whole); err != nil {
			return fmt.Errorf("lttng: session %s: free what was read: %w", f.session.cfg.Name, err)
		}
	}
	return nil
}

func punch(file string, part ctf.Part) error {
	d, err := plainfile.Open(file, os.O_WRONLY)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	err = unix.Fallocate(int(d.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, part.From, part.To-part.From)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "fallocate", Path: file, Err: err}
	}
	return nil
}

// An index file is a header and an entry for each packet, of big-endian numbers (LTTng-tools, ctf-index.h, version 1.1). An entry begins with five of 64 bits: the packet's offset in
// bytes, its size and that of its content in bits, and the times at which it begins and ends.
const (
	indexMagic      = 0xC1F1DCC1
	indexHeader     = 16 // magic, major, minor, and size of an entry: 32 bits each
	indexEntryLeast = 5 * 8
	indexEntryMost  = 4096
)

// indexed returns the offset in the data file up to which its index, a file of a size, lists packets, and when the last one ends.
func indexed(file string, size int64) (to int64, end uint64, err error) {
	f, err := plainfile.Open(file, os.O_RDONLY)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	if to, end, err = lastIndexed(f, size); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", file, err)
	}
	return to, end, nil
}

// lastIndexed is indexed of an index file of a size.
func lastIndexed(f io.ReaderAt, size int64) (to int64, end uint64, err error) {
	if size < indexHeader {
		return 0, 0, nil // not written yet
	}
	var head [indexHeader]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return 0, 0, err
	}
	entry := int64(binary.BigEndian.Uint32(head[12:]))
	if magic := binary.BigEndian.Uint32(head[:]); magic != indexMagic || entry < indexEntryLeast || entry > indexEntryMost {
		return 0, 0, fmt.Errorf("no index of LTTng: magic number %#x, entries of %d bytes", magic, entry)
	}
	n := (size - indexHeader) / entry
	if n == 0 {
		return 0, 0, nil
	}
	var last [indexEntryLeast]byte
	if _, err := f.ReadAt(last[:], indexHeader+(n-1)*entry); err != nil {
		return 0, 0, err
	}
	offset, bits := binary.BigEndian.Uint64(last[:]), binary.BigEndian.Uint64(last[8:])
	const most = 1 << 60
	if offset > most || bits/8 > most || bits%8 != 0 {
		return 0, 0, fmt.Errorf("packet %d at byte %d has %d bits", n-1, offset, bits)
	}
	return int64(offset + bits/8), binary.BigEndian.Uint64(last[32:]), nil
}
