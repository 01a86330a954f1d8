package control

import (
	"fmt"
	"os"
	"runtime"
)

// Daemon is what the daemon's process takes.
type Daemon struct {
	PID        int    `json:"pid"`
	Goroutines int    `json:"goroutines"` // the one that answers, and its connection's, included
	Files      int    `json:"files"`      // open file descriptors, likewise
	Heap       uint64 `json:"heap_bytes"` // that live after a collection of garbage, which asking brings about
}

// thisDaemon is what this process takes.
func thisDaemon() (Daemon, error) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return Daemon{}, fmt.Errorf("control: count the daemon's open files: %w", err)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	// To read the directory took a descriptor.
	return Daemon{PID: os.Getpid(), Goroutines: runtime.NumGoroutine(), Files: len(files) - 1, Heap: m.HeapAlloc}, nil
}
