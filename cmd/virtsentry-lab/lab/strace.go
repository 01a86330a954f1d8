package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// StraceUnit counts the system calls of a process for the time of a unit, and returns the CPU time that this took.
func (l *Lab) StraceUnit(ctx context.Context, pid int) (time.Duration, error) {
	dir, err := os.MkdirTemp(l.dir, "strace-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	table := filepath.Join(dir, "table")
	var said bytes.Buffer
	cmd := exec.Command("strace", "-f", "-c", "-o", table, "-p", strconv.Itoa(pid))
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("strace: %w", err)
	}
	sleepErr := sleep(ctx, unit.Width)
	signalErr := cmd.Process.Signal(os.Interrupt)
	var exit *exec.ExitError // by the signal
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) || signalErr != nil {
		return 0, fmt.Errorf("strace: %w: %s", errors.Join(err, signalErr), tail(said.Bytes()))
	}
	if sleepErr != nil {
		return 0, sleepErr
	}
	text, err := os.ReadFile(table)
	if err != nil || !bytes.Contains(text, []byte("total")) {
		return 0, fmt.Errorf("strace of process %d has counted nothing: %w: %s", pid, err, tail(said.Bytes()))
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// Ping has who has an address in the lab's network answer pings until ctx ends, which is no error.
func (l *Lab) Ping(ctx context.Context, addr netip.Addr, every time.Duration) error {
	if err := checkTarget(addr); err != nil {
		return err
	}
	res, err := l.runInside(ctx, []string{"ping", "-q", "-n", "-i", strconv.FormatFloat(every.Seconds(), 'f', 3, 64), addr.String()})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it is to end
	}
	return errors.Join(err, fmt.Errorf("ping of %s has ended: %s", addr, tail(append(res.Stderr, res.Stdout...))))
}
