package model

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Names of a domain's files in a store, after its UUID.
const (
	suffix         = ".profile"
	suffixPrevious = ".profile.prev"
	suffixTemp     = ".profile.tmp"
	suffixDamaged  = ".profile.damaged"
)

// Store keeps one profile file for each domain in a directory, and the one before
// it for a rollback, each with the units that it was learnt from. It is safe for concurrent use; the directory belongs to
// one process at a time.
type Store struct {
	dir string
	mu  sync.Mutex // held over every change of the directory
}

// NewStore returns the store in dir. The directory is made when the first
// profile is saved.
func NewStore(dir string) *Store { return &Store{dir: dir} }

// Path returns the file of a domain's profile, whether it exists or not. The error
// wraps [ErrUUID].
func (s *Store) Path(uuid string) (string, error) {
	id, err := canonicalUUID(uuid)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.dir, id+suffix), nil
}

// Load reads the profile of a domain. Errors are a *[ProfileError], which wraps
// [fs.ErrNotExist] if there is none, one of [Decode]'s errors, or
// [ErrOtherDomain].
func (s *Store) Load(uuid string) (*Profile, error) {
	path, err := s.Path(uuid)
	if err != nil {
		return nil, &ProfileError{Op: "load", Path: s.dir, Err: err}
	}
	p, err := readProfile(path, uuid)
	if err != nil {
		return nil, &ProfileError{Op: "load", Path: path, Err: err}
	}
	return p, nil
}

// readProfile reads one file and checks that it belongs to the domain.
func readProfile(path, uuid string) (*Profile, error) {
	data, err := readFile(path, MaxFileBytes)
	if err != nil {
		return nil, err
	}
	p, err := Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(p.Domain.UUID, uuid) {
		return nil, fmt.Errorf("%w: %.64q", ErrOtherDomain, p.Domain.UUID)
	}
	return p, nil
}

// readFile reads a regular file of so many bytes at most. Errors wrap [ErrFormat], [ErrTooLarge] or the system's own.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0) // never wait for a FIFO's writer
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, cause(err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	}
	return data, nil
}

// cause strips the path of an fs error, which a ProfileError says already.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// Save makes p the profile of its domain, atomically and durably: after a crash
// there is either the old file or the new one. The old one is kept for
// [Store.Rollback]; one that is damaged is kept apart, under the same name with
// ".damaged", and the one before it stays for the rollback.
func (s *Store) Save(p *Profile) error { return s.SaveWithUnits(p, nil) }

