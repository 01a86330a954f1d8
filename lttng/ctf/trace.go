package ctf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Trace is an opened trace directory: its metadata and its data streams. Data files
// are opened when a stream is read.
type Trace struct {
	Dir      string
	Metadata *Metadata
	Streams  []*Stream // ordered by class, instance, first packet's begin

	maps   bool      // of what is in Mapped
	mapped []*Reader // that were made there

	parts map[string]Part // by file name, of a trace opened by OpenParts; nil: files are read as they are
}

// Part is what is to be read of a data file that is still being written: bytes From to To, whole packets.
type Part struct{ From, To int64 }

// Stream is one data stream: the packets of one ring buffer (LTTng: one channel on
// one CPU), in one file or, where LTTng limits the files' size, in several.
type Stream struct {
	Class       *StreamClass
	Instance    uint64 // stream_instance_id
	HasInstance bool
	Files       []string // in the order of their packets
	First       Packet   // the first packet's header and what is known of its context; Context itself is left out

	trace  *Trace
	looked *Reader // which has looked at the first packet's header; nil: there is none, or Reader has returned it
}

// FindTraces returns the directories at or below root that hold a metadata file, in
// lexical order; LTTng writes one for each process, user or the kernel. Symbolic
// links are not followed.
func FindTraces(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == "metadata" && d.Type().IsRegular() {
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find traces: %w", err)
	}
	slices.Sort(dirs)
	return dirs, nil
}

// ReadMetadataFile returns the bytes of a trace directory's metadata file, for
// ParseMetadata. The error is ErrNotTrace if the directory has none.
func ReadMetadataFile(dir string) ([]byte, error) {
	path := filepath.Join(dir, "metadata")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open trace %s: %w", dir, ErrNotTrace)
	}
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMetadata+1))
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	return data, nil
}

// Open reads a trace directory's metadata and looks at the first packet of every
// data file.
func Open(dir string) (*Trace, error) {
	data, err := ReadMetadataFile(dir)
	if err != nil {
		return nil, err
	}
	md, err := ParseMetadata(data)
	if err != nil {
		return nil, InFile(err, filepath.Join(dir, "metadata"))
	}
	return OpenWith(dir, md)
}

// InFile puts the file's name into an *Error that has none.
func InFile(err error, path string) error {
	var e *Error
	if errors.As(err, &e) && e.File == "" {
		e.File = path
	}
	return err
}

// OpenWith is Open with metadata parsed before: successive chunks of one session
// repeat it.
func OpenWith(dir string, md *Metadata) (*Trace, error) { return OpenParts(dir, md, nil) }

// OpenParts is OpenWith for some parts of data files, by their names in dir; of other files nothing is read. nil: all of all. Of parts, files are open until they are
// read, or the trace is closed.
func OpenParts(dir string, md *Metadata, parts map[string]Part) (*Trace, error) {
	names, err := dataFiles(dir, parts)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	t := &Trace{Dir: dir, Metadata: md, parts: parts}
	var found []*Stream
	for _, name := range names {
		s, err := t.peek(filepath.Join(dir, name))
		if err != nil {
			for _, s := range found {
				s.close()
			}
			return nil, err
		}
		if s != nil {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b *Stream) int {
		return cmp.Or(cmp.Compare(a.Class.ID, b.Class.ID), cmp.Compare(a.Instance, b.Instance),
			cmp.Compare(a.First.Begin, b.First.Begin), cmp.Compare(a.First.Seq, b.First.Seq))
	})
	for _, s := range found {
		if n := len(t.Streams) - 1; n >= 0 && s.HasInstance && t.Streams[n].HasInstance &&
			t.Streams[n].Class == s.Class && t.Streams[n].Instance == s.Instance {
			t.Streams[n].Files = append(t.Streams[n].Files, s.Files...)
			s.close()
			continue
		}
		t.Streams = append(t.Streams, s)
	}
	return t, nil
}

// dataFiles are the names of a trace's data files, in lexical order: those of parts, where these are given.
func dataFiles(dir string, parts map[string]Part) ([]string, error) {
	if parts != nil {
		return slices.Sorted(maps.Keys(parts)), nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != "metadata" && e.Name()[0] != '.' {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// peek reads the first packet's header and context; nil for an empty file. Of a part of a file, which is little, it reads all at once, and keeps it for the stream's reader.
func (t *Trace) peek(path string) (*Stream, error) {
	block := peekSize
	if t.parts != nil {
		block = readSize
	}
	r := newReader(t, []string{path}, block)
	if !r.nextHead() {
		return nil, errors.Join(r.Err(), r.Close())
	}
	first := r.Packet
	first.Context = Value{} // which the reader takes along
	s := &Stream{Class: first.Class, Instance: first.Instance, HasInstance: first.HasInstance, Files: []string{path}, First: first, trace: t}
	if t.parts == nil {
		return s, r.Close()
	}
	s.looked = r
	return s, nil
}

// Span returns the begin of the earliest first packet of all streams in nanoseconds
// from the clock's origin; ok is false if there is none with a time.
func (t *Trace) Span() (begin int64, ok bool) {
	begin = math.MaxInt64
	for _, s := range t.Streams {
		if s.First.HasBegin {
			begin, ok = min(begin, s.First.BeginNS), true
		}
	}
	return begin, ok
}

// Trace returns the trace that the stream is of.
func (s *Stream) Trace() *Trace { return s.trace }

// Reader returns a reader at the stream's begin. Close it after use.
func (s *Stream) Reader() *Reader {
	if r := s.looked; r != nil {
		s.looked = nil
		return r.again(s.Files)
	}
	return newReader(s.trace, s.Files, readSize)
}

// Close closes the files that are open of parts that nobody has read.
func (t *Trace) Close() {
	for _, s := range t.Streams {
		s.close()
	}
}

func (s *Stream) close() {
	if s.looked != nil {
		_ = s.looked.Close()
		s.looked = nil
	}
}
