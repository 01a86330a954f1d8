package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/cmd/internal/probe/kernel"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

// PriceFile is the name of what [Lab.MeasurePrices] writes into a directory.
const PriceFile = "prices.json"

// Prices is what is in [PriceFile].
type Prices struct {
	Format   int                `json:"format"` // 1
	Prices   []evaluation.Price `json:"prices"`
	Versions Versions           `json:"versions"`
}

// PriceRun is one measurement of what sources cost a guest.
type PriceRun struct {
	Output string        // directory of [PriceFile], which must not be there
	Guest  string        // DefaultGuest if empty
	Rounds int           // 6 if 0; fewer than that give no interval of 95 % confidence
	Each   time.Duration // of each measurement, 8 s if 0
	// Begun hears of each measurement's begin; it may be nil.
	Begun func(PriceProgress)
}

// PriceProgress is where a measurement has come to.
type PriceProgress struct {
	Workload, Arm string
	Number, All   int       // of the measurement from 1 on, and how many there are
	End           time.Time // of all, expected
}

// joint is between the names of sources that are observed together.
const joint = "+"

// priceArms are the ways to observe that are compared.
func (o observable) priceArms() []string {
	arms := append([]string{evaluation.Off}, o.files()...)
	var names []string
	for _, s := range o.kernel {
		names = append(names, string(s))
	}
	if slices.Contains(o.kernel, probe.Functions) {
		arms = append(arms, string(probe.Tap)+joint+string(probe.Functions))
	}
	return append(arms, strings.Join(names, joint), ArmStrace)
}

// ArmStrace is the paper's own way to count system calls (its section 4.3), for comparison.
const ArmStrace = "strace"

// priceOverhead is about what a measurement takes beside its own span.
const priceOverhead = 2 * time.Second

// MeasurePrices measures how fast a guest serves web pages and uses its disk while each source observes it and while none does, and writes that into a
// directory. Tap looks at no headers, as the daemon does unless told. Nothing else should run on the host; a load that was started is refused.
func (l *Lab) MeasurePrices(ctx context.Context, r PriceRun) (*Prices, error) {
	if r.Guest == "" {
		r.Guest = DefaultGuest
	}
	if r.Rounds == 0 {
		r.Rounds = 6
	}
	if r.Each == 0 {
		r.Each = 8 * time.Second
	}
	path := filepath.Join(r.Output, PriceFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("measure prices: %s is there already (%w)", path, err)
	}
	if l.loadRuns() {
		return nil, errors.New("measure prices: a load runs in the background; end it with load --stop")
	}
	o, err := l.observable()
	if err != nil {
		return nil, fmt.Errorf("measure prices: %w", err)
	}
	prices := &Prices{Format: 1}
	if prices.Versions, err = l.versions(ctx, o.files()); err != nil {
		return nil, fmt.Errorf("measure prices: %w", err)
	}
	unlock, err := l.tryLock("record")
	if err != nil {
		return nil, fmt.Errorf("measure prices: %w", err)
	}
	defer unlock()
	m := measurement{l: l, PriceRun: r, arms: o.priceArms()}
	for _, w := range workloads {
		price, err := m.workload(ctx, w)
		if err != nil {
			return nil, fmt.Errorf("measure prices: %s: %w", w.name, err)
		}
		prices.Prices = append(prices.Prices, price)
	}
	return prices, prices.write(path)
}

func (p *Prices) write(path string) error {
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode prices: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write prices: %w", err)
	}
	if err := writeFile(path, append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("write prices: %w", err)
	}
	return nil
}

// measurement is a PriceRun that goes on.
type measurement struct {
	l *Lab
	PriceRun
	arms []string
	done int
}

