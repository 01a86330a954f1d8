package model

import (
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
// that very profile, and the one rename that puts a profile in force, or back in force, also does so with its units.
const (
	suffixUnits = ".units"
	// unitsDigits of a profile's checksum stand in the name.
	unitsDigits = 16
	// MaxUnitsBytes is the size that no file of units may exceed.
	MaxUnitsBytes = 64 << 20
)

// SaveWithUnits is [Store.Save] of a profile with the units that it was learnt from, in a form
// that the store does not look into.
func (s *Store) SaveWithUnits(p *Profile, units []byte) error {
	path, err := s.Path(p.Domain.UUID)
	if err != nil {
		return &ProfileError{Op: "save", Path: s.dir, Err: err}
	}
	if len(units) > MaxUnitsBytes {
		return &ProfileError{Op: "save", Path: path, Err: fmt.Errorf("%w: %d bytes of units", ErrTooLarge, len(units))}
	}
	if err := s.save(p, units, strings.TrimSuffix(path, suffix)); err != nil {
		return &ProfileError{Op: "save", Path: path, Err: cause(err)}
	}
	return nil
}

// Units reads the units that a profile of the store was learnt from, as they were saved. Errors
// are a *[ProfileError], which wraps [fs.ErrNotExist] if none are kept, as of a profile that came
// from elsewhere.
func (s *Store) Units(p *Profile) ([]byte, error) {
	path, err := s.Path(p.Domain.UUID)
	if err != nil {
		return nil, &ProfileError{Op: "read units of", Path: s.dir, Err: err}
	}
	data, err := p.Encode()
	if err != nil {
		return nil, &ProfileError{Op: "read units of", Path: path, Err: err}
	}
	path = unitsPath(strings.TrimSuffix(path, suffix), data)
	units, err := readFile(path, MaxUnitsBytes)
	if err != nil {
		return nil, &ProfileError{Op: "read units of", Path: path, Err: err}
	}
	return units, nil
}

// unitsPath is the file of the units of the profile whose file has this content.
func unitsPath(base string, profile []byte) string {
	body, err := verify(profile)
	if err != nil {
		return ""
	}
	return base + "." + digest(body)[:unitsDigits] + suffixUnits
}

// sweepUnits removes a domain's files of units that belong neither to its profile nor to the one before it. A
// profile that cannot be read keeps none.
func sweepUnits(base string) error {
	var kept []string
	for _, end := range []string{suffix, suffixPrevious} {
		data, err := readFile(base+end, MaxFileBytes)
		if err == nil {
			kept = append(kept, unitsPath(base, data))
		}
	}
	files, err := unitsFiles(base)
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

// unitsFiles lists a domain's files of units, those that were not finished included.
func unitsFiles(base string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(base))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, filepath.Base(base)+".") && strings.HasSuffix(name, suffixUnits) {
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
