package lttng

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// index is an index file with entries of a size, each the offset in bytes and the size in bits of a packet.
func index(entry uint32, packets ...[2]uint64) []byte {
	b := binary.BigEndian.AppendUint32(nil, indexMagic)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, entry)
	for _, p := range packets {
		b = binary.BigEndian.AppendUint64(b, p[0])
		b = binary.BigEndian.AppendUint64(b, p[1])
		b = append(b, make([]byte, 16)...)
		b = binary.BigEndian.AppendUint64(b, p[0]+1000)
		b = append(b, make([]byte, max(entry, 40)-40)...)
	}
	return b
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestIndexed(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want int64
		ok   bool
	}{
		{"empty", nil, 0, true},
		{"header being written", index(72)[:7], 0, true},
		{"no packets", index(72), 0, true},
		{"two packets", index(72, [2]uint64{0, 4096 * 8}, [2]uint64{4096, 8192 * 8}), 12288, true},
		{"entry being written", index(72, [2]uint64{0, 4096 * 8}, [2]uint64{4096, 8192 * 8})[:16+72+20], 4096, true},
		{"no index", append([]byte{1}, index(72)[1:]...), 0, false},
		{"entries too small", index(39, [2]uint64{0, 8}), 0, false},
		{"small entries", index(40, [2]uint64{0, 8}), 1, true},
		{"entries of no size", append(index(72)[:12], 0, 0, 0, 0), 0, false},
		{"endless packet", index(72, [2]uint64{0, ^uint64(0) - 7}), 0, false},
		{"packet far off", index(72, [2]uint64{1 << 62, 8}), 0, false},
		{"half a byte", index(72, [2]uint64{0, 12}), 0, false},
	} {
		file := filepath.Join(t.TempDir(), "x.idx")
		write(t, file, c.data)
		got, at, err := indexed(file, int64(len(c.data)))
		if got != c.want || (err == nil) != c.ok || (at > 0) != (c.want > 0) {
			t.Errorf("%s: %d, %v; want %d, no error: %v", c.name, got, err, c.want, c.ok)
		}
	}
}

