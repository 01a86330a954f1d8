package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// ImpactRun is one measurement of what observing costs a guest.
type ImpactRun struct {
	Lab       *lab.Lab
	Guest     string        // [lab.DefaultGuest] if empty
	Daemon    string        // path of virtsentryd
	Reader    []string      // command line for [lab.Lab.Read]
	Workloads []string      // names; all if empty
	Ways      []string      // of ImpactArms; all if empty
	Rounds    int           // of each workload
	Done      int           // rounds that were done before: the order goes on from there
	Each      time.Duration // of work in each round, for each way
	// Begun hears of each measurement's begin; it may be nil.
	Begun func(lab.PriceProgress)
	// Keep hears of each workload after each round, with what this run has found of it up to then.
	Keep func(ImpactWorkload) error

	pid    int
	number int // of measurements begun
}

const (
	// impactSettle is after the begin and after the end of an observation: what happens in it is no part.
	impactSettle = 50 * time.Millisecond
	// impactSlow is the least time for which a way is on, or off, that takes long to begin.
	impactSlow = time.Second
	// clockEvery is how often QEMU's CPU time is read.
	clockEvery = 10 * time.Millisecond
)

// ImpactWorkloads lists the names of the sorts of work.
func ImpactWorkloads() []string {
	var names []string
	for _, t := range lab.Tasks() {
		names = append(names, t.Name)
	}
	return names
}

// Measure measures how much of QEMU's CPU time, and of time, a guest's work takes while the guest is observed in the ways of [ImpactArms], one after the other, again and
// again, and while it is not. QEMU has one CPU for itself meanwhile, where there are two: all else that takes part is on the others. Nothing else should run on the host.
func (r *ImpactRun) Measure(ctx context.Context) (err error) {
	r.Guest = cmp.Or(r.Guest, lab.DefaultGuest)
	for _, of := range []struct {
		what       string
		have, want *[]string
	}{{"workload", new(ImpactWorkloads()), &r.Workloads}, {"way to observe", &ImpactArms, &r.Ways}} {
		for _, name := range *of.want {
			if !slices.Contains(*of.have, name) {
				return fmt.Errorf("%s %q: want one of %s", of.what, name, strings.Join(*of.have, ", "))
			}
		}
		if len(*of.want) == 0 {
			*of.want = *of.have
		}
	}
	unlock, err := r.Lab.Alone()
	if err != nil {
		return fmt.Errorf("measure impact: %w", err)
	}
	defer unlock()
	if r.pid, err = r.Lab.GuestPID(r.Guest); err != nil {
		return fmt.Errorf("measure impact: %w", err)
	}
	together, err := r.Lab.SetApart(r.pid)
	if err != nil {
		return fmt.Errorf("measure impact: %w", err)
	}
	defer func() { err = errors.Join(err, together()) }()
	for _, t := range lab.Tasks() {
		if !slices.Contains(r.Workloads, t.Name) {
			continue
		}
		if err := r.task(ctx, t); err != nil {
			return fmt.Errorf("measure impact: %s: %w", t.Name, err)
		}
	}
	return nil
}

// task measures one task in all rounds.
func (r *ImpactRun) task(ctx context.Context, t lab.Task) error {
	if err := r.Lab.Prepare(ctx, r.Guest, t); err != nil {
		return err
	}
	w := ImpactWorkload{Name: t.Name, What: t.What, Unit: t.Unit, Ways: make(map[string]*ImpactWay)}
	var err error
	if w.Events, err = r.hits(ctx, t); err != nil { // it warms up, too: the guest's caches, and under TCG what is translated already
		return err
	}
	for round := range r.Rounds {
		for i := range r.Ways {
			arm := r.Ways[(i+round+r.Done)%len(r.Ways)]
			r.tell(t, arm)
			if err := r.way(ctx, t, arm, &w); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, arm, err)
			}
		}
		w.Rounds++
		if err := r.Keep(w); err != nil {
			return err
		}
	}
	return nil
}

// hits counts how often the default set's trace points are hit for a unit of work.
func (r *ImpactRun) hits(ctx context.Context, t lab.Task) (list []ImpactEvent, err error) {
	var work float64
	hits, err := r.Lab.Hits(ctx, r.Guest, func(ctx context.Context) error {
		done, err := r.Lab.Work(ctx, r.Guest, t, max(r.Each/4, 3*time.Second))
		if err != nil {
			return err
		}
		if work = done[len(done)-1].Work - done[0].Work; !(work > 0) {
			return errors.New("nothing was done")
		}
		return nil
	})
	for name, count := range hits {
		list = append(list, ImpactEvent{Name: name, Hits: float64(count) / work})
	}
	slices.SortFunc(list, func(a, b ImpactEvent) int { return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Name, b.Name)) })
	return list, err
}

func (r *ImpactRun) tell(t lab.Task, arm string) {
	all := r.Rounds * len(r.Ways) * len(r.Workloads)
	if r.Begun != nil {
		left := time.Duration(all-r.number) * (r.Each + 3*time.Second)
		r.Begun(lab.PriceProgress{Workload: t.Name, Arm: arm, Number: r.number + 1, All: all, End: time.Now().Add(left)})
	}
	r.number++
}

// toggle makes a way to observe ready, and says for how long at least it is to be on, or off.
func (r *ImpactRun) toggle(ctx context.Context, arm string) (lab.Toggle, time.Duration, error) {
	switch arm {
	case ArmNothing:
		return lab.ToggleNothing(), 0, nil
	case ArmSelected:
		t, err := r.Lab.ToggleDaemon(ctx, r.Daemon, r.Guest)
		return t, 0, err
	case ArmAll:
		t, err := r.Lab.ToggleAll(r.Reader, r.pid)
		return t, 0, err
	case ArmSyscalls:
		return r.Lab.ToggleObserved(r.Guest, string(probe.Syscalls)), impactSlow, nil
	case ArmStrace:
		return r.Lab.ToggleObserved(r.Guest, lab.ArmStrace), impactSlow, nil
	}
	return lab.Toggle{}, 0, fmt.Errorf("no way to observe: %s", arm)
}