// workload measures one workload in all rounds.
func (m *measurement) workload(ctx context.Context, w workload) (evaluation.Price, error) {
	price := evaluation.Price{Workload: w.name, Unit: w.unit, Seconds: m.Each.Seconds(), Arms: m.arms}
	g, err := m.l.Guest(m.Guest)
	if err != nil {
		return price, err
	}
	if err := w.prepare(ctx, m.l, g); err != nil {
		return price, err
	}
	if _, err := w.run(ctx, m.l, g, 2*m.Each); err != nil { // warms up: the guest's caches, and under TCG what is translated already
		return price, err
	}
	for round := range m.Rounds {
		rates := make([]float64, len(m.arms))
		for i := range m.arms {
			at := (i + round) % len(m.arms)
			m.tell(w, m.arms[at])
			err := m.l.Observed(ctx, m.Guest, m.arms[at], func(ctx context.Context) (err error) {
				rates[at], err = w.run(ctx, m.l, g, m.Each)
				return err
			})
			if err != nil {
				return price, fmt.Errorf("round %d, %s: %w", round+1, m.arms[at], err)
			}
		}
		price.Rates = append(price.Rates, rates)
	}
	return price, price.Check()
}

func (m *measurement) tell(w workload, arm string) {
	all := len(workloads) * m.Rounds * len(m.arms)
	if m.Begun != nil {
		m.Begun(PriceProgress{
			Workload: w.name, Arm: arm, Number: m.done + 1, All: all,
			End: time.Now().Add(time.Duration(all-m.done) * (m.Each + priceOverhead)),
		})
	}
	m.done++
}

// ArmHeaders is [probe.Tap], with what the headers of packets tell.
const ArmHeaders = "tap-headers"

// Observed runs f while a guest is observed in one way: by nothing ([evaluation.Off]), sources of the kernel ("tap+syscalls"), recorded trace points of the
// default feature set ([FileDefault]), or [ArmStrace].
func (l *Lab) Observed(ctx context.Context, guest, arm string, f func(context.Context) error) error {
	if arm == evaluation.Off {
		return f(ctx)
	}
	pid, err := l.GuestPID(guest)
	if err != nil {
		return err
	}
	switch arm {
	case FileDefault:
		return l.traced(ctx, pid, f)
	case ArmStrace:
		return straced(ctx, pid, f)
	}
	offset, err := clockOffset()
	if err != nil {
		return err
	}
	options := kernel.Options{Offset: offset}
	var sources []probe.Source
	for name := range strings.SplitSeq(arm, joint) {
		if name == ArmHeaders {
			name, options.Headers = string(probe.Tap), true
		}
		sources = append(sources, probe.Source(name))
	}
	_, err = l.observe(ctx, guest, pid, sources, options, f)
	return err
}

// straced runs f while strace(1) counts the system calls of a process.
func straced(ctx context.Context, pid int, f func(context.Context) error) error {
	cmd := exec.CommandContext(ctx, "strace", "-f", "-c", "-o", os.DevNull, "-p", strconv.Itoa(pid))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // upon which it lets the process go
	cmd.WaitDelay = 5 * time.Second
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("strace: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended: // before it had anything to count
		return fmt.Errorf("strace ended: %w: %s", err, strings.TrimSpace(said.String()))
	case <-time.After(time.Second): // to attach to all threads
	}
	err := f(ctx)
	if signalErr := cmd.Process.Signal(os.Interrupt); signalErr != nil {
		return errors.Join(err, fmt.Errorf("strace ended early: %w", signalErr))
	}
	var exit *exec.ExitError // by the signal
	if waitErr := <-ended; waitErr != nil && !errors.As(waitErr, &exit) {
		err = errors.Join(err, fmt.Errorf("strace: %w", waitErr))
	}
	return err
}

// traced runs f while the default feature set's trace points are recorded; the trace is not kept.
func (l *Lab) traced(ctx context.Context, pid int, f func(context.Context) error) (err error) {
	dir, err := os.MkdirTemp(l.dir, "price-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return l.tracing(ctx, pid, Recording{Scenario: "price"}, dir, f)
}
