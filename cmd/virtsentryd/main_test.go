package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/keeper"
)

func TestKeeperSocket(t *testing.T) {
	if config.DefaultKeeperSocket != keeper.DefaultSocket {
		t.Errorf("the daemon asks at %s, and the keeper listens at %s", config.DefaultKeeperSocket, keeper.DefaultSocket)
	}
}

// A configuration file that is missing for a moment does not bring the defaults back.
func TestReaderMissesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "virtsentry.toml")
	read := reader(file, true)
	if _, err := read(); err != nil {
		t.Fatalf("a file that never was: %v; want the defaults", err)
	}
	if err := os.WriteFile(file, []byte("[learning]\nunits = 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err := read(); err != nil || cfg.Learning.Units != 99 {
		t.Fatalf("read %d units, %v", cfg.Learning.Units, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := read(); err == nil {
		t.Error("no error for a file that was there before")
	}
}
