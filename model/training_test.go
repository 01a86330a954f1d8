package model

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unitsOf is what the store has of a profile's units, or its error's text.
func unitsOf(s *Store, p *Profile) string {
	units, err := s.Units(p)
	if err != nil {
		return err.Error()
	}
	return string(units)
}

// Units go where their profile goes.
func TestStoreUnits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	s := NewStore(dir)
	first, _ := trained(t, 1, 40)
	second, _ := trained(t, 2, 50)
	third, _ := trained(t, 3, 60)
	if _, err := s.Units(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("units of nothing: %v", err)
	}
	if err := errors.Join(s.SaveWithUnits(first, []byte("first")), s.SaveWithUnits(second, []byte("second"))); err != nil {
		t.Fatal(err)
	}
	loaded, err := s.Load(testUUID)
	if err != nil || unitsOf(s, loaded) != "second" || unitsOf(s, first) != "first" {
		t.Errorf("units %q, before them %q, %v", unitsOf(s, loaded), unitsOf(s, first), err)
	}
	back, err := s.Rollback(testUUID)
	if err != nil || unitsOf(s, back) != "first" || unitsOf(s, second) != "second" {
		t.Errorf("after a rollback %q, before them %q, %v", unitsOf(s, back), unitsOf(s, second), err)
	}
	// What is neither the present profile's nor the previous one's is not kept: here second's.
	if err := s.Save(third); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Profile{second, third} {
		if _, err := s.Units(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("units of %d units: %v", p.Training.Units, err)
		}
	}
	if got := unitsOf(s, first); got != "first" {
		t.Errorf("units of the previous one: %q", got)
	}
	info, err := os.Stat(unitsFile(t, dir))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if !s.HasPrevious(testUUID) || s.HasPrevious("nonsense") {
		t.Error("there is a profile before this one, and none of nonsense")
	}
	if ids, err := s.List(); err != nil || !slices.Equal(ids, []string{testUUID}) {
		t.Errorf("list %v, %v", ids, err)
	}
	if err := s.Remove(testUUID); err != nil || len(listDir(t, dir)) != 0 || s.HasPrevious(testUUID) {
		t.Errorf("after remove: %v, %v", listDir(t, dir), err)
	}
}

// A profile that is thrown away can be rolled back to, with its units.
func TestStoreRetire(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	s := NewStore(dir)
	if err := s.Retire(testUUID); err != nil {
		t.Errorf("retire of nothing: %v", err)
	}
	if err := s.Retire("../x"); !errors.Is(err, ErrUUID) {
		t.Errorf("retire of no UUID: %v", err)
	}
	first, _ := trained(t, 1, 40)
	second, _ := trained(t, 2, 50)
	if err := errors.Join(s.SaveWithUnits(first, []byte("first")), s.SaveWithUnits(second, []byte("second"))); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is none, and what is kept stays
		if err := s.Retire(strings.ToUpper(testUUID)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(testUUID); !errors.Is(err, fs.ErrNotExist) || !s.HasPrevious(testUUID) {
			t.Errorf("a profile is there: %v", err)
		}
		if ids, err := s.List(); err != nil || len(ids) != 0 {
			t.Errorf("list %v, %v", ids, err)
		}
	}
	if names := listDir(t, dir); len(names) != 2 {
		t.Errorf("files %v; want the profile and its units", names)
	}
	back, err := s.Rollback(testUUID)
	if err != nil || back.Training.Units != 50 || unitsOf(s, back) != "second" || s.HasPrevious(testUUID) {
		t.Errorf("rolled back to %+v, %v", back, err)
	}
	if err := errors.Join(s.Retire(testUUID), s.SaveWithUnits(first, []byte("first"))); err != nil || !s.HasPrevious(testUUID) {
		t.Errorf("the retired one is not before the new one: %v", err)
	}
}

func unitsFile(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range listDir(t, dir) {
		if strings.HasSuffix(name, suffixUnits) {
			return filepath.Join(dir, name)
		}
	}
	t.Fatal("no file of units")
	return ""
}

// A save that fails leaves the old profile and its units; one that was cut off leaves nothing that is not swept.
func TestStoreUnitsOfFailedSaves(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(dir)
	first, _ := trained(t, 1, 40)
	second, _ := trained(t, 2, 50)
	if err := s.SaveWithUnits(first, []byte("first")); err != nil {
		t.Fatal(err)
	}
	// As after a crash between the two files.
	stray := filepath.Join(dir, testUUID+".0123456789abcdef"+suffixUnits)
	other := filepath.Join(dir, "11111111-7a91-4f0e-8a55-1c2d3e4f5a6b.0123456789abcdef"+suffixUnits)
	for _, path := range []string{stray, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	block := filepath.Join(dir, testUUID+suffixTemp)
	if err := os.MkdirAll(filepath.Join(block, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveWithUnits(second, []byte("second")); err == nil {
		t.Error("save over a directory: no error")
	}
	if got := unitsOf(s, first); got != "first" {
		t.Errorf("units of the one that stays: %q", got)
	}
	if _, err := s.Units(second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("units of the one that was not saved: %v", err)
	}
	if _, err := os.Stat(stray); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what nobody knows is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("another domain's file: %v", err)
	}
	if err := s.SaveWithUnits(second, make([]byte, MaxUnitsBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many units: %v", err)
	}
	if err := os.Truncate(unitsFile(t, dir), MaxUnitsBytes+1); err != nil {
		t.Fatal(err)
	}
	var failed *ProfileError
	if _, err := s.Units(first); !errors.Is(err, ErrTooLarge) || !errors.As(err, &failed) {
		t.Errorf("units: %v; want a ProfileError of ErrTooLarge", err)
	}
}