// slice is a time in which the guest was observed, or not.
type slice struct {
	on         bool
	begin, end time.Time
}

// way measures one way while the task is worked at.
func (r *ImpactRun) way(ctx context.Context, t lab.Task, arm string, w *ImpactWorkload) error {
	toggle, least, err := r.toggle(ctx, arm)
	if err != nil {
		return err
	}
	found := w.Ways[arm]
	if found == nil {
		found = new(ImpactWay)
		w.Ways[arm] = found
	}
	return r.measure(ctx, t, toggle, least, found)
}

// measure adds pairs of slices with the observation on and off while the task is worked at, and ends the observation.
func (r *ImpactRun) measure(ctx context.Context, t lab.Task, toggle lab.Toggle, least time.Duration, found *ImpactWay) (err error) {
	defer func() {
		seen, lossy, closeErr := toggle.Close()
		found.Units, found.Lossy = found.Units+seen, found.Lossy+lossy
		err = errors.Join(err, closeErr)
	}()
	var done []lab.Done
	var slices []slice
	var clocks []cpuReading
	group, groupCtx := errgroup.WithContext(ctx)
	working, stop := context.WithCancel(groupCtx)
	group.Go(func() (err error) {
		defer stop()
		done, err = r.Lab.Work(groupCtx, r.Guest, t, r.Each)
		return err
	})
	group.Go(func() (err error) {
		clocks, err = readClock(working, r.pid)
		return err
	})
	group.Go(func() (err error) {
		slices, err = cut(working, toggle, max(t.Slice, least))
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	found.add(slices, done, clocks)
	return nil
}

// cut begins and ends an observation again and again until ctx ends: off, on, on, off, off, …, so that what drifts is in either alike.
func cut(ctx context.Context, t lab.Toggle, each time.Duration) (list []slice, err error) {
	on := false
	if err := t.Off(ctx); err != nil {
		return nil, over(ctx, err)
	}
	for i := 0; ; i++ {
		if want := i%4 == 1 || i%4 == 2; want != on {
			change := t.Off
			if want {
				change = t.On
			}
			if err := change(ctx); err != nil {
				return list, over(ctx, err)
			}
			on = want
		}
		if rest(ctx, impactSettle) != nil {
			return list, nil //nolint:nilerr // that is its end
		}
		s := slice{on: on, begin: time.Now()}
		if rest(ctx, each) != nil {
			return list, nil //nolint:nilerr // that is its end
		}
		s.end = time.Now()
		list = append(list, s)
	}
}

// over is no error where ctx has ended.
func over(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // what fails then fails because of that
	}
	return err
}

// cpuReading is the CPU time that a process had taken at a time.
type cpuReading struct {
	at  time.Time
	cpu time.Duration
}

// readClock reads the CPU time of a process until ctx ends.
func readClock(ctx context.Context, pid int) (list []cpuReading, err error) {
	for {
		cpu, err := Clock(pid)
		if err != nil {
			return nil, err
		}
		list = append(list, cpuReading{time.Now(), cpu})
		if rest(ctx, clockEvery) != nil {
			return list, nil //nolint:nilerr // that is its end
		}
	}
}

// cpuAt is the CPU time at a time, between two readings as if it was taken evenly. ok is false where there were none around it.
func cpuAt(list []cpuReading, t time.Time) (cpu float64, ok bool) {
	i, exact := slices.BinarySearchFunc(list, t, func(r cpuReading, t time.Time) int { return r.at.Compare(t) })
	switch {
	case exact:
		return list[i].cpu.Seconds(), true
	case i == 0 || i == len(list):
		return 0, false
	}
	a, b := list[i-1], list[i]
	part := t.Sub(a.at).Seconds() / b.at.Sub(a.at).Seconds()
	return a.cpu.Seconds() + part*(b.cpu-a.cpu).Seconds(), true
}

// add takes in pairs of slices, one off and the next one on or the other way round.
func (w *ImpactWay) add(list []slice, done []lab.Done, clocks []cpuReading) {
	for pair := range slices.Chunk(list, 2) {
		if len(pair) < 2 || pair[0].on == pair[1].on {
			continue
		}
		off, on := pair[0], pair[1]
		if off.on {
			off, on = on, off
		}
		offCost, ok := costOf(off, done, clocks)
		onCost, okOn := costOf(on, done, clocks)
		if ok && okOn {
			w.Pairs = append(w.Pairs, ImpactPair{Off: offCost, On: onCost})
		}
	}
}

// costOf is what a unit of work took in a slice, from the first to the last time in it at which it is known how far the work was.
func costOf(s slice, done []lab.Done, clocks []cpuReading) (c ImpactCost, ok bool) {
	var within []lab.Done
	for _, d := range done {
		if !d.At.Before(s.begin) && !d.At.After(s.end) {
			within = append(within, d)
		}
	}
	if len(within) < 2 {
		return c, false
	}
	first, last := within[0], within[len(within)-1]
	before, ok := cpuAt(clocks, first.At)
	after, okAfter := cpuAt(clocks, last.At)
	work := last.Work - first.Work
	if !ok || !okAfter || !(work > 0) || !(after > before) {
		return c, false
	}
	return ImpactCost{CPU: (after - before) / work, Seconds: last.At.Sub(first.At).Seconds() / work}, true
}
