package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench/standin"
)

// daemonProcess is the stand-in for the daemon. One goroutine uses it.
type daemonProcess struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan standin.Status // closed when the process has ended

	mu       sync.Mutex // guards verdicts
	verdicts []standin.Verdict
}

// buildStandIn builds the stand-in from the project's checkout into dir. Of this very program it would have all the pages in its memory that the lab needs, and the daemon does not.
func buildStandIn(ctx context.Context, checkout, dir string) (string, error) {
	binary := filepath.Join(dir, "standin")
	cmd := exec.CommandContext(ctx, filepath.Join(checkout, "packaging", "go"), "build", "-C", checkout, "-o", binary, "./cmd/virtsentry-lab/standin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the daemon's stand-in (run it at the top of the project's checkout, after make deps): %w: %s", err, strings.TrimSpace(string(out)))
	}
	return binary, nil
}

// startDaemon starts the stand-in, whose files are in dir.
func startDaemon(binary, dir string) (*daemonProcess, error) {
	d := &daemonProcess{cmd: exec.Command(binary, dir), answers: make(chan standin.Status, 1)}
	d.cmd.Stderr = os.Stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process, which ends it
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	go d.read(out)
	return d, nil
}

func (d *daemonProcess) read(out io.Reader) {
	defer close(d.answers)
	for s := bufio.NewScanner(out); s.Scan(); {
		line := s.Text()
		if strings.HasPrefix(line, "u ") {
			var v standin.Verdict
			if _, err := fmt.Sscanf(line+"\n", standin.Form, &v.UUID, &v.Start, &v.Duration, &v.Lost, &v.Judged, &v.After); err == nil {
				d.mu.Lock()
				d.verdicts = append(d.verdicts, v)
				d.mu.Unlock()
			}
			continue
		}
		var a standin.Status
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			a.Error = err.Error()
		}
		d.answers <- a
	}
}

// daemonPatience bounds an answer.
const daemonPatience = time.Minute

// tell gives the daemon a command and returns its answer.
func (d *daemonProcess) tell(format string, args ...any) (standin.Status, error) {
	line := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(d.in, line+"\n"); err != nil {
		return standin.Status{}, fmt.Errorf("the daemon: %s: %w", line, err)
	}
	select {
	case a, ok := <-d.answers:
		switch {
		case !ok:
			return a, fmt.Errorf("the daemon: %s: it has ended", line)
		case a.Error != "":
			return a, fmt.Errorf("the daemon: %s: %s", line, a.Error)
		}
		return a, nil
	case <-time.After(daemonPatience):
		return standin.Status{}, fmt.Errorf("the daemon: %s: no answer", line)
	}
}

// until waits until its status is as wanted.
func (d *daemonProcess) until(ctx context.Context, limit time.Duration, what string, f func(standin.Status) bool) error {
	for end := time.Now().Add(limit); ; {
		s, err := d.tell("status")
		if err != nil {
			return err
		}
		if f(s) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the daemon: not all domains are %s after %v: %+v", what, limit, s)
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// take returns the verdicts so far, and forgets them.
func (d *daemonProcess) take() []standin.Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.verdicts
	d.verdicts = nil
	return list
}

// end ends the daemon, as SIGTERM would virtsentryd.
func (d *daemonProcess) end() error {
	kill := time.AfterFunc(daemonPatience, func() { _ = d.cmd.Process.Kill() })
	defer kill.Stop()
	err := d.in.Close()
	for range d.answers { //nolint:revive // until it has ended
	}
	if waitErr := d.cmd.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("the daemon: %w", waitErr))
	}
	return err
}
