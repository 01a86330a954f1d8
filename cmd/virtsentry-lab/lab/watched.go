package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// attachLimit is how long a daemon may take until it observes guests.
const attachLimit = 30 * time.Second

// daemonConfig has a daemon watch some guests of a lab, and keep what it makes in a directory. All else is as the daemon's defaults have it.
var daemonConfig = template.Must(template.New("").Parse(`[libvirt]
uri = "{{.URI}}"
run_dir = "{{.Run}}"
[lttng]
output_dir = "{{.Dir}}/traces"
[profiles]
dir = "{{.Dir}}/profiles"
[history]
file = "{{.Dir}}/history.db"
[control]
socket = "{{.Dir}}/control.sock"
[hooks]
dir = "{{.Dir}}/hooks.d"
pokes = "{{.Dir}}/pokes"
[log]
level = "warning"
[[domain]]
name = "*"
watch = false
{{range .Guests -}}
[[domain]]
name = "{{.}}"
watch = true
{{end -}}
`))

// Watching is a virtsentryd that watches guests of a lab.
type Watching struct {
	Client *control.Client
	PID    int

	dir  string
	cmd  *exec.Cmd
	said bytes.Buffer // read after its end
	done chan error
}

// Watch starts program, a virtsentryd, and waits until it observes the guests. End must be called.
func (l *Lab) Watch(ctx context.Context, program string, guests ...string) (_ *Watching, err error) {
	dir, err := os.MkdirTemp(l.dir, "watch-")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	w := &Watching{dir: dir, Client: control.NewClient(filepath.Join(dir, "control.sock")), done: make(chan error, 1)}
	var text bytes.Buffer
	err = errors.Join(
		daemonConfig.Execute(&text, map[string]any{"URI": l.URI(), "Run": l.RunLibvirt(), "Dir": dir, "Guests": guests}),
		os.WriteFile(w.path("virtsentryd.toml"), text.Bytes(), 0o600),
	)
	w.cmd = exec.Command(program, "--config", w.path("virtsentryd.toml"))
	w.cmd.Stderr, w.cmd.Dir = &w.said, "/"
	ownGroup(w.cmd) // what is meant for the lab's command does not reach it: it is ended in order
	w.cmd.Cancel = nil
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), os.RemoveAll(dir))
	}
	w.PID = w.cmd.Process.Pid
	go func() { w.done <- w.cmd.Wait() }()
	if err := w.attached(ctx, guests); err != nil {
		return nil, errors.Join(err, w.End())
	}
	return w, nil
}

func (w *Watching) path(name string) string { return filepath.Join(w.dir, name) }

// attached waits until all guests are observed.
func (w *Watching) attached(ctx context.Context, guests []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, attachLimit, errors.New("it takes too long"))
	defer cancel()
	for _, guest := range guests {
		for {
			d, err := w.Client.Domain(ctx, guest)
			if err == nil && len(d.Sources) > 0 && d.State != "blind" {
				for _, s := range d.Sources {
					if s.Error != "" {
						return fmt.Errorf("observe guest %s: %s: %s", guest, s.Name, s.Error)
					}
				}
				break
			}
			if sleepErr := sleep(ctx, 50*time.Millisecond); sleepErr != nil {
				return fmt.Errorf("observe guest %s, state %q: %w", guest, d.State, errors.Join(context.Cause(ctx), err))
			}
		}
	}
	return nil
}

// End ends the daemon and removes what it has made.
func (w *Watching) End() error {
	err := w.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	timeout := time.AfterFunc(30*time.Second, func() { _ = w.cmd.Process.Kill() })
	waitErr := <-w.done
	timeout.Stop()
	if err = errors.Join(err, waitErr); err != nil {
		err = fmt.Errorf("virtsentryd: %w: %s", err, strings.TrimSpace(tail(w.said.Bytes())))
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}
