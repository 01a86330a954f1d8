package lab

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/emulator"
)

// maxLoadRate bounds all sessions of one load together, in requests/s.
const maxLoadRate = 200

// Load is a number of visitors of a guest's auction site, or of clients of
// what else it serves.
type Load struct {
	Guest    string        // DefaultGuest if empty
	From     *Lab          // in whose network the visitors are, where the guest may have migrated to; nil: this one
	Sessions int           // 6 if 0
	Think    time.Duration // mean think time, 700 ms if 0
	Seed     uint64
	For      time.Duration // until the context ends if 0
	Shape    string        // see emulator.ParseShape; "constant" if empty
	// Report hears of the load's progress each second, if not nil.
	Report func(emulator.Stats)
}

// config checks the load and turns it into the emulator's terms.
func (ld Load) config() (emulator.Config, error) {
	if ld.Sessions == 0 {
		ld.Sessions = 6
	}
	if ld.Think == 0 {
		ld.Think = 700 * time.Millisecond
	}
	if ld.Shape == "" {
		ld.Shape = "constant"
	}
	if ld.For < 0 {
		return emulator.Config{}, fmt.Errorf("duration %v of the load is negative", ld.For)
	}
	shape, err := emulator.ParseShape(ld.Shape)
	if err != nil {
		return emulator.Config{}, fmt.Errorf("shape of the load: %w", err)
	}
	return emulator.Config{
		Sessions: ld.Sessions, Think: ld.Think, Seed: ld.Seed, Shape: shape, MaxRate: maxLoadRate,
	}, nil
}

// Load plays the visitors or clients, from inside the lab's network namespace, until
// their time is over or ctx ends; neither is an error.
func (l *Lab) Load(ctx context.Context, ld Load) (emulator.Stats, error) {
	if ld.Guest == "" {
		ld.Guest = DefaultGuest
	}
	cfg, err := ld.config()
	if err != nil {
		return emulator.Stats{}, err
	}
	g, err := l.Guest(ld.Guest)
	if err != nil {
		return emulator.Stats{}, err
	}
	s, err := serviceOf(g)
	if err != nil {
		return emulator.Stats{}, err
	}
	if ld.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ld.For)
		defer cancel()
	}
	if ld.From == nil {
		ld.From = l
	}
	stats, err := s.load(ctx, ld.From, g, cfg, ld.Report)
	if err != nil {
		return stats, fmt.Errorf("load on guest %s: %w", ld.Guest, err)
	}
	return stats, nil
}

// loadProc is the name of a detached load among the lab's processes.
const loadProc = "load"

// StartLoad starts program, which is to call [Lab.Load], as a process of the
// lab's own that outlives this one. Only one runs at a time; its output goes
// to DIR/log/load.out.
func (l *Lab) StartLoad(ctx context.Context, program string, args ...string) (Proc, error) {
	unlock, err := l.lock(ctx)
	if err != nil {
		return Proc{}, err
	}
	defer unlock()
	st, err := l.loadState()
	if err != nil {
		return Proc{}, err
	}
	if p := st.proc(loadProc); p != nil && p.Alive() {
		return *p, fmt.Errorf("start load: one runs already, as process %d", p.PID)
	}
	cmd := exec.Command(program, args...)
	return l.startDaemon(st, loadProc, cmd, func() error { return l.inside(cmd.Start) })
}

// StopLoad ends the detached load. None is no error.
func (l *Lab) StopLoad(ctx context.Context) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	st, err := l.loadState()
	if err != nil {
		return err
	}
	p := st.proc(loadProc)
	if p == nil {
		return nil
	}
	if err := terminate(ctx, []Proc{*p}, killDelay); err != nil {
		return err
	}
	st.dropProc(loadProc)
	return l.saveState(st)
}
