package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// tcgOnly are trace points that exist under TCG alone or tell of QEMU's
// inner plumbing: nearly all hits, and nothing about devices.
var tcgOnly = []string{
	"qemu:exec_tb*", "qemu:translate_block", "qemu:qemu_mutex_*", "qemu:lockcnt_*", "qemu:object_*",
	"qemu:qemu_memalign", "qemu:qemu_vfree", "qemu:memory_notdirty*",
}

// settle is how long load and attack run before a recording begins.
const settle = 6 * time.Second

// Recording is the trace of one scenario.
type Recording struct {
	// Scenario is Everyday, normal, idle, an attack with its side such as
	// synflood_target, or a stress such as stress_io.
	Scenario string
	For      time.Duration
	Output   string // the trace becomes its directory named as the scenario
	All      bool   // all device trace points instead of the catalogue's
	Rate     int    // of an attack, 0: its default
	Load     Load   // of the scenarios with load; its guest is the recorded one
	Pace     int    // of everyday: how many times as often its jobs run, 0: 1

	set string // the feature set whose trace points are recorded; empty: the default one
}

// scenario is what a recording's name means.
type scenario struct {
	load     bool
	everyday bool
	attack   *Attack
	stress   *Stress
}

// Scenarios lists the names that can be recorded, but for [Everyday]: those
// that are made of load, one attack or one stress alone.
func Scenarios() []string {
	names := []string{"normal", "idle"}
	for _, a := range AttackNames() {
		names = append(names, a+"_"+string(Target), a+"_"+string(Source))
	}
	for _, k := range StressKinds() {
		if k != "idle" {
			names = append(names, "stress_"+k)
		}
	}
	slices.Sort(names)
	return names
}

func parseScenario(name string) (scenario, error) {
	if name == Everyday {
		return scenario{load: true, everyday: true}, nil
	}
	if !slices.Contains(Scenarios(), name) {
		return scenario{}, fmt.Errorf("scenario %q: want %s or one of %s", name, Everyday, strings.Join(Scenarios(), ", "))
	}
	switch kind, rest, _ := strings.Cut(name, "_"); {
	case name == "normal":
		return scenario{load: true}, nil
	case name == "idle":
		return scenario{}, nil
	case kind == "stress":
		return scenario{stress: &Stress{Kind: rest}}, nil
	default:
		return scenario{load: true, attack: &Attack{Name: kind, Side: Side(rest)}}, nil
	}
}

// Record plays a scenario and records the guest's QEMU meanwhile. It returns
// the directory of the trace. What it starts it ends; a load that was started
// with [Lab.StartLoad] is used where the scenario wants one.
func (l *Lab) Record(ctx context.Context, r Recording) (string, error) {
	return l.record(ctx, r, func(ctx context.Context, pid int, dir string) error { return l.trace(ctx, pid, r, dir) })
}

// record plays a scenario, during which observe records the guest's QEMU for the recording's span, into dir.
func (l *Lab) record(ctx context.Context, r Recording, observe func(ctx context.Context, pid int, dir string) error) (string, error) {
	sc, err := parseScenario(r.Scenario)
	if err != nil {
		return "", err
	}
	if err := checkFor(r.For); err != nil {
		return "", err
	}
	if r.Pace < 0 {
		return "", fmt.Errorf("pace %d: want 1 or more", r.Pace)
	}
	if r.Load.Guest == "" {
		r.Load.Guest = DefaultGuest
	}
	dir, err := filepath.Abs(filepath.Join(r.Output, r.Scenario))
	if err != nil {
		return "", fmt.Errorf("record %s: %w", r.Scenario, err)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("record %s: %s is there already", r.Scenario, dir)
	}
	unlock, err := l.tryLock("record")
	if err != nil {
		return "", fmt.Errorf("record %s: %w", r.Scenario, err)
	}
	defer unlock()
	if err := l.playAndRecord(ctx, r, sc, dir, observe); err != nil {
		return "", fmt.Errorf("record %s: %w", r.Scenario, err)
	}
	return dir, nil
}

// playAndRecord runs load, attack and tracing side by side. Whichever fails
// ends all; the end of the tracing ends the others in good order.
func (l *Lab) playAndRecord(ctx context.Context, r Recording, sc scenario, dir string, observe func(context.Context, int, string) error) error {
	pid, err := l.GuestPID(r.Load.Guest)
	if err != nil {
		return err
	}
	var repository string
	if sc.everyday {
		if repository, err = l.packageRepository(ctx); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	playing, finish := context.WithCancel(ctx)
	play := func(f func(context.Context) error) {
		group.Go(func() error {
			err := f(playing)
			if complete := ctx.Err() == nil && playing.Err() != nil; complete {
				return nil // it was ended, which it reports as an error
			}
			return err
		})
	}
	span := r.For + 2*settle + 30*time.Second // longer than the trace, yet bounded
	if sc.load && !l.loadRuns() {
		play(func(ctx context.Context) error {
			r.Load.For = span
			_, err := l.Load(ctx, r.Load)
			return err
		})
	}
	if sc.attack != nil {
		a := *sc.attack
		a.For, a.Rate, a.Guest = span, r.Rate, r.Load.Guest
		play(func(ctx context.Context) error { return l.Attack(ctx, a) })
	}
	if sc.everyday {
		e := everyday{
			guest: r.Load.Guest, seed: r.Load.Seed, span: settle + r.For, pace: max(1, r.Pace), log: dir + ".log",
		}
		play(func(ctx context.Context) error { return l.playEveryday(ctx, e, repository) })
	}
	if sc.stress != nil {
		s := *sc.stress
		s.For, s.Guest = span, r.Load.Guest
		play(func(ctx context.Context) error { return l.Stress(ctx, s) })
	}
	group.Go(func() error {
		defer finish()
		if err := sleep(ctx, settle); err != nil {
			return err
		}
		return observe(ctx, pid, dir)
	})
	return group.Wait()
}

func (l *Lab) loadRuns() bool {
	st, err := l.loadState()
	if err != nil {
		return false
	}
	p := st.proc(loadProc)
	return p != nil && p.Alive()
}

// sessionName is the lab's only LTTng session: Down finds it by its name.
func (l *Lab) sessionName() string { return l.name + "-record" }

func (l *Lab) trace(ctx context.Context, pid int, r Recording, dir string) error {
	return l.tracing(ctx, pid, r, dir, func(ctx context.Context) error {
		l.log.Infof("recording %s for %v into %s", r.Scenario, r.For, dir)
		return sleep(ctx, r.For)
	})
}

// tracing records a process while f runs.
func (l *Lab) tracing(ctx context.Context, pid int, r Recording, dir string, f func(context.Context) error) (err error) {
	set, err := catalogue.Load(cmp.Or(r.set, catalogue.DefaultSet))
	if err != nil {
		return err
	}
	cfg := lttng.Config{
		Name: l.sessionName(), Output: dir, PID: pid, Events: set.TracePoints(),
		// Room for floods: nothing may be lost in a trace that is kept.
		SubBufferBytes: 1 << 20, SubBuffers: 8,
	}
	if r.All {
		cfg.Events, cfg.Exclude = []string{"qemu:*"}, tcgOnly
	}
	if err := lttng.DestroySession(cfg.Name); err != nil { // of a recorder that was killed
		return err
	}
	s, err := lttng.NewSession(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Destroy()) }()
	if err := s.Start(); err != nil {
		return err
	}
	waitErr := f(ctx)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(waitErr, s.Stop(stop))
}
