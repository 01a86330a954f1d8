package model

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The units that a profile was learnt from are kept beside it, in a file whose name
// holds the beginning of the profile's checksum: UUID.CHECKSUM.units. So the file belongs to
// that very profile, and the one rename that puts a profile in force, or back in force, also does so with its units. The
// same goes for the first one of a chain of profiles that were each relearnt from the one before, UUID.CHECKSUM.first, and for what is sent
// along where the domain goes, UUID.CHECKSUM.travel.
const (
	suffixUnits  = ".units"
	suffixFirst  = ".first"
	suffixTravel = ".travel"
	// checksumDigits of a profile's checksum stand in the name.
	checksumDigits = 16
	// MaxUnitsBytes is the size that no file of units may exceed.
	MaxUnitsBytes = 64 << 20
	// MaxTravelBytes is the size that no file of what is sent along may exceed.
	MaxTravelBytes = 1 << 20
)

var besideSuffixes = []string{suffixUnits, suffixFirst, suffixTravel}

// SaveWithUnits is [Store.Save] of a profile with the units that it was learnt from, in a form
// that the store does not look into.
func (s *Store) SaveWithUnits(p *Profile, units []byte) error { return s.SaveRelearnt(p, units, nil) }

// SaveRelearnt is [Store.SaveWithUnits] of a profile that was relearnt from another one, with the first of their chain, which stays the
// reference for how far the guest has moved since.
func (s *Store) SaveRelearnt(p *Profile, units []byte, first *Profile) error {
	path, err := s.Path(p.Domain.UUID)
	if err != nil {
		return &ProfileError{Op: "save", Path: s.dir, Err: err}
	}
	if len(units) > MaxUnitsBytes {
		return &ProfileError{Op: "save", Path: path, Err: fmt.Errorf("%w: %d bytes of units", ErrTooLarge, len(units))}
	}
	beside := map[string][]byte{}
	if units != nil {
		beside[suffixUnits] = units
	}
	if first != nil {
		if beside[suffixFirst], err = first.Encode(); err != nil {
			return &ProfileError{Op: "save", Path: path, Err: err}
		}
	}
	if err := s.save(p, beside, strings.TrimSuffix(path, suffix)); err != nil {
		return &ProfileError{Op: "save", Path: path, Err: cause(err)}
	}
	return nil
}

// First reads the profile with which the chain of relearnings began that made a profile of the store: itself, where it was not relearnt or came
// from elsewhere. Errors are a *[ProfileError] with those of [Decode].
func (s *Store) First(p *Profile) (*Profile, error) {
	path, data, err := s.beside(p, suffixFirst, MaxFileBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	var first *Profile
	if err == nil {
		first, err = Decode(bytes.NewReader(data))
	}
	if err != nil {
		return nil, &ProfileError{Op: "read the first of", Path: path, Err: err}
	}
	return first, nil
}

// Units reads the units that a profile of the store was learnt from, as they were saved. Errors
// are a *[ProfileError], which wraps [fs.ErrNotExist] if none are kept, as of a profile that came
// from elsewhere.
func (s *Store) Units(p *Profile) ([]byte, error) {
	path, units, err := s.beside(p, suffixUnits, MaxUnitsBytes)
	if err != nil {
		return nil, &ProfileError{Op: "read units of", Path: path, Err: err}
	}
	return units, nil
}

// Travel reads what SaveTravel has kept of a profile of the store. Errors are a *[ProfileError], which wraps [fs.ErrNotExist] if nothing is kept.
func (s *Store) Travel(p *Profile) ([]byte, error) {
	path, content, err := s.beside(p, suffixTravel, MaxTravelBytes)
	if err != nil {
		return nil, &ProfileError{Op: "read what is sent along of", Path: path, Err: err}
	}
	return content, nil
}

// SaveTravel keeps what is sent along of a profile of the store where its domain goes, in a form that the store does not look into. It lasts as
// long as the profile is kept.
func (s *Store) SaveTravel(p *Profile, content []byte) error {
	path, err := s.Path(p.Domain.UUID)
	if err != nil {
		return &ProfileError{Op: "save", Path: s.dir, Err: err}
	}
	file, err := p.Encode()
	if err == nil && len(content) > MaxTravelBytes {
		err = fmt.Errorf("%w: %d bytes to be sent along", ErrTooLarge, len(content))
	}
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		err = writeDurably(besidePath(strings.TrimSuffix(path, suffix), suffixTravel, file), content)
	}
	if err != nil {
		return &ProfileError{Op: "save what is sent along of", Path: path, Err: cause(err)}
	}
	return nil
}

// beside reads a file that is kept beside a profile, of so many bytes at most, and says which file is meant.
func (s *Store) beside(p *Profile, suffixOf string, most int64) (path string, data []byte, err error) {
	path, err = s.Path(p.Domain.UUID)
	if err != nil {
		return s.dir, nil, err
	}
	profile, err := p.Encode()
	if err != nil {
		return path, nil, err
	}
	path = besidePath(strings.TrimSuffix(path, suffix), suffixOf, profile)
	data, err = readFile(path, most)
	return path, data, err
}

// besidePath is a file that is kept beside the profile whose file has this content.
func besidePath(base, suffixOf string, profile []byte) string {
	body, err := verify(profile)
	if err != nil {
		return ""
	}
	return base + "." + digest(body)[:checksumDigits] + suffixOf
}

// sweepBeside removes a domain's files that are kept beside neither its profile nor the one before it. A
// profile that cannot be read keeps none.
func sweepBeside(base string) error {
	var kept []string
	for _, end := range []string{suffix, suffixPrevious} {
		data, err := readFile(base+end, MaxFileBytes)
		if err == nil {
			for _, end := range besideSuffixes {
				kept = append(kept, besidePath(base, end, data))
			}
		}
	}
	files, err := besideFiles(base)
	for _, file := range files {
		if slices.Contains(kept, file) {
			continue
		}
		if removeErr := os.Remove(file); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// besideFiles lists a domain's files that are kept beside profiles, those that were not finished included.
func besideFiles(base string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(base))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		ends := func(end string) bool { return strings.HasSuffix(name, end) }
		if strings.HasPrefix(name, filepath.Base(base)+".") && slices.ContainsFunc(besideSuffixes, ends) {
			files = append(files, filepath.Join(filepath.Dir(base), name))
		}
	}
	return files, err
}

// HasPrevious says whether there is a profile of a domain to roll back to; whether it can be used shows
// only then.
func (s *Store) HasPrevious(uuid string) bool {
	path, err := s.Path(uuid)
	if err != nil {
		return false
	}
	info, err := os.Lstat(strings.TrimSuffix(path, suffix) + suffixPrevious)
	return err == nil && info.Mode().IsRegular()
}
