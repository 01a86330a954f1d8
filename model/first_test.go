package model

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The first profile of a chain of relearnings stays the reference, whichever of them is in force.
func TestStoreFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	s := NewStore(dir)
	one, _ := trained(t, 1, 40)
	two, _ := trained(t, 2, 50)
	three, _ := trained(t, 3, 60)
	units := func(p *Profile) int {
		t.Helper()
		first, err := s.First(p)
		if err != nil {
			t.Fatal(err)
		}
		return first.Training.Units
	}
	err := errors.Join(s.SaveWithUnits(one, []byte("one")), s.SaveRelearnt(two, []byte("two"), one))
	if err != nil || units(one) != 40 || units(two) != 40 {
		t.Fatalf("first of one: %d units, of two: %d; %v", units(one), units(two), err)
	}
	first, err := s.First(two)
	if err := errors.Join(err, s.SaveRelearnt(three, []byte("three"), first)); err != nil {
		t.Fatal(err)
	}
	if back, err := s.Rollback(testUUID); err != nil || units(back) != 40 || units(three) != 40 || unitsOf(s, back) != "two" {
		t.Errorf("after a rollback to two: %d, of three: %d; %v", units(back), units(three), err)
	}
	// Learnt anew, a chain begins.
	if err := s.SaveWithUnits(one, []byte("one")); err != nil || units(one) != 40 {
		t.Error(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffixFirst))
	if err != nil || len(files) != 1 { // two's, the one before
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.Truncate(files[0], 10); err != nil {
		t.Fatal(err)
	}
	if _, err := s.First(two); !errors.Is(err, ErrFormat) && !errors.Is(err, ErrChecksum) {
		t.Errorf("of a damaged file: %v", err)
	}
	if err := s.Remove(testUUID); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
