//go:build integration

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng"
)

// sharedMemory is where LTTng's ring buffers are.
const sharedMemory = "/dev/shm"

// census counts what a fault could leave behind, while the guest is judged: each kind by its name.
type census map[string]int

// take counts once. ok is false where something changed meanwhile.
func (s *stack) take(t *testing.T) (c census, ok bool) {
	t.Helper()
	daemon, err := s.control().Daemon(t.Context())
	if err != nil {
		return nil, false
	}
	c = census{"goroutines": daemon.Goroutines, "sessions": len(s.sessions(t))}
	if !countFiles(c, "virtsentryd", daemon.PID) {
		return nil, false
	}
	consumer, err := lttng.Consumer(s.web.pid(t))
	if err != nil {
		return nil, false
	}
	defer func() { _ = consumer.Release() }()
	if !countFiles(c, "lttng-consumerd", consumer.Pid) {
		return nil, false
	}
	traces, err := os.ReadDir(s.file("traces"))
	if err != nil {
		t.Fatal(err)
	}
	c["files of traces"] = len(traces)
	shm, err := os.ReadDir(sharedMemory)
	if err != nil {
		t.Fatal(err)
	}
	c["names in "+sharedMemory] = len(shm)
	var fs unix.Statfs_t
	if err := unix.Statfs(sharedMemory, &fs); err != nil {
		t.Fatal(err)
	}
	c["MiB in "+sharedMemory] = int((fs.Blocks - fs.Bfree) * uint64(fs.Bsize) >> 20)
	return c, true
}

// countFiles counts what files a process has open, by their kinds.
func countFiles(c census, name string, pid int) bool {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		return false
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil {
			continue // it has been closed
		}
		kind, _, _ := strings.Cut(to, ":")
		if strings.HasPrefix(to, "/") {
			kind = "file"
		}
		c[name+" "+kind]++
	}
	return true
}

// census counts for three seconds: the most of each kind. A connection, or a collection, takes something for a moment.
func (s *stack) census(t *testing.T) census {
	t.Helper()
	most := census{}
	for range 6 {
		time.Sleep(500 * time.Millisecond)
		now, ok := s.take(t)
		if !ok {
			t.Fatal("what there is cannot be counted: a daemon does not answer")
		}
		for kind, n := range now {
			most[kind] = max(most[kind], n)
		}
	}
	return most
}

// nothingLeft waits until there is no more of anything than before.
func (s *stack) nothingLeft(t *testing.T, before census) {
	t.Helper()
	if t.Failed() {
		return
	}
	var more []string
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		now, ok := s.take(t)
		if !ok {
			more = []string{"it cannot be counted"}
			continue
		}
		more = nil
		for _, kind := range slices.Sorted(maps.Keys(now)) {
			if now[kind] > before[kind] {
				more = append(more, fmt.Sprintf("%s: %d, %d before", kind, now[kind], before[kind]))
			}
		}
		if len(more) == 0 {
			return
		}
	}
	t.Errorf("something is left: %s\n%s", strings.Join(more, "; "), s.openFiles(t))
}

// openFiles lists what the consumer daemon and virtsentryd have open, for whoever looks for a leak.
func (s *stack) openFiles(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	pids := []int{s.daemon.Process.Pid}
	if consumer, err := lttng.Consumer(s.web.pid(t)); err == nil {
		pids = append(pids, consumer.Pid)
		_ = consumer.Release()
	}
	for _, pid := range pids {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			to, _ := os.Readlink(link) // it may have been closed
			fmt.Fprintf(&text, "%s -> %s\n", link, to)
		}
	}
	return text.String()
}
