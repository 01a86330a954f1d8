package hooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	file := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	open := filepath.Join(other, "open")
	if err := os.MkdirAll(open, 0o755); err != nil {
		t.Fatal(err)
	}
	file(filepath.Join(other, "good"), 0o700)
	file(filepath.Join(other, "writable"), 0o722)
	file(filepath.Join(open, "exposed"), 0o755)
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}

	file(in("20-second"), 0o755)
	file(in("10-first.sh"), 0o500)
	link(filepath.Join(other, "good"), "30-link")
	for _, name := range []string{".hidden", "10-first.sh~", "x.dpkg-old", "x.rpmsave", "README.md", "x.disabled"} {
		file(in(name), 0o755)
	}
	file(in("plain"), 0o644)
	file(in("group"), 0o775)
	file(in("world"), 0o757)
	file(in("foreign"), 0o755)
	link(filepath.Join(other, "writable"), "link-to-writable")
	link(filepath.Join(open, "exposed"), "link-to-exposed")
	link(filepath.Join(dir, "nowhere"), "dangling")
	link("loop", "loop")
	link(dir, "directory")
	reasons := map[string]string{
		"plain": "chmod 755", "group": "chmod go-w", "world": "chmod go-w", "link-to-writable": "chmod go-w",
		"link-to-exposed": "open may be written to by others", "dangling": "no such file", "loop": "too many links", "directory": "not a regular file",
	}
	if os.Geteuid() == 0 { // only root can give a file away
		if err := os.Chown(in("foreign"), 65534, 0); err != nil {
			t.Fatal(err)
		}
		reasons["foreign"] = "chown root"
	} else if err := os.Remove(in("foreign")); err != nil {
		t.Fatal(err)
	}

	hooks, refused := find(dir)
	want := []string{"10-first.sh " + in("10-first.sh"), "20-second " + in("20-second"), "30-link " + filepath.Join(other, "good")}
	var got []string
	for _, h := range hooks {
		got = append(got, h.name+" "+h.path)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	for _, err := range refused {
		name, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "hook "), " ")
		if reason := reasons[name]; reason == "" || !strings.Contains(err.Error(), reason) {
			t.Errorf("%v; want %q", err, reason)
		}
		delete(reasons, name)
	}
	if len(reasons) > 0 {
		t.Errorf("not refused: %v", reasons)
	}
}

func TestFindInOpenDirectory(t *testing.T) {
	for _, mode := range []os.FileMode{0o777, 0o775} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "hook"), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		hooks, refused := find(dir)
		if len(hooks) > 0 || len(refused) != 1 || !strings.Contains(refused[0].Error(), "directory of hooks is refused") {
			t.Errorf("mode %o: find = %v, %v", mode, hooks, refused)
		}
	}
}
