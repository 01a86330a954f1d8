package lttng

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzIndex: any index gives a place in a data file and no more than what it lists, or an error.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(index(72))
	f.Add(index(72, [2]uint64{0, 4096 * 8}, [2]uint64{4096, 8192 * 8}))
	f.Add(index(40, [2]uint64{1 << 60, 1<<63 - 8}))
	f.Add(index(4096, [2]uint64{0, 12}))
	f.Fuzz(func(t *testing.T, data []byte) {
		to, _, err := lastIndexed(bytes.NewReader(data), int64(len(data)))
		if to < 0 || to > math.MaxInt64/2 || err != nil && to != 0 {
			t.Errorf("up to byte %d, %v", to, err)
		}
		// An entry that is still being written is not there yet.
		if n := len(data); err == nil && n > indexHeader {
			if less, _, err := lastIndexed(bytes.NewReader(data[:n-1]), int64(n-1)); err == nil && less < 0 {
				t.Errorf("without the last byte: up to byte %d", less)
			}
		}
	})
}

// FuzzMaps: whatever a process has in its memory map and its memory, it is looked at within bounds, and what is found is there.
func FuzzMaps(f *testing.F) {
	f.Add("1000-2000 r-xp 00000000 00:1b 5 /bin/sh\n3000-5000 rw-s 00000000 00:1b 801    /dev/shm/shm-ust-consumer-99 (deleted)\n", packet(0xC1FC1FC1, one))
	f.Add("0-7fffffffffffffff rw-s 0 0 0 /dev/shm/shm-ust-consumer-99\n", []byte{})
	f.Add("5000-3000 rw-s 0 0 0 /dev/shm/shm-ust-consumer--1\n0-1 rw-s 0 0 0 /dev/shm/shm-ust-consumer-99999999999999999999\n", packet(0xC1FC1FC1, two))
	f.Fuzz(func(t *testing.T, maps string, memory []byte) {
		pages := mostPages
		_ = sharedIn(strings.NewReader(maps), ringBufferName, func(_ int, from, to uint64) bool {
			if from > math.MaxInt64 || to > math.MaxInt64 {
				t.Errorf("addresses %#x to %#x", from, to)
			}
			uuid, ok, _ := bufferUUID(bytes.NewReader(memory), from, to, &pages)
			if ok && !bytes.Contains(memory, packet(0xC1FC1FC1, uuid)[:4+len(uuid)]) {
				t.Errorf("trace %s, of which there is no packet", uuid)
			}
			return pages == 0
		})
		if pages < 0 || pages > mostPages {
			t.Errorf("%d pages are left", pages)
		}
	})
}

// FuzzTraceDirectory: a process chooses its name, and the session daemon makes a directory's of it.
func FuzzTraceDirectory(f *testing.F) {
	f.Add("qemu-system-x86-14942-20261121-221015")
	f.Add("-0-00000000-000000")
	f.Add("a\n-99999999999-20261121-221015")
	f.Fuzz(func(t *testing.T, dir string) {
		r := named(dir)
		if r.Dir != dir || r.PID < 0 || r.PID > 9999999999 || r.Name != "" && !strings.HasPrefix(dir, r.Name+"-") {
			t.Errorf("%q: %+v", dir, r)
		}
	})
}

// TestManySharedPages: a process that shares endless memory under the name of ring buffers does not hold up who looks for its trace.
func TestManySharedPages(t *testing.T) {
	h := host(t.TempDir())
	var maps strings.Builder
	for i := range 40_000 { // with the largest that an address space has
		fmt.Fprintf(&maps, "%x-7ffffffff000 rw-s 00000000 00:1b %d /dev/shm/shm-ust-consumer-99\n", 0x10000+i*0x1000, i)
	}
	process(t, h, 7, "qemu", maps.String(), one)
	looked := 0
	err := h.shared(7, ringBufferName, func(int, uint64, uint64) bool { looked++; return false })
	if err != nil || looked != 40_000 {
		t.Fatalf("%d mappings, %v", looked, err)
	}
	memory, pages := endless{}, mostPages
	err = h.shared(7, ringBufferName, func(_ int, from, to uint64) bool {
		_, _, _ = bufferUUID(&memory, from, to, &pages)
		return pages == 0
	})
	if err != nil || memory.reads != mostPages {
		t.Errorf("%d pages read, %v; want %d", memory.reads, err, mostPages)
	}
	// One that has so much and is not told from others is an error, not somebody else's trace.
	put(t, filepath.Join(string(h), "8", "maps"), []byte("0-7ffffffff000 rw-s 0 0 0 /dev/shm/shm-ust-consumer-99\n"))
	put(t, filepath.Join(string(h), "8", "mem"), nil)
	if err := os.Truncate(filepath.Join(string(h), "8", "mem"), 4096*(mostPages+1)); err != nil {
		t.Fatal(err)
	}
	if yes, err := h.recorded(8, one); yes || err == nil || !strings.Contains(err.Error(), "without a packet") {
		t.Errorf("recorded: %v, %v", yes, err)
	}
}

// endless is memory without an end, all zero.
type endless struct{ reads int }

func (e *endless) ReadAt(p []byte, _ int64) (int, error) {
	e.reads++
	clear(p)
	return len(p), nil
}
