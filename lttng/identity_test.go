package lttng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

var (
	one = ctf.UUID{1, 2, 3}
	two = ctf.UUID{9, 8, 7}
)

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// packet begins a packet of a trace: of metadata, or of events.
func packet(magic uint32, uuid ctf.UUID) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, magic), append(uuid[:], "more"...)...)
}

func TestRegistrations(t *testing.T) {
	const qemu, dir = "qemu-system-x86-14942-20261121-221015", "ust/pid/"
	metadata := func(uuid ctf.UUID) []byte { return packet(0x75D11D57, uuid) }
	tests := map[string]struct {
		files map[string][]byte
		want  []Registration
		fails bool
	}{
		"nothing": {nil, nil, false},
		"one":     {map[string][]byte{dir + qemu + "/metadata": metadata(one)}, []Registration{{qemu, "qemu-system-x86", 14942, one}}, false},
		"one in two chunks, the newer not written yet": {
			map[string][]byte{".tmp_old_chunk/" + dir + qemu + "/metadata": metadata(one), "2026-1/" + dir + qemu + "/metadata": nil},
			[]Registration{{qemu, "qemu-system-x86", 14942, one}}, false},
		"not written yet": {map[string][]byte{dir + qemu + "/metadata": nil}, []Registration{{qemu, "qemu-system-x86", 14942, ctf.UUID{}}}, false},
		"two": {
			map[string][]byte{dir + "b-7-20261121-221016/metadata": metadata(two), dir + "a-b-7-20261121-221015/metadata": metadata(one)},
			[]Registration{{"a-b-7-20261121-221015", "a-b", 7, one}, {"b-7-20261121-221016", "b", 7, two}}, false},
		"two by one name in one second": {
			map[string][]byte{"archives/1/" + dir + qemu + "/metadata": metadata(one), dir + qemu + "/metadata": metadata(two)},
			[]Registration{{qemu, "qemu-system-x86", 14942, one}, {qemu, "qemu-system-x86", 14942, two}}, false},
		"odd name":    {map[string][]byte{dir + "x/metadata": metadata(one)}, []Registration{{"x", "", 0, one}}, false},
		"no metadata": {map[string][]byte{dir + qemu + "/metadata": []byte(strings.Repeat("x", 100))}, nil, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, data := range test.files {
				put(t, filepath.Join(root, path), data)
			}
			got, err := Registrations(root)
			if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != test.fails {
				t.Errorf("Registrations: %v\n%s", err, diff)
			}
		})
	}
	if _, err := Registrations("/nonexistent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Registrations of no directory: %v", err)
	}
	root := t.TempDir()
	for i := range mostTraces + 1 {
		put(t, filepath.Join(root, fmt.Sprint(i), "metadata"), nil)
	}
	if _, err := Registrations(root); err == nil {
		t.Error("no end of traces: no error")
	}
}

// process makes one process with a ring buffer at 0x3000, whose first packet is on its second page.
func process(t *testing.T, h host, pid int, name, maps string, trace ctf.UUID) {
	t.Helper()
	dir := filepath.Join(string(h), fmt.Sprint(pid))
	put(t, filepath.Join(dir, "comm"), []byte(name+"\n"))
	put(t, filepath.Join(dir, "maps"), []byte(maps))
	put(t, filepath.Join(dir, "mem"), append(make([]byte, 0x4000), append(packet(0xC1FC1FC1, trace), make([]byte, 4096)...)...))
	if err := os.Symlink("/usr/bin/"+name, filepath.Join(dir, "exe")); err != nil {
		t.Fatal(err)
	}
}

func TestRecorded(t *testing.T) {
	const buffer = "1000-2000 r-xp 00000000 00:1b 5 /bin/sh\n3000-5000 rw-s 00000000 00:1b 801    /dev/shm/shm-ust-consumer-99 (deleted)\n"
	h := host(t.TempDir())
	process(t, h, 7, "qemu", buffer, one)
	process(t, h, 8, "impostor", buffer, two)
	process(t, h, 9, "stranger", "3000-5000 rw-s 00000000 00:1b 801 /dev/shm/guest-memory\n3000-5000 rw-p 0 0 0\n", one)
	process(t, h, 10, "zombie", "", one)
	process(t, h, 11, "garbled", "x-y rw-s 0 0 0 /dev/shm/shm-ust-consumer-99\n", one)
	process(t, h, 12, "short", "f000-ff000 rw-s 0 0 0 /dev/shm/shm-ust-consumer-99\n", one)
	process(t, h, 13, "endless", strings.Repeat("x", 1<<17), one)
	process(t, h, 99, "lttng-consumerd", buffer, one)
	for pid, want := range map[int]struct{ yes, fails bool }{
		7: {true, false}, 8: {}, 9: {}, 10: {false, true}, 11: {false, true}, 12: {}, 13: {false, true}, 14: {false, true}, 99: {},
	} {
		if yes, err := h.recorded(pid, one); yes != want.yes || (err != nil) != want.fails {
			t.Errorf("process %d: %v, %v", pid, yes, err)
		}
	}
	for _, pid := range []int{10, 14} {
		if _, err := h.recorded(pid, one); !errors.Is(err, errEnded) {
			t.Errorf("process %d: %v; want %v", pid, err, errEnded)
		}
	}
	if _, err := h.recorded(7, ctf.UUID{}); err == nil {
		t.Error("no UUID: no error")
	}
	got, err := h.recorders(two)
	want := []Process{{PID: 8, UID: uint32(os.Getuid()), Name: "impostor", Executable: "/usr/bin/impostor"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("recorders: %v\n%s", err, diff)
	}
}

func TestIdentityError(t *testing.T) {
	e := &IdentityError{Session: "s", PID: 7, Others: []Process{{8, 1000, "a\nb", "/x"}}}
	const want = `lttng: session s: registered with LTTng by process ID 7: process 8 ("a\nb", executable "/x", user 1000) ` +
		`(end it, and restart lttng-sessiond, so that process 7 registers again)`
	if e.Error() != want || !errors.Is(e, ErrIdentity) {
		t.Errorf("%v", e)
	}
}

// What this very process has in its memory, and what it has not.
func TestProcessMemory(t *testing.T) {
	want := []byte("something that is there")
	got := make([]byte, len(want))
	m, err := this.memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := m.ReadAt(got, int64(uintptr(unsafe.Pointer(&want[0])))); n != len(want) || err != nil || string(got) != string(want) {
		t.Errorf("ReadAt = %d, %v; %q", n, err, got)
	}
	runtime.KeepAlive(want)
	if n, err := m.ReadAt(got, 8); n != 0 || !errors.Is(err, syscall.EFAULT) {
		t.Errorf("ReadAt of nothing = %d, %v", n, err)
	}
	if _, err := processMemory(1<<30).ReadAt(got, 8); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("ReadAt of no process: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// A process that has ended, and that nobody has waited for, has ended.
func TestEnded(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if Ended(p) {
		t.Error("a process that runs has ended")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !Ended(p); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a process that was killed, a zombie, has not ended")
		}
	}
	_ = cmd.Wait()
	if !Ended(p) {
		t.Error("a process that was waited for has not ended")
	}
}