// save writes the files whose names begin with base; beside holds those that are kept beside the profile, by their suffixes.
func (s *Store) save(p *Profile, beside map[string][]byte, base string) error {
	data, err := p.Encode()
	if err != nil {
		return err
	}
	// What could not be loaded again must not replace what can.
	if _, err := Decode(bytes.NewReader(data)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for end, content := range beside {
		// The name is that of no profile yet, so nobody reads it before the profile is there.
		if err := writeDurably(besidePath(base, end, data), content); err != nil {
			return errors.Join(err, sweepBeside(base))
		}
	}
	if err := replace(base, data); err != nil {
		return errors.Join(err, sweepBeside(base))
	}
	_ = sweepBeside(base) // the profile is there; what is left is swept the next time
	return syncDir(s.dir)
}

// replace makes data the current profile file, and the current one the previous.
func replace(base string, data []byte) error {
	if err := writeDurably(base+suffixTemp, data); err != nil {
		return err
	}
	keep := keepPrevious
	if _, err := readProfile(base+suffix, filepath.Base(base)); damaged(err) {
		keep = putAside
	}
	if err := keep(base); err != nil {
		return errors.Join(err, os.Remove(base+suffixTemp))
	}
	if err := os.Rename(base+suffixTemp, base+suffix); err != nil {
		return errors.Join(err, os.Remove(base+suffixTemp))
	}
	return nil
}

// damaged says whether an error of readProfile is that the file can never be used. One of another version can, by another release.
func damaged(err error) bool {
	return slices.ContainsFunc([]error{ErrFormat, ErrChecksum, ErrTooLarge, ErrInvalid, ErrOtherDomain}, func(is error) bool { return errors.Is(err, is) })
}

// putAside gives what is in the current file's place, and no profile, a name that nobody reads it by. The one before it goes.
func putAside(base string) error {
	if err := os.Remove(base + suffixDamaged); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(base+suffix, base+suffixDamaged)
}

// keepPrevious makes the current file, if any, also the previous one, without a
// moment in which there is no current one.
func keepPrevious(base string) error {
	link := base + suffixPrevious + ".tmp"
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := os.Link(base+suffix, link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(link, base+suffixPrevious)
}

// writeDurably writes a private file and waits until it is on disk; on an error it
// leaves none.
func writeDurably(path string, data []byte) (err error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// syncDir waits until changes of a directory's entries are on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Rollback puts the previous profile of a domain back in force and returns it; the
// present one, if any, becomes the previous. A previous profile that cannot be
// used is left where it is and the present one in force.
func (s *Store) Rollback(uuid string) (*Profile, error) {
	path, err := s.Path(uuid)
	if err != nil {
		return nil, &ProfileError{Op: "roll back", Path: s.dir, Err: err}
	}
	previous := path + ".prev"
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := readProfile(previous, uuid)
	if err != nil {
		return nil, &ProfileError{Op: "roll back", Path: previous, Err: err}
	}
	if err := exchange(previous, path); err != nil {
		return nil, &ProfileError{Op: "roll back", Path: path, Err: cause(err)}
	}
	if err := syncDir(s.dir); err != nil {
		return nil, &ProfileError{Op: "roll back", Path: path, Err: cause(err)}
	}
	return p, nil
}

// Retire makes the profile of a domain the previous one, so that there is none to load, and
// [Store.Rollback] puts it back in force. That there is none is no error: then the previous one stays.
func (s *Store) Retire(uuid string) error {
	path, err := s.Path(uuid)
	if err != nil {
		return &ProfileError{Op: "retire", Path: s.dir, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = os.Rename(path, path+".prev")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_ = sweepBeside(strings.TrimSuffix(path, suffix)) // what is left is swept the next time
		err = syncDir(s.dir)
	}
	if err != nil {
		return &ProfileError{Op: "retire", Path: path, Err: cause(err)}
	}
	return nil
}

// Remove deletes the profile of a domain and the one before it, with the units that they were learnt
// from. That there is none is no error.
func (s *Store) Remove(uuid string) error {
	path, err := s.Path(uuid)
	if err != nil {
		return &ProfileError{Op: "remove", Path: s.dir, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	base := strings.TrimSuffix(path, suffix)
	files, failed := besideFiles(base)
	for _, end := range []string{suffix, suffixPrevious, suffixTemp, suffixPrevious + ".tmp", suffixDamaged} {
		files = append(files, base+end)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	if failed == nil {
		failed = syncDir(s.dir)
	}
	if failed != nil && !errors.Is(failed, fs.ErrNotExist) {
		return &ProfileError{Op: "remove", Path: path, Err: cause(failed)}
	}
	return nil
}

// List returns the UUIDs of all domains that have a profile file, sorted. A
// directory that does not exist yet has none.
func (s *Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	var ids []string
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), suffix)
		if canonical, err := canonicalUUID(id); ok && err == nil && canonical == id {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// canonicalUUID returns a UUID in lower case, so that it names one file whoever
// wrote it, or an error for anything else: the name goes into a path.
func canonicalUUID(s string) (string, error) {
	if len(s) != 36 {
		return "", fmt.Errorf("%w: %.64q", ErrUUID, s)
	}
	s = strings.ToLower(s)
	for i := range len(s) {
		c := s[i]
		dash := i == 8 || i == 13 || i == 18 || i == 23
		digit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if dash != (c == '-') || !dash && !digit {
			return "", fmt.Errorf("%w: %.64q", ErrUUID, s)
		}
	}
	return s, nil
}
