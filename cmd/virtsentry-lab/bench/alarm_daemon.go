package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/model"
)

// alarmCalm is how many usual units there must be before an attack: what one before has left behind, such as answers that the guest sends again and again, is over then.
const alarmCalm = 5

// alarmDaemon is a virtsentryd of the benchmark's own. Its owner ends it.
type alarmDaemon struct {
	binary, dir string
	cmd         *exec.Cmd
	ended       chan struct{} // closed when it is gone
	client      *control.Client
}

// startAlarmDaemon starts a daemon that watches the guests of a lab and keeps all that it writes in dir, but for profiles.
func startAlarmDaemon(l *lab.Lab, binary, dir, profiles string, units int) (*alarmDaemon, error) {
	d := &alarmDaemon{binary: binary, dir: dir, ended: make(chan struct{}), client: control.NewClient(filepath.Join(dir, "control.sock"))}
	text := fmt.Sprintf("[libvirt]\nuri = %q\nrun_dir = %q\n[lttng]\noutput_dir = %q\n[sources]\nsocket = %q\n[learning]\nunits = %d\nmax_units = %[5]d\nstarting = \"10s\"\n"+
		"[profiles]\ndir = %q\n[history]\nfile = %q\n[control]\nsocket = %q\n[hooks]\ndir = %q\npokes = %q\n",
		l.URI(), l.RunLibvirt(), filepath.Join(dir, "traces"), filepath.Join(dir, "probe.sock"), units, profiles, filepath.Join(dir, "history.db"),
		filepath.Join(dir, "control.sock"), filepath.Join(dir, "hooks.d"), filepath.Join(dir, "pokes"))
	if err := os.WriteFile(d.config(), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("start virtsentryd: %w", err)
	}
	log, err := os.Create(d.log())
	if err != nil {
		return nil, fmt.Errorf("start virtsentryd: %w", err)
	}
	defer func() { _ = log.Close() }()
	d.cmd = exec.Command(binary, "--config", d.config())
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C is for this process, which then ends it
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start virtsentryd: %w", err)
	}
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait() // end says how it ended
	}()
	return d, nil
}

func (d *alarmDaemon) config() string { return filepath.Join(d.dir, "virtsentryd.toml") }

func (d *alarmDaemon) log() string { return filepath.Join(d.dir, "virtsentryd.log") }

// gone is the error of a daemon that has ended.
func (d *alarmDaemon) gone() error {
	return fmt.Errorf("virtsentryd has ended (%v): %s", d.cmd.ProcessState, d.said())
}

// said is the end of the daemon's log.
func (d *alarmDaemon) said() string {
	text, err := os.ReadFile(d.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}

// end ends it in order, and by force after a minute; then nothing of it is left either.
func (d *alarmDaemon) end() error {
	select {
	case <-d.ended:
		return errors.Join(d.gone(), d.sweep())
	default:
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // gone is as good
	select {
	case <-d.ended:
		if !d.cmd.ProcessState.Success() {
			return errors.Join(d.gone(), d.sweep())
		}
		return nil
	case <-time.After(time.Minute):
		_ = d.cmd.Process.Kill()
		<-d.ended
		return errors.Join(errors.New("virtsentryd did not end within a minute and was killed"), d.sweep())
	}
}

// sweep ends the recording sessions of a daemon that did not end in order.
func (d *alarmDaemon) sweep() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, d.binary, "--config", d.config(), "--stopped").CombinedOutput(); err != nil {
		return fmt.Errorf("clean up after virtsentryd: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// learn waits until a profile of the guest is in force and the guest normal. It returns the number of units that the profile was learnt from.
func (d *alarmDaemon) learn(ctx context.Context, guest string, units int, report func(string)) (learnt int, err error) {
	limit := 3*time.Minute + 2*time.Duration(units)*model.Width
	err = d.follow(ctx, guest, limit, func(s control.DomainStatus) bool {
		learnt = s.LearntUnits
		report(fmt.Sprintf("the guest is learnt: %s, %d of %d units", s.State, s.LearntUnits, units))
		return s.Profile && s.State == stateNormal
	})
	return learnt, err
}

// calm waits until the guest is normal and has had some usual units in a row. ok is false where it is anomalous instead.
func (d *alarmDaemon) calm(ctx context.Context, guest string) (ok bool, err error) {
	usual, last := 0, time.Time{}
	err = d.follow(ctx, guest, alarmPatience, func(s control.DomainStatus) bool {
		switch u := s.Last; {
		case u == nil || u.Start.Equal(last):
		case !u.Judged || u.Anomalous || s.State != stateNormal:
			usual, last = 0, u.Start
		default:
			usual, last = usual+1, u.Start
		}
		ok = usual >= alarmCalm
		return ok || s.State == stateAnomalous
	})
	return ok, err
}

// follow looks at what the daemon says of the guest, a few times a unit, until f says true.
func (d *alarmDaemon) follow(ctx context.Context, guest string, limit time.Duration, f func(control.DomainStatus) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not after %v", limit))
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var state string
	for {
		s, err := d.client.Domain(ctx, guest)
		switch {
		case err != nil: // until the daemon has begun, nobody answers
			state = err.Error()
		case f(s):
			return nil
		default:
			state = s.State
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return d.gone()
		case <-ctx.Done():
			return fmt.Errorf("wait for guest %s to be normal: %w; virtsentryd says: %s; its log: %s", guest, context.Cause(ctx), state, d.said())
		}
	}
}
