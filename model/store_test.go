package model

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "profiles")
	s := NewStore(dir)
	if ids, err := s.List(); err != nil || len(ids) != 0 {
		t.Errorf("before anything is saved: %v, %v", ids, err)
	}
	if err := s.Remove(testUUID); err != nil {
		t.Errorf("remove from no directory: %v", err)
	}
	if _, err := s.Load(testUUID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load what is not there: %v", err)
	}
	first, _ := trained(t, 1, 40)
	second, _ := trained(t, 2, 50)
	for _, p := range []*Profile{first, second} {
		if err := s.Save(p); err != nil {
			t.Fatal(err)
		}
		got, err := s.Load(strings.ToUpper(testUUID))
		if err != nil || got.Training.Units != p.Training.Units {
			t.Fatalf("loaded %+v, %v", got, err)
		}
	}
	if names := listDir(t, dir); !slices.Equal(names, []string{testUUID + ".profile", testUUID + ".profile.prev"}) {
		t.Errorf("files %v", names)
	}
	info, err := os.Stat(filepath.Join(dir, testUUID+".profile"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory mode %v, %v", info.Mode(), err)
	}
	if ids, err := s.List(); err != nil || !slices.Equal(ids, []string{testUUID}) {
		t.Errorf("list %v, %v", ids, err)
	}
	for _, want := range []int{40, 50, 40} {
		p, err := s.Rollback(testUUID)
		if err != nil || p.Training.Units != want {
			t.Fatalf("rolled back to %+v, %v; want %d units", p, err, want)
		}
		if p, err = s.Load(testUUID); err != nil || p.Training.Units != want {
			t.Fatalf("after rollback %+v, %v; want %d units", p, err, want)
		}
	}
	if err := s.Remove(testUUID); err != nil || len(listDir(t, dir)) != 0 {
		t.Errorf("after remove: %v, %v", listDir(t, dir), err)
	}
}

func listDir(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A damaged profile is named with its remedy and stays untouched; the previous one
// can be put in its place.
func TestStoreDamaged(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(dir)
	path := filepath.Join(dir, testUUID+".profile")
	for seed := range uint64(2) {
		p, _ := trained(t, seed, 40+int(seed))
		if err := s.Save(p); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Load(testUUID)
	var fault *ProfileError
	if !errors.As(err, &fault) || !errors.Is(err, ErrChecksum) || fault.Path != path {
		t.Fatalf("damaged: %v", err)
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "roll back") {
		t.Errorf("error does not help: %v", err)
	}
	if p, err := s.Rollback(testUUID); err != nil || p.Training.Units != 40 {
		t.Fatalf("rolled back to %+v, %v", p, err)
	}
	if _, err := s.Rollback(testUUID); !errors.Is(err, ErrChecksum) {
		t.Errorf("rolled back to the damaged one: %v", err)
	}
	if p, err := s.Load(testUUID); err != nil || p.Training.Units != 40 {
		t.Errorf("in force %+v, %v", p, err)
	}
}

// What is no profile does not become the one to roll back to, whatever stands in the file's place.
func TestSaveOverDamaged(t *testing.T) {
	for what, put := range map[string]func(path string) error{
		"cut":         func(path string) error { return os.Truncate(path, 50) },
		"a directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		dir := t.TempDir()
		s := NewStore(dir)
		path := filepath.Join(dir, testUUID+".profile")
		for n := range 4 {
			p, _ := trained(t, uint64(n), 40+n)
			if n >= 2 { // twice, as the name may be taken
				if err := put(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Save(p); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		if names := listDir(t, dir); !slices.Equal(names, []string{testUUID + ".profile", testUUID + ".profile.damaged", testUUID + ".profile.prev"}) {
			t.Errorf("%s: files %v", what, names)
		}
		if p, err := s.Rollback(testUUID); err != nil || p.Training.Units != 40 {
			t.Errorf("%s: rolled back to %+v, %v; want the last that was whole before", what, p, err)
		}
		if err := s.Remove(testUUID); err != nil || len(listDir(t, dir)) != 0 {
			t.Errorf("%s: after remove: %v, %v", what, listDir(t, dir), err)
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(dir)
	for _, id := range []string{
		"", "web", "../../../../etc/passwd", testUUID + "x", testUUID[:35], strings.Replace(testUUID, "-", "/", 1),
		strings.Repeat(".", 36), testUUID[:34] + "..", strings.Replace(testUUID, "b", "g", 1), testUUID[1:] + "\x00",
	} {
		if _, err := s.Load(id); !errors.Is(err, ErrUUID) {
			t.Errorf("load %q: %v", id, err)
		}
		if _, err := s.Rollback(id); !errors.Is(err, ErrUUID) {
			t.Errorf("roll back %q: %v", id, err)
		}
		if err := s.Remove(id); !errors.Is(err, ErrUUID) {
			t.Errorf("remove %q: %v", id, err)
		}
	}
	p, _ := trained(t, 1, 40)
	p.Domain.UUID = "elsewhere"
	if err := s.Save(p); !errors.Is(err, ErrUUID) {
		t.Errorf("save: %v", err)
	}
	p.Domain.UUID = testUUID
	p.Level = 7
	if err := s.Save(p); !errors.Is(err, ErrInvalid) {
		t.Errorf("save what cannot be loaded: %v", err)
	}
	p.Level = 0.01
	if err := s.Save(p); err != nil {
		t.Fatal(err)
	}
	other := "1" + testUUID[1:]
	if err := os.Rename(filepath.Join(dir, testUUID+".profile"), filepath.Join(dir, other+".profile")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(other); !errors.Is(err, ErrOtherDomain) {
		t.Errorf("another domain's: %v", err)
	}
	path := filepath.Join(dir, testUUID+".profile")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(testUUID); !errors.Is(err, ErrFormat) {
		t.Errorf("a directory: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(testUUID); !errors.Is(err, ErrFormat) {
		t.Errorf("a pipe: %v", err)
	}
}

// A save that fails leaves the profile in force as it was, and no other file.
func TestSaveIsAtomic(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(dir)
	p, _ := trained(t, 1, 40)
	if err := s.Save(p); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, testUUID+".profile"))
	if err != nil {
		t.Fatal(err)
	}
	// A directory that is not empty where the previous profile is to be.
	if err := os.MkdirAll(filepath.Join(dir, testUUID+".profile.prev", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.Level = 0.01
	var fault *ProfileError
	if err := s.Save(p); !errors.As(err, &fault) || fault.Op != "save" {
		t.Fatalf("save: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(dir, testUUID+".profile"))
	if err != nil || string(before) != string(after) {
		t.Errorf("profile changed (%v)", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, testUUID+".profile.prev")); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(p); err != nil { // what the failure left is in nobody's way
		t.Fatal(err)
	}
	if names := listDir(t, dir); !slices.Equal(names, []string{testUUID + ".profile", testUUID + ".profile.prev"}) {
		t.Errorf("files %v", names)
	}
}

func TestRemedies(t *testing.T) {
	for _, err := range []error{ErrFormat, ErrVersion, ErrChecksum, ErrTooLarge, ErrInvalid, ErrOtherDomain} {
		e := &ProfileError{Op: "load", Path: "/x", Err: err}
		if e.Remedy() == "" || !strings.Contains(e.Error(), e.Remedy()) {
			t.Errorf("%v: no remedy in %q", err, e)
		}
	}
	if e := (&ProfileError{Op: "load", Path: "/x", Err: fs.ErrNotExist}); e.Error() != "load profile /x: file does not exist" {
		t.Errorf("%q", e)
	}
}
