package lttng

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// Registration is one registration of a process with the session daemon, as a per-PID trace shows it: each gets a trace of its own, with a UUID
// that the session daemon makes.
type Registration struct {
	Dir  string   // base name of its trace's directory, NAME-PID-DATETIME; DATETIME is when it was first recorded, to a second
	Name string   // what the process said is its name, up to 15 bytes
	PID  int      // its process ID, as the session daemon has it; 0: the directory's name does not say
	UUID ctf.UUID // its trace's; zero: no metadata has been written yet
}

// mostTraces bounds how many traces Registrations looks at.
const mostTraces = 1000

// Registrations lists the registrations whose traces are at or below dir: a chunk, or the output directory of a session that is recording, which
// changes meanwhile. Only the beginning of each metadata file is read. They are ordered by Dir.
func Registrations(dir string) ([]Registration, error) {
	found := map[Registration]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != dir:
			return nil // moved by the session daemon, or removed by a reader
		case err != nil:
			return err
		case d.Name() != "metadata" || !d.Type().IsRegular():
			return nil
		case len(found) >= mostTraces:
			return fmt.Errorf("more than %d traces", mostTraces)
		}
		r := named(filepath.Base(filepath.Dir(path)))
		if r.UUID, err = traceUUID(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		found[r] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lttng: look who is registered, in %s: %w", dir, err)
	}
	return distinct(found), nil
}

// distinct leaves out registrations without a UUID of which another chunk has it.
func distinct(found map[Registration]bool) []Registration {
	known := map[string]bool{}
	for r := range found {
		if r.UUID != (ctf.UUID{}) {
			known[r.Dir] = true
		}
	}
	var list []Registration
	for r := range found {
		if r.UUID != (ctf.UUID{}) || !known[r.Dir] {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Registration) int {
		return cmp.Or(cmp.Compare(a.Dir, b.Dir), bytes.Compare(a.UUID[:], b.UUID[:]))
	})
	return list
}

// traceDir is how the session daemon names the directory of a per-PID trace.
var traceDir = regexp.MustCompile(`^(.*)-([0-9]{1,10})-[0-9]{8}-[0-9]{6}$`)

func named(dir string) Registration {
	r := Registration{Dir: dir}
	if part := traceDir.FindStringSubmatch(dir); part != nil {
		r.Name = part[1]
		r.PID, _ = strconv.Atoi(part[2])
	}
	return r
}

// traceUUID reads the trace's UUID from the header of a metadata file's first packet (CTF 1.8, 7.1); zero where none has been written yet.
func traceUUID(path string) (uuid ctf.UUID, err error) {
	const magic = 0x75D11D57
	f, err := os.Open(path)
	if err != nil {
		return uuid, err
	}
	defer func() { _ = f.Close() }()
	var head [4 + len(uuid)]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
		return uuid, err
	}
	if binary.NativeEndian.Uint32(head[:]) != magic {
		return uuid, fmt.Errorf("%s is no metadata of an LTTng trace", path)
	}
	copy(uuid[:], head[4:])
	return uuid, nil
}
