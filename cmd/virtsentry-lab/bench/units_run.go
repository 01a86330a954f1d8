package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// UnitsRun is one measurement of what it takes to obtain a unit of several guests at once.
type UnitsRun struct {
	Lab    *lab.Lab
	Guests []lab.TinyGuest // running
	Daemon string          // path of virtsentryd
	Reader []string        // command line for [lab.Lab.Read]
	Counts []int           // of guests that are observed at once
	Rounds int
	Done   int // rounds that were done before: the order goes on from there
	Units  int // of each measurement
	// Begun hears of each measurement's begin; it may be nil.
	Begun func(lab.PriceProgress)
	// Keep hears of each measurement.
	Keep func(UnitsTrial) error
}

// pingEvery is between the packets that each guest answers, so that its QEMU does something.
const pingEvery = 20 * time.Millisecond

// settleUnits are so many units after the begin of an observation that its first ones are over, which are not whole.
const settleUnits = 2 * unit.Width

// Measure measures the CPU time and the time that it takes to obtain a unit of so many guests at once, by each of [UnitsWays], in turns. All guests answer fifty pings
// a second meanwhile.
func (r UnitsRun) Measure(ctx context.Context) error {
	unlock, err := r.Lab.Alone()
	if err != nil {
		return fmt.Errorf("measure units: %w", err)
	}
	defer unlock()
	if len(r.Counts) == 0 || slices.Max(r.Counts) > len(r.Guests) || slices.Min(r.Counts) < 1 {
		return fmt.Errorf("measure units: %d guests, for %v at once", len(r.Guests), r.Counts)
	}
	group, ctx := errgroup.WithContext(ctx)
	pinging, finish := context.WithCancel(ctx)
	defer finish()
	for _, guest := range r.Guests {
		group.Go(func() error { return r.Lab.Ping(pinging, guest.Addr, pingEvery) })
	}
	group.Go(func() error {
		defer finish()
		return r.rounds(ctx)
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("measure units: %w", err)
	}
	return nil
}

func (r UnitsRun) rounds(ctx context.Context) error {
	var trials []UnitsTrial
	for _, n := range r.Counts {
		for _, way := range UnitsWays {
			trials = append(trials, UnitsTrial{Guests: n, Way: way})
		}
	}
	all := r.Rounds * len(trials)
	for i := range all {
		round := r.Done + i/len(trials)
		t := trials[(i+7*round)%len(trials)] // the order begins elsewhere each round
		if r.Begun != nil {
			left := time.Duration(all-i) * (time.Duration(r.Units)*unit.Width + settleUnits + 3*time.Second)
			r.Begun(lab.PriceProgress{Workload: fmt.Sprintf("%d guests", t.Guests), Arm: t.Way, Number: i + 1, All: all, End: time.Now().Add(left)})
		}
		found, err := r.trial(ctx, t.Way, r.Guests[:t.Guests])
		if err != nil {
			return fmt.Errorf("%d guests, %s: %w", t.Guests, t.Way, err)
		}
		found.Guests, found.Way, found.Round = t.Guests, t.Way, round
		if err := r.Keep(found); err != nil {
			return err
		}
	}
	return nil
}

func (r UnitsRun) trial(ctx context.Context, way string, guests []lab.TinyGuest) (UnitsTrial, error) {
	var names []string
	var pids []int
	for _, g := range guests {
		pid, err := r.Lab.GuestPID(g.Name)
		if err != nil {
			return UnitsTrial{}, err
		}
		names, pids = append(names, g.Name), append(pids, pid)
	}
	switch way {
	case WaySelected:
		return r.watched(ctx, names)
	case WayAll:
		return r.read(ctx, pids)
	case WayStrace:
		return r.straced(ctx, pids)
	}
	return UnitsTrial{}, fmt.Errorf("no way to observe: %s", way)
}

// unitsIn gathers units that come from several guests.
type unitsIn struct {
	want  int
	whole map[int64]int           // how many guests' units have come, by the unit's begin
	late  map[int64]time.Duration // after its end the last one came
	lossy int
}

func newUnitsIn(guests int) *unitsIn {
	return &unitsIn{want: guests, whole: make(map[int64]int), late: make(map[int64]time.Duration)}
}

func (in *unitsIn) add(start int64, elapsed time.Duration, lost uint64) {
	in.whole[start]++
	in.late[start] = max(in.late[start], elapsed)
	if lost > 0 {
		in.lossy++
	}
}

// trial is what came of units that all guests have, given the CPU time of a span.
func (in *unitsIn) trial(cpu, span time.Duration) (UnitsTrial, error) {
	var late []time.Duration
	for start, n := range in.whole {
		if n == in.want {
			late = append(late, in.late[start])
		}
	}
	if len(late) == 0 {
		return UnitsTrial{}, errors.New("no unit came of all guests")
	}
	slices.Sort(late)
	return UnitsTrial{
		CPU: cpu.Seconds() * unit.Width.Seconds() / span.Seconds(), Elapsed: late[len(late)/2].Seconds(), Units: len(late), Lossy: in.lossy,
	}, nil
}

// span measures the CPU time of a reader's process and of LTTng's daemons for the time of a trial's units.
func (r UnitsRun) span(ctx context.Context, reader int) (cpu, took time.Duration, err error) {
	pids, err := r.Lab.Tracers()
	if err != nil {
		return 0, 0, err
	}
	pids = append(pids, reader)
	before, err := clocks(pids)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := rest(ctx, time.Duration(r.Units)*unit.Width); err != nil {
		return 0, 0, err
	}
	after, err := clocks(pids)
	return after - before, time.Since(begin), err
}

// clocks adds up the CPU time of processes.
func clocks(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		t, err := Clock(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// watched has virtsentryd make the units.
func (r UnitsRun) watched(ctx context.Context, guests []string) (t UnitsTrial, err error) {
	w, err := r.Lab.Watch(ctx, r.Daemon, guests...)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.End()) }()
	if err := rest(ctx, settleUnits); err != nil {
		return t, err
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	in, ended := newUnitsIn(len(guests)), make(chan error, 1)
	go func() {
		ended <- w.Client.Units(listening, func(u control.UnitReport) error {
			if length := time.Duration(u.Duration * float64(time.Second)); length == unit.Width {
				in.add(u.Start.UnixNano(), time.Since(u.Start.Add(length)), u.Lost)
			}
			return nil
		})
	}()
	cpu, took, err := r.span(ctx, w.PID)
	stop()
	if endErr := <-ended; endErr != nil && !errors.Is(endErr, context.Canceled) {
		err = errors.Join(err, endErr)
	}
	if err != nil {
		return t, err
	}
	return in.trial(cpu, took)
}

// read has all trace points counted.
func (r UnitsRun) read(ctx context.Context, pids []int) (t UnitsTrial, err error) {
	reading, err := r.Lab.Read(r.Reader, pids...)
	if err != nil {
		return t, err
	}
	in, ended := newUnitsIn(len(pids)), make(chan struct{})
	begin := time.Now().Add(settleUnits)
	go func() {
		defer close(ended)
		for u := range reading.Units {
			if time.Now().After(begin) {
				in.add(u.Start, time.Duration(u.Elapsed*float64(time.Second)), u.Lost)
			}
		}
	}()
	var cpu, took time.Duration
	if err = rest(ctx, time.Until(begin)); err == nil {
		cpu, took, err = r.span(ctx, reading.PID)
	}
	err = errors.Join(err, reading.End())
	<-ended
	if err != nil {
		return t, err
	}
	return in.trial(cpu, took)
}

// straced has an strace(1) for each guest count its system calls for the time of a unit, and does so again for each unit: that is how the paper obtains one.
func (r UnitsRun) straced(ctx context.Context, pids []int) (UnitsTrial, error) {
	var late []time.Duration
	var cpu time.Duration
	for range r.Units {
		begin := time.Now()
		used := make([]time.Duration, len(pids))
		var group errgroup.Group
		for i, pid := range pids {
			group.Go(func() (err error) {
				used[i], err = r.Lab.StraceUnit(ctx, pid)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return UnitsTrial{}, err
		}
		late = append(late, time.Since(begin)-unit.Width)
		for _, u := range used {
			cpu += u
		}
	}
	slices.Sort(late)
	return UnitsTrial{CPU: cpu.Seconds() / float64(r.Units), Elapsed: late[r.Units/2].Seconds(), Units: r.Units}, nil
}
