package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	outputLimit = 4 << 10         // bytes of a hook's output that are kept for the log
	outputWait  = time.Second / 2 // for an output that somebody holds open although the hook has ended
)

// environment is all that a hook gets of it, whatever the daemon's own holds.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}

// execute runs one hook to its end, or until ctx ends, and ends its whole process group. It returns what the hook wrote, cut. The error
// wraps ctx's when that ended the hook.
func execute(ctx context.Context, h hook, args []string, input []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("not run: %w", err)
	}
	var out capture
	// No exec.CommandContext: it knows the process, not the group.
	cmd := exec.Command(h.path, args...)
	cmd.Args[0] = h.name
	cmd.Dir = "/"
	cmd.Env = environment
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = outputWait
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	group := cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(group)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	late := ctx.Err()
	// Nobody has waited for the process yet, so the number is still its group's.
	_ = unix.Kill(-group, unix.SIGKILL)
	<-ended
	err := cmd.Wait()
	switch {
	case late != nil && killed(cmd):
		return out.String(), fmt.Errorf("killed with its process group: %w", late)
	case errors.Is(err, exec.ErrWaitDelay): // a process that left the group
		return out.String(), nil
	}
	return out.String(), err
}

// awaitEnd returns when the process has ended, and leaves it a zombie, so that its number is not given to another (waitid(2), WNOWAIT).
func awaitEnd(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func killed(cmd *exec.Cmd) bool {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// capture keeps the beginning of what is written to it and never refuses a write: a hook that writes much is not to be held up.
type capture struct {
	kept []byte
	cut  int
}

func (c *capture) Write(p []byte) (int, error) {
	keep := min(len(p), outputLimit-len(c.kept))
	c.kept = append(c.kept, p[:keep]...)
	c.cut += len(p) - keep
	return len(p), nil
}

func (c *capture) String() string {
	text := strings.TrimRight(strings.ToValidUTF8(string(c.kept), "\uFFFD"), "\n")
	if c.cut > 0 {
		text += fmt.Sprintf(" [and %d bytes]", c.cut)
	}
	return text
}
