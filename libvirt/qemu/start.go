package qemu

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// identifyEvery and identifyFor: how a process is waited for that libvirt has announced by its PID file and not yet executed.
	identifyEvery = 5 * time.Millisecond
	identifyFor   = 10 * time.Second
)

// Starts tells of domains that are being started, before their CPUs run: libvirt writes the PID file first, asks QEMU many questions then, and
// sends its own event only after the guest runs. It watches until ctx ends; then the channel is closed.
// Errors: the directory cannot be watched, such as one that libvirt has not made yet.
func (p Processes) Starts(ctx context.Context) (<-chan Domain, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("qemu: watch for starts: %w", err)
	}
	dir := filepath.Join(p.RunDir, "qemu")
	if err := watcher.Add(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("qemu: watch %s for starts: %w", dir, err), watcher.Close())
	}
	out := make(chan Domain)
	go func() {
		defer close(out)
		defer func() { _ = watcher.Close() }()
		var waiting sync.WaitGroup
		defer waiting.Wait()
		for {
			select {
			case <-ctx.Done():
				return
			case e, open := <-watcher.Events:
				if !open {
					return
				}
				name, isPID := strings.CutSuffix(filepath.Base(e.Name), ".pid")
				if isPID && e.Has(fsnotify.Create) {
					waiting.Go(func() { p.announce(ctx, name, out) })
				}
			case _, open := <-watcher.Errors:
				// An overflow of the kernel's queue: libvirt's own event tells of what was missed here.
				if !open {
					return
				}
			}
		}
	}()
	return out, nil
}

// announce waits until the PID file's process is a QEMU, and hands its domain on.
func (p Processes) announce(ctx context.Context, name string, out chan<- Domain) {
	tick := time.NewTicker(identifyEvery)
	defer tick.Stop()
	end := time.NewTimer(identifyFor)
	defer end.Stop()
	for {
		d, err := p.Identify(name)
		if err == nil {
			select {
			case out <- d:
			case <-ctx.Done():
			}
			return
		}
		if !errors.Is(err, ErrNoProcess) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}
