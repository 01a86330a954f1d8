package lab

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindCheckout(t *testing.T) {
	top := t.TempDir()
	recipe := filepath.Join(top, "packaging", "lab", "image", "build")
	deep := filepath.Join(top, "cmd", "deep")
	for _, dir := range []string{filepath.Dir(recipe), deep} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := findCheckout(deep); err == nil {
		t.Errorf("found a source tree in %s where there is none", got)
	}
	if err := os.WriteFile(recipe, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := findCheckout(deep); err != nil || got != top {
		t.Errorf("findCheckout = %q, %v; want %q", got, err, top)
	}
}

func TestBuildRecipe(t *testing.T) {
	l := testLab(t)
	for script, want := range map[string]string{
		"echo noise; echo /made/it; echo": "/made/it",
		"echo it":                         "",
		"exit 1":                          "",
		"echo /made/it; exit 1":           "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "build"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		got, err := l.buildRecipe(t.Context(), dir, "build")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("recipe %q: %q, %v; want %q", script, got, err, want)
		}
	}
}

func TestLinkOrCopy(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name   string
		mode   os.FileMode
		linked bool
	}{
		{"readable", 0o644, true},
		{"closed", 0o600, false},
	} {
		from, to := filepath.Join(dir, tt.name), filepath.Join(dir, tt.name+".staged")
		if err := os.WriteFile(from, []byte(tt.name), tt.mode); err != nil {
			t.Fatal(err)
		}
		for range 2 { // again over what is there
			if err := linkOrCopy(from, to, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(to)
		if err != nil || string(text) != tt.name {
			t.Errorf("%s: read back %q, %v", tt.name, text, err)
		}
		a, _ := os.Stat(from)
		b, _ := os.Stat(to)
		if os.SameFile(a, b) != tt.linked || b.Mode().Perm() != 0o644 {
			t.Errorf("%s: linked %v, mode %v", tt.name, os.SameFile(a, b), b.Mode())
		}
		if a.Mode().Perm() != tt.mode {
			t.Errorf("%s: the original's mode is now %v", tt.name, a.Mode())
		}
	}
}

func TestReachable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "open", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if reachable(file, 0o005) {
		t.Error("a file below a closed directory is said to be within everybody's reach")
	}
	if !reachable("/bin/sh", 0o005) || reachable("/etc/shadow", 0o004) {
		t.Error("/bin/sh is for everybody, /etc/shadow is not")
	}
}
