package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/virtsentry/virtsentry/lttng"
)

// tracer is a session daemon with the consumer daemons that it starts.
type tracer struct {
	pid int
	cmd *exec.Cmd // nil: somebody else has started it
}

// startTracer starts a session daemon where none answers. The caller is in namespaces of its own (Private).
func startTracer(ctx context.Context) (*tracer, error) {
	if lttng.Alive() {
		return nil, errors.New("start lttng-sessiond: one answers already, and what others trace would be measured, too: end it first")
	}
	cmd := exec.Command("lttng-sessiond", "--no-kernel") // no module is loaded
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process, which ends it
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start lttng-sessiond (apt-get install lttng-tools): %w", err)
	}
	t := &tracer{pid: cmd.Process.Pid, cmd: cmd}
	for end := time.Now().Add(20 * time.Second); !lttng.Alive(); {
		if time.Now().After(end) {
			return nil, errors.Join(errors.New("start lttng-sessiond: it does not answer"), t.end())
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, errors.Join(err, t.end())
		}
	}
	return t, nil
}

// end ends the session daemon, which ends its consumer daemons.
func (t *tracer) end() error {
	if t == nil || t.cmd == nil {
		return nil
	}
	kill := time.AfterFunc(time.Minute, func() { _ = t.cmd.Process.Kill() })
	defer kill.Stop()
	if err := t.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("end lttng-sessiond: %w", err)
	}
	_ = t.cmd.Wait() // it ends with the signal's number
	return nil
}

// usage is what the session daemon takes, and what the consumer daemons do, each with their helpers.
func (t *tracer) usage() (sessiond, consumerd Usage, err error) {
	list, err := children(t.pid)
	if err != nil {
		return sessiond, consumerd, err
	}
	sessionds, consumers := []int{t.pid}, []int(nil)
	for _, pid := range list {
		if strings.HasPrefix(processName(pid), "lttng-consumer") {
			consumers = append(consumers, pid)
			more, err := children(pid)
			if err != nil {
				return sessiond, consumerd, err
			}
			consumers = append(consumers, more...)
		}
	}
	for _, pid := range list {
		if !slices.Contains(consumers, pid) {
			sessionds = append(sessionds, pid)
		}
	}
	if sessiond, err = usage(sessionds...); err != nil {
		return sessiond, consumerd, err
	}
	consumerd, err = usage(consumers...)
	return sessiond, consumerd, err
}

// sleep waits, or until ctx ends.
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
