package unit

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestReadRefuses(t *testing.T) {
	const head = "start_ns,duration_ns,lost,a,b\n"
	tests := []struct {
		name, text string
		line, col  int
	}{
		{"nothing", "", 1, 0},
		{"short header", "start_ns,duration_ns\n", 1, 3},
		{"wrong header", "start_ns,duration,lost,a\n", 1, 2},
		{"feature twice", "start_ns,duration_ns,lost,a,b,a\n", 1, 6},
		{"feature without name", "start_ns,duration_ns,lost,a,,b\n", 1, 5},
		{"feature with a quote", "start_ns,duration_ns,lost,\"a\"\n", 1, 4},
		{"too few columns", head + "0,1,0,5\n", 2, 0},
		{"too many columns", head + "0,1,0,5,6,7\n", 2, 0},
		{"empty line", head + "\n", 2, 0},
		{"fraction", head + "0,1,0,5.0,6\n", 2, 4},
		{"negative count", head + "0,1,0,5,-6\n", 2, 5},
		{"plus sign", head + "+0,1,0,5,6\n", 2, 1},
		{"leading zero", head + "0,1,0,05,6\n", 2, 4},
		{"space", head + "0,1, 0,5,6\n", 2, 3},
		{"too large", head + "0,1,0,18446744073709551616,6\n", 2, 4},
		{"start too large", head + "9223372036854775808,1,0,5,6\n", 2, 1},
		{"longer than a unit", head + "0,2000000001,0,5,6\n", 2, 2},
		{"negative duration", head + "0,-1,0,5,6\n", 2, 2},
		{"off the grid", head + "1000000000,1000000001,0,5,6\n", 2, 1},
		{"end overflows", head + "9223372036854775807,1,0,5,6\n", 2, 1},
		{"out of order", head + "4000000000,5,0,5,6\n0,5,0,5,6\n", 3, 1},
		{"overlap", head + "0,5,0,5,6\n4,5,0,5,6\n", 3, 1},
		{"line too long", head + strings.Repeat("1", maxLine+1), 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(tt.text))
			var pe *ParseError
			if !errors.As(err, &pe) || pe.Line != tt.line || pe.Column != tt.col {
				t.Errorf("got %v, want a defect in line %d, column %d", err, tt.line, tt.col)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, name := range []string{"", "a,b", `a"b`, "a\nb"} {
		if err := Write(io.Discard, File{Features: []string{name}}); !errors.Is(err, ErrFeatureName) {
			t.Errorf("feature %q: %v", name, err)
		}
	}
	if err := Write(io.Discard, File{Units: []Unit{{Counts: []uint64{1}}}}); err == nil {
		t.Error("more counts than features: no error")
	}
}

func TestWritePads(t *testing.T) {
	var b bytes.Buffer
	err := Write(&b, File{Features: []string{"a", "b"}, Units: []Unit{{Start: -5, Duration: 5, Lost: 1, Counts: []uint64{7}}}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("start_ns,duration_ns,lost,a,b\n-5,5,1,7,0\n", b.String()); diff != "" {
		t.Error(diff)
	}
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.csv")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("out.csv", link); err != nil {
		t.Fatal(err)
	}
	check := func(want string, mode fs.FileMode) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("content %q, %v; want %q", got, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("mode %v, %v; want %v", info.Mode(), err, mode)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("directory holds %v, %v; want the file and the link", entries, err)
		}
	}
	if err := WriteFile(path, text("one")); err != nil {
		t.Fatal(err)
	}
	mask := unix.Umask(0)
	unix.Umask(mask)
	check("one", 0o666&^fs.FileMode(mask))
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, text("two")); err != nil {
		t.Fatal(err)
	}
	check("two", 0o600)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	failure := errors.New("failure")
	err := WriteFile(path, func(w io.Writer) error {
		io.WriteString(w, "half") //nolint:errcheck // fails on purpose
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("got %v, want the writer's error", err)
	}
	check("two", 0o600)
	if err := WriteFile(filepath.Join(dir, "no", "such", "directory"), text("")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func TestWriteFileDirectly(t *testing.T) {
	if err := WriteFile(os.DevNull, text("gone")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode()&fs.ModeDevice == 0 {
		t.Fatalf("%s is no device any more: %v, %v", os.DevNull, info, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := WriteFile("/proc/self/fd/"+strconv.Itoa(int(w.Fd())), text("through")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "through" {
		t.Errorf("pipe: %q, %v", got, err)
	}
}
