package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	// killDelay is how long a process that was asked to end may take.
	killDelay = 3 * time.Second
	// MaxFor bounds every attack and stress.
	MaxFor = 24 * time.Hour
	// timeoutCode is how timeout(1) says that the time was over.
	timeoutCode = 124
)

// bounded wraps a command in timeout(1), which ends it with signal sig when
// d is over: it does so in a guest, and also when this process was killed.
func bounded(d time.Duration, sig string, argv ...string) []string {
	secs := strconv.FormatFloat(d.Seconds(), 'f', 3, 64)
	return append([]string{"timeout", "-s", sig, "-k", "2", secs}, argv...)
}

// again repeats a command that ends before its time. One that fails ends it.
func again(argv ...string) []string {
	return []string{"/bin/sh", "-c", `while "$@" || exit; do :; done`, argv[0]}
}

// checkFor checks a span of activity.
func checkFor(d time.Duration) error {
	if d < time.Second || d > MaxFor {
		return fmt.Errorf("duration %v: want %v to %v", d, time.Second, MaxFor)
	}
	return nil
}

// checkInSubnet refuses every address but IPv4 addresses of the lab's subnet,
// given as host:port.
func checkInSubnet(addr string) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	return checkTarget(ap.Addr())
}

func checkTarget(a netip.Addr) error {
	if !Subnet.Contains(a) {
		return fmt.Errorf("target %s is not in the lab's subnet %s", a, Subnet)
	}
	return nil
}

// runInside runs a bounded command in the lab's network namespace.
func (l *Lab) runInside(ctx context.Context, argv []string) (ExecResult, error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Dir = "/"
	ownGroup(cmd)
	if err := l.Start(cmd); err != nil {
		return ExecResult{}, err
	}
	err := cmd.Wait()
	res := ExecResult{Code: cmd.ProcessState.ExitCode(), Stdout: out.Bytes(), Stderr: errOut.Bytes()}
	if ctx.Err() != nil {
		return res, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return res, err
	}
	return res, nil
}

// judgeRun tells a tool that was ended by its time limit, or by itself and
// in order, from one that failed.
func judgeRun(what string, res ExecResult) error {
	if res.Code == 0 || res.Code == timeoutCode {
		return nil
	}
	return fmt.Errorf("%s: exit code %d: %s", what, res.Code, tail(append(res.Stderr, res.Stdout...)))
}

// tail is the last lines of a tool's output, for an error.
func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}
