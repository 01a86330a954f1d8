package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBuffers(t *testing.T) {
	const mib = 1 << 20
	b := &buffers{cpus: 64, domain: 18 * mib, total: 40 * mib}
	size, bytes, err := b.reserve(64<<10, 8)
	if err != nil || size != 32<<10 || bytes != 18*mib {
		t.Errorf("reserve = %d, %d, %v; want sub-buffers of half the size, which fill the domain's share", size, bytes, err)
	}
	if _, _, err := b.reserve(64<<10, 8); err != nil {
		t.Errorf("second domain: %v", err)
	}
	if _, _, err := b.reserve(64<<10, 8); !errors.Is(err, errBuffers) {
		t.Errorf("third domain: %v; want errBuffers", err)
	}
	b.release(bytes)
	if _, _, err := b.reserve(64<<10, 8); err != nil {
		t.Errorf("after a release: %v", err)
	}
	many := &buffers{cpus: 8192, domain: 16 * mib, total: 40 * mib}
	if _, _, err := many.reserve(64<<10, 8); !errors.Is(err, errBuffers) {
		t.Errorf("on 8192 CPUs: %v; want errBuffers", err)
	}
}

func TestCountCPUs(t *testing.T) {
	for text, want := range map[string]uint64{"0\n": 1, "0-3\n": 4, "0-3,8\n": 9, "0,2-511": 512, "": 0, "0-x": 0, "0-99999999": 0} {
		file := filepath.Join(t.TempDir(), "possible")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := countCPUs(file)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

// Where there is no room for ring buffers, none are asked for.
func TestBuffersRoom(t *testing.T) {
	b := newBuffers(testConfig(t).LTTng, silent())
	b.shm = t.TempDir()
	if err := b.room(1); err != nil {
		t.Error(err)
	}
	if err := b.room(1 << 62); !errors.Is(err, errBuffers) || !strings.Contains(err.Error(), b.shm) {
		t.Errorf("room for 4 EiB: %v; want errBuffers, and %s", err, b.shm)
	}
	b.shm = filepath.Join(b.shm, "none")
	if err := b.room(1 << 62); err != nil {
		t.Errorf("of what is not known: %v", err)
	}
}