// What was written is given out once; of the chunk that is complete in the end, what is left.
func TestFollower(t *testing.T) {
	out := t.TempDir()
	f := (&Session{cfg: Config{Name: "s", Output: out}}).Follower()
	if err := f.Begin(); err == nil || f.Following() {
		t.Errorf("nothing there: %v", err)
	}
	old, now := filepath.Join(out, archives, "old", "ust", "pid", "qemu-7-1"), filepath.Join(out, "new", "ust", "pid", "qemu-7-1")
	write(t, filepath.Join(old, "metadata"), []byte("x"))
	write(t, filepath.Join(now, "metadata"), nil)
	if err := f.Begin(); err == nil || f.Following() {
		t.Errorf("empty metadata: %v", err)
	}
	write(t, filepath.Join(now, "metadata"), []byte("x"))
	if err := f.Begin(); err != nil || !f.Following() {
		t.Fatal(err)
	}
	write(t, filepath.Join(now, "ch_0"), make([]byte, 8192))
	if _, _, err := f.New(); err == nil {
		t.Error("a data file without an index")
	}
	write(t, filepath.Join(now, "index", "ch_0.idx"), index(72, [2]uint64{0, 4096 * 8}))
	if alone, err := f.Alone(); err != nil || !alone {
		t.Errorf("alone: %v, %v", alone, err)
	}
	other := filepath.Join(filepath.Dir(now), "qemu-7-2")
	write(t, filepath.Join(other, "metadata"), nil)
	if alone, err := f.Alone(); err != nil || alone {
		t.Errorf("not alone: %v, %v", alone, err)
	}
	if err := os.RemoveAll(other); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		packets [][2]uint64
		want    map[string]ctf.Part
		written int64 // seconds
	}{
		{[][2]uint64{{0, 4096 * 8}}, map[string]ctf.Part{"ch_0": {From: 0, To: 4096}}, 1000},
		{[][2]uint64{{0, 4096 * 8}}, map[string]ctf.Part{}, 1000},
		{[][2]uint64{{0, 4096 * 8}, {4096, 4096 * 8}}, map[string]ctf.Part{"ch_0": {From: 4096, To: 8192}}, 1002},
	}
	for i, s := range steps {
		file, at := filepath.Join(now, "index", "ch_0.idx"), time.Unix(1000+int64(i), 0)
		write(t, file, index(72, s.packets...))
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
		dir, got, err := f.New()
		if f.Written().Unix() != s.written {
			t.Errorf("step %d: written at %v; want %d", i, f.Written(), s.written)
		}
		if err != nil || dir != now || !cmp.Equal(s.want, got) {
			t.Errorf("step %d: %s, %v, %v", i, dir, got, err)
		}
		if err := f.Free(dir, got); err != nil {
			t.Error(err)
		}
	}
	// An index that cannot be read keeps back what others list, and loses nothing of it.
	write(t, filepath.Join(now, "index", "ch_0.idx"), index(72, [2]uint64{0, 4096 * 8}, [2]uint64{4096, 4096 * 8}, [2]uint64{8192, 8}))
	write(t, filepath.Join(now, "ch_1"), make([]byte, 1))
	write(t, filepath.Join(now, "index", "ch_1.idx"), []byte("this is no index at all"))
	if _, got, err := f.New(); err == nil || got != nil {
		t.Errorf("a broken index: %v, %v", got, err)
	}
	// So does one that lists more than was written, as the process that is traced can have it do.
	write(t, filepath.Join(now, "index", "ch_1.idx"), index(72, [2]uint64{0, 4096 * 8}))
	if _, got, err := f.New(); err == nil || got != nil {
		t.Errorf("an index that lists more than there is: %v, %v", got, err)
	}
	for _, file := range []string{filepath.Join(now, "ch_1"), filepath.Join(now, "index", "ch_1.idx")} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(now, "ch_0"), make([]byte, 8193))
	if _, got, err := f.New(); err != nil || !cmp.Equal(map[string]ctf.Part{"ch_0": {From: 8192, To: 8193}}, got) {
		t.Errorf("after a broken index: %v, %v", got, err)
	}
	write(t, filepath.Join(now, "ch_0"), make([]byte, 8192))
	f.read["ch_0"], f.flushed = 8192, 4096+1000
	if at := f.Flushed(); at != 4096+1000 {
		t.Errorf("the newest packet ends at %d", at)
	}
	if data, err := os.ReadFile(filepath.Join(now, "ch_0")); err != nil || len(data) != 8192 {
		t.Errorf("freed: %d bytes, %v", len(data), err)
	}
	write(t, filepath.Join(now, "ch_0"), make([]byte, 10000))
	chunk := filepath.Join(out, archives, "new")
	if err := os.Rename(filepath.Join(out, "new"), chunk); err != nil {
		t.Fatal(err)
	}
	dir, got, err := f.Rest(chunk)
	if want := map[string]ctf.Part{"ch_0": {From: 8192, To: 10000}}; err != nil || dir != filepath.Join(chunk, "ust", "pid", "qemu-7-1") || !cmp.Equal(want, got) {
		t.Errorf("rest: %s, %v, %v", dir, got, err)
	}
	write(t, filepath.Join(chunk, "ust", "pid", "other-7-1", "metadata"), []byte("x"))
	if _, _, err := f.Rest(chunk); err == nil {
		t.Error("a second trace in the chunk")
	}
}

// A directory is read again when something was added, also at once after it was read.
func TestListing(t *testing.T) {
	dir := t.TempDir()
	var l listing
	want := []string(nil)
	add := func(name string) {
		t.Helper()
		write(t, filepath.Join(dir, name), nil)
		if isData(name, 0) {
			want = append(want, name)
		}
	}
	check := func() {
		t.Helper()
		got, err := l.list(dir, isData)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	check()
	for _, name := range []string{"a_0", "metadata", ".hidden", "a_1", "a_2"} {
		add(name)
		check()
	}
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(dir, old, old); err != nil {
		t.Fatal(err)
	}
	check()
	check()
	if !l.when.Equal(old) {
		t.Errorf("it would be read again: %v, want %v", l.when, old)
	}
	add("a_3")
	check()
	if _, err := l.list(filepath.Join(dir, "none"), isData); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such directory: %v", err)
	}
}
