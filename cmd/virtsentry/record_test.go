package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// below lists the files below a directory with what is in them.
func below(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, relErr := filepath.Rel(dir, path)
		found[name] = string(text)
		return errors.Join(err, relErr)
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// file is a plain file in an archive. Its content is its own name.
func file(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(name))}
}

// put writes an archive without its end.
func put(w io.Writer, headers ...tar.Header) error {
	archive := tar.NewWriter(w)
	for _, h := range headers {
		if err := archive.WriteHeader(&h); err != nil {
			return err
		}
		if h.Size == int64(len(h.Name)) {
			if _, err := io.WriteString(archive, h.Name); err != nil {
				return err
			}
		}
	}
	_ = archive.Flush() // it complains of what is missing in the last file
	return nil
}

// A trace that comes over the socket is the one that was sent, and can be cut into units.
func TestRecord(t *testing.T) {
	b := &backend{domains: domains()}
	sent := below(t, filepath.Join(traces, "rotated", "archives"))
	b.tape = func(_ context.Context, w io.Writer) error {
		archive := tar.NewWriter(w)
		err := error(nil)
		for _, chunk := range slices.Sorted(maps.Keys(sent)) {
			err = errors.Join(err, archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: chunk, Mode: 0o600, Size: int64(len(sent[chunk]))}))
			_, writeErr := io.WriteString(archive, sent[chunk])
			err = errors.Join(err, writeErr)
		}
		return errors.Join(err, archive.Close())
	}
	dir := filepath.Join(t.TempDir(), "trace")
	got, code, err := run(t.Context(), "--socket", serve(t, b), "record", "web", "--for", "1s", "-o", dir)
	if want := "web: recorded in 3 chunks: " + dir + "\n"; err != nil || code != 0 || got != want {
		t.Fatalf("said %q, exit status %d, %v; want %q", got, code, err, want)
	}
	if diff := cmp.Diff(sent, below(t, dir)); diff != "" {
		t.Errorf("recorded (-sent +got):\n%s", diff)
	}
	units, _, err := run(t.Context(), "replay", dir, "--units", "-")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(unitsOf(t, "rotated"), units); diff != "" {
		t.Errorf("units (-golden +got):\n%s", diff)
	}
}

// Nothing is written outside of the directory, and of a chunk that did not come in whole nothing stays.
func TestHostileRecordings(t *testing.T) {
	link := func(typ byte, to string) tar.Header {
		return tar.Header{Typeflag: typ, Name: "a/link", Linkname: to}
	}
	huge := tar.Header{Typeflag: tar.TypeReg, Name: "a/huge", Size: maxRecorded + 1, Format: tar.FormatGNU}
	for _, tc := range []struct {
		name string
		bad  tar.Header
		text string
	}{
		{"above", file("../evil"), "of the name"},
		{"above from within", file("a/../../evil"), "of the name"},
		{"not clean", file("a/./b"), "of the name"},
		{"absolute", file("/tmp/evil"), "of the name"},
		{"not in a chunk", file("evil"), "of the name"},
		{"deep", file(strings.Repeat("a/", maxDepth+1) + "b"), "of the name"},
		{"symbolic link", link(tar.TypeSymlink, "/etc/passwd"), "no plain file"},
		{"hard link", link(tar.TypeLink, "first/kept"), "no plain file"},
		{"directory", tar.Header{Typeflag: tar.TypeDir, Name: "a/"}, "no plain file"},
		{"device", tar.Header{Typeflag: tar.TypeChar, Name: "a/null", Devmajor: 1, Devminor: 3}, "no plain file"},
		{"pipe", tar.Header{Typeflag: tar.TypeFifo, Name: "a/fifo"}, "no plain file"},
		{"twice", file("second/part"), "exists"},
		{"chunk again", file("first/more"), "exists"},
		{"huge", huge, "too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &backend{domains: domains()}
			b.tape = func(_ context.Context, w io.Writer) error {
				return put(w, file("first/kept"), file("second/part"), tc.bad)
			}
			above := t.TempDir()
			dir := filepath.Join(above, "trace")
			_, code, err := run(t.Context(), "--socket", serve(t, b), "record", "web", "-o", dir)
			if code != exitFailure || err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("exit status %d, %v; want %q", code, err, tc.text)
			}
			if diff := cmp.Diff(map[string]string{"trace/first/kept": "first/kept"}, below(t, above)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// What ended early is said, and the whole chunks stay; a directory for nothing does not.
func TestRecordEndsEarly(t *testing.T) {
	b := &backend{domains: domains()}
	socket := serve(t, b)
	above := t.TempDir()
	dir := filepath.Join(above, "trace")
	b.tape = func(_ context.Context, w io.Writer) error {
		return errors.Join(put(w, file("first/kept")), fmt.Errorf("%w: domain web has ended", control.ErrRefused))
	}
	got, code, err := run(t.Context(), "--socket", socket, "record", "web", "-o", dir)
	if code != exitFailure || err == nil || !strings.Contains(err.Error(), "domain web has ended") || !strings.Contains(got, "1 chunks") {
		t.Errorf("said %q, exit status %d, %v", got, code, err)
	}
	if diff := cmp.Diff(map[string]string{"trace/first/kept": "first/kept"}, below(t, above)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	b.err = fmt.Errorf("%w: the domain is being recorded already", control.ErrRefused)
	dir = filepath.Join(above, "another")
	if _, code, err := run(t.Context(), "--socket", socket, "record", "web", "-o", dir); code != exitFailure || !errors.Is(err, control.ErrRefused) {
		t.Errorf("exit status %d, %v", code, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v; want it not there", dir, err)
	}
}

func TestRecordIsInterrupted(t *testing.T) {
	b := &backend{domains: domains()}
	ctx, interrupt := context.WithCancel(t.Context())
	b.tape = func(ctx context.Context, w io.Writer) error {
		// A part of the second chunk is under way.
		cut := file("second/part")
		cut.Size = 1000
		err := put(w, file("first/kept"), cut)
		interrupt()
		<-ctx.Done()
		return err
	}
	dir := filepath.Join(t.TempDir(), "trace")
	if _, _, err := run(ctx, "--socket", serve(t, b), "record", "web", "-o", dir); !errors.Is(err, context.Canceled) {
		t.Errorf("record = %v; want context.Canceled", err)
	}
	for name := range below(t, dir) {
		if name != "first/kept" {
			t.Errorf("%s is left", name)
		}
	}
}

// FuzzUnpack: any bytes are an archive or an error, and nothing is written but plain files below the directory.
func FuzzUnpack(f *testing.F) {
	for _, headers := range [][]tar.Header{
		{file("first/kept"), file("second/part")},
		{file("first/kept"), file("../evil")},
		{file("first/kept"), {Typeflag: tar.TypeSymlink, Name: "first/link", Linkname: "/"}, file("first/link/evil")},
	} {
		var archive bytes.Buffer
		if err := put(&archive, headers...); err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Bytes())
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		above := t.TempDir()
		dir := filepath.Join(above, "trace")
		if _, err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		_ = (&unpacker{root: root}).unpack(bytes.NewReader(archive)) // most are none
		err = filepath.WalkDir(above, func(path string, e os.DirEntry, err error) error {
			if err == nil && (!e.IsDir() && !e.Type().IsRegular() || path != above && path != dir && !strings.HasPrefix(path, dir+"/")) {
				t.Errorf("%s is there, %v", path, e.Type())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
