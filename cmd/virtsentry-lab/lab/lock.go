package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// lock keeps two processes from changing the same lab at once. An abstract
// socket serves as the lock: the kernel frees it with its holder, and it
// leaves no file behind.
func (l *Lab) lock(ctx context.Context) (unlock func(), err error) {
	told := false
	for {
		unlock, err := l.tryLock("change")
		if err == nil {
			return unlock, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
		if !told {
			l.log.Info("waiting for another virtsentry-lab that changes this lab")
			told = true
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, fmt.Errorf("lock the lab: %w", err)
		}
	}
}

// tryLock takes one of the lab's locks or fails at once, with EADDRINUSE when
// another process has it.
func (l *Lab) tryLock(what string) (unlock func(), err error) {
	ln, err := net.Listen("unix", "@virtsentry-lab/"+what+l.dir)
	if err != nil {
		return nil, fmt.Errorf("lock the lab for %s: %w", what, err)
	}
	return func() { _ = ln.Close() }, nil
}

// sleep waits for d or until ctx ends, and returns ctx's error then.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
