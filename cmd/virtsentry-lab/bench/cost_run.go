package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

// CostRun is one calibration: what combinations of sources cost a guest with several workloads.
type CostRun struct {
	Lab       *lab.Lab
	Guest     string        // [lab.DefaultGuest] if empty
	Daemon    string        // path of virtsentryd
	Reader    []string      // command line for [lab.Lab.Read]
	Workloads []string      // names; [CostWorkloads] if empty
	Apart     []string      // workloads with which all is held out
	Sources   []string      // names as package price has them; [CostSources.Usual] if empty
	Fit, Held int           // combinations of each workload, as [cost.Design] has them
	Each      time.Duration // of work for each combination
	// Done are observations that were made before: their combinations are not measured again.
	Done []cost.Observation
	// Begun hears of each measurement's begin; it may be nil.
	Begun func(lab.PriceProgress)
	// Again hears why a measurement is made once more; it may be nil.
	Again func(error)
	// Keep hears of each observation when it has been made.
	Keep func(cost.Observation) error

	impact    ImpactRun // whose guest, toggles and slices are used
	number    int
	left, all int
	misses    int // combinations in a row that could not be measured
}

// workRates is how many events there are for each unit of work, by kind.
type workRates map[string]float64

// CostSources are the sources that are there in a lab.
type CostSources struct {
	Can     []string          // those that can be calibrated
	Usual   []string          // of these, what a calibration is made of: the groups of trace points that are not in it are told by those that are
	Without map[string]string // those that cannot be, and why
}

// FindCostSources looks at what sees a lab's guests.
func FindCostSources(l *lab.Lab) (c CostSources, err error) {
	kernel, cannot, err := l.KernelSources()
	if err != nil {
		return c, err
	}
	c.Without = map[string]string{price.GuestCalls: "the lab's guests have no stub of QEMU's open, by which a guest is stopped at its system calls"}
	for name, why := range cannot {
		c.Without[string(name)] = why
	}
	c.Usual = []string{price.UST, price.AllProbes, memoryGroup}
	for _, s := range kernel {
		c.Usual = append(c.Usual, string(s))
		if s == probe.Tap {
			c.Usual = append(c.Usual, price.TapHeaders)
		}
	}
	c.Can = slices.Clone(c.Usual)
	for _, name := range price.Groups() {
		if name := price.GroupPrefix + name; !slices.Contains(c.Can, name) {
			c.Can = append(c.Can, name)
		}
	}
	return c, nil
}

// memoryGroup is the group that the default set has no part of.
const memoryGroup = price.GroupPrefix + "memory"

// The sorts of work of a calibration, and those with which all is held out. The latter have their own mixture of what the former have apart from each other:
// a data base computes and writes, and kept connections have other packets for each page.
var (
	CostWorkloads = []string{"cpu", "disk", "web"}
	CostApart     = []string{"database", "kept"}
)

// costTask finds a sort of work.
func costTask(name string) (t lab.Task, err error) {
	all := append(lab.Tasks(), lab.Kept())
	i := slices.IndexFunc(all, func(t lab.Task) bool { return t.Name == name })
	if i < 0 {
		return t, fmt.Errorf("workload %q: want some of %s", name, strings.Join(CostTasks(), ", "))
	}
	return all[i], nil
}

// CostTasks lists the names of all sorts of work.
func CostTasks() []string { return append(ImpactWorkloads(), lab.Kept().Name) }

// design is what there is to measure, by workload, in an order that has nothing to do with what is to be expected.
func (r *CostRun) design() (todo map[string][]cost.Run, err error) {
	runs, err := cost.Design(cost.Factors{
		Sources: r.Sources, Workloads: r.Workloads, Apart: r.Apart, Fit: r.Fit, Held: r.Held, Exclude: price.Exclude,
	})
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(1, uint64(len(runs)))) //nolint:gosec // an order, and the same when it goes on
	random.Shuffle(len(runs), func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
	todo = make(map[string][]cost.Run)
	r.all, r.left = len(runs), 0
	for _, run := range runs {
		if !slices.ContainsFunc(r.Done, func(x cost.Observation) bool { return isOf(x, run) }) {
			todo[run.Workload] = append(todo[run.Workload], run)
			r.left++
		}
	}
	return todo, nil
}

// isOf says whether an observation is the one that a design asks for.
func isOf(x cost.Observation, run cost.Run) bool {
	return x.Workload == run.Workload && x.HeldOut == run.HeldOut && slices.Equal(x.Sources, run.Sources)
}

// Measure measures all combinations of the design that were not measured before, as [ImpactRun.Measure] does. What cannot be measured does not keep it from the
// rest, and is an error in the end. Nothing else should run on the host.
func (r *CostRun) Measure(ctx context.Context) (err error) {
	r.Guest = cmp.Or(r.Guest, lab.DefaultGuest)
	there, err := FindCostSources(r.Lab)
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	if len(r.Sources) == 0 {
		r.Sources = there.Usual
	}
	if len(r.Workloads) == 0 {
		r.Workloads = CostWorkloads
	}
	for _, name := range r.Sources {
		switch why := there.Without[name]; {
		case why != "":
			return fmt.Errorf("calibrate: source %q cannot be calibrated in this lab: %s", name, why)
		case !slices.Contains(there.Can, name):
			return fmt.Errorf("calibrate: source %q: want some of %s", name, strings.Join(there.Can, ", "))
		}
	}
	for _, name := range slices.Concat(r.Workloads, r.Apart) {
		if _, err := costTask(name); err != nil {
			return fmt.Errorf("calibrate: %w", err)
		}
	}
	todo, err := r.design()
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	unlock, err := r.Lab.Alone()
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	defer unlock()
	r.impact = ImpactRun{Lab: r.Lab, Guest: r.Guest, Daemon: r.Daemon, Reader: r.Reader, Each: r.Each}
	if r.impact.pid, err = r.Lab.GuestPID(r.Guest); err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	together, err := r.Lab.SetApart(r.impact.pid)
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	defer func() { err = errors.Join(err, together()) }()
	var failed []error
	for _, name := range slices.Concat(r.Workloads, r.Apart) {
		if len(todo[name]) == 0 {
			continue
		}
		errs, err := r.task(ctx, name, todo[name])
		if err != nil {
			return fmt.Errorf("calibrate: %w", err)
		}
		failed = append(failed, errs...)
	}
	if len(failed) > 0 {
		return fmt.Errorf("calibrate: of %d combinations %d could not be measured; run it again to measure these: %w", r.all, len(failed), errors.Join(failed...))
	}
	return nil
}

// task measures combinations with one workload, and says of which that failed. It is first seen how many events the work has.
func (r *CostRun) task(ctx context.Context, name string, runs []cost.Run) (failed []error, err error) {
	t, err := costTask(name)
	if err != nil {
		return nil, err
	}
	if err := r.Lab.Prepare(ctx, r.Guest, t); err != nil {
		return nil, err
	}
	var rates workRates
	err = r.again(ctx, t.Name+", its events", func() (err error) {
		rates, err = r.count(ctx, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		r.tell(run)
		var x cost.Observation
		err := r.again(ctx, t.Name+", "+strings.Join(run.Sources, "+"), func() (err error) {
			x, err = r.cell(ctx, t, run, rates)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return nil, cmp.Or(err, ctx.Err())
		case err != nil:
			failed = append(failed, err)
			if r.misses++; r.misses >= mostMisses {
				return nil, fmt.Errorf("%d combinations in a row could not be measured; run it again with a lab that is made anew: %w", r.misses, errors.Join(failed...))
			}
			continue
		}
		r.misses = 0
		if err := r.Keep(x); err != nil {
			return nil, err
		}
	}
	return failed, nil
}

// mostMisses is how many combinations in a row may fail until it is the lab that has: LTTng's consumer daemon may have died, and nothing but another session daemon
// brings a new one.
const mostMisses = 2

// attempts is how often a measurement is begun: a calibration takes long, and a tracer that is late on a busy host is no reason to lose it.
const attempts = 3

// again measures, and again where that fails.
func (r *CostRun) again(ctx context.Context, name string, measure func() error) (err error) {
	for i := range attempts {
		if err = measure(); err == nil || ctx.Err() != nil {
			return err
		}
		err = fmt.Errorf("%s: %w", name, err)
		if i < attempts-1 && r.Again != nil {
			r.Again(err)
		}
	}
	return err
}

// cell measures one combination with one workload.
func (r *CostRun) cell(ctx context.Context, t lab.Task, run cost.Run, rates workRates) (cost.Observation, error) {
	toggle, least, err := r.toggle(ctx, run.Sources)
	if err != nil {
		return cost.Observation{}, err
	}
	var way ImpactWay
	if err := r.impact.measure(ctx, t, toggle, least, &way); err != nil {
		return cost.Observation{}, err
	}
	return observation(run, &way, rates)
}

func (r *CostRun) tell(run cost.Run) {
	if r.Begun != nil {
		left := time.Duration(r.left-r.number) * (r.Each + aside)
		r.Begun(lab.PriceProgress{
			Workload: run.Workload, Arm: strings.Join(run.Sources, "+"), Number: r.all - r.left + r.number + 1, All: r.all, End: time.Now().Add(left),
		})
	}
	r.number++
}

// aside is what a combination takes beside the work.
const aside = 2 * time.Second

// costSlow is the least time for which the kernel's sources are on, or off: they take tens of milliseconds to begin. The shorter, the more pairs there are, and the less
// the host's own noise changes between the two of one.
const costSlow = 300 * time.Millisecond

// ReaderEvents is the flag by which a command for [lab.Lab.Read] is told which trace points to count.
const ReaderEvents = "events"

// toggle makes a combination of sources ready.
func (r *CostRun) toggle(ctx context.Context, sources []string) (t lab.Toggle, least time.Duration, err error) {
	var list []lab.Toggle
	var kernel, events []string
	defer func() {
		if err != nil {
			for _, t := range list {
				_, _, closeErr := t.Close()
				err = errors.Join(err, closeErr)
			}
		}
	}()
	for _, s := range sources {
		arm := map[string]string{price.UST: ArmSelected, price.AllProbes: ArmAll}[s]
		group, isGroup := strings.CutPrefix(s, price.GroupPrefix)
		switch {
		case arm != "":
			one, _, err := r.impact.toggle(ctx, arm)
			if err != nil {
				return t, 0, err
			}
			list = append(list, one)
		case isGroup:
			events = append(events, price.GroupEvents(group)...)
		default:
			kernel = append(kernel, s)
		}
	}
	if len(events) > 0 { // of all groups together, as an action has them
		slices.Sort(events)
		one, err := r.Lab.ToggleAll(append(slices.Clone(r.Reader), "--"+ReaderEvents+"="+strings.Join(slices.Compact(events), ",")), r.impact.pid)
		if err != nil {
			return t, 0, err
		}
		list = append(list, one)
	}
	if len(kernel) > 0 {
		list, least = append(list, r.Lab.ToggleObserved(r.Guest, strings.Join(kernel, "+"))), costSlow
	}
	return together(list), least, nil
}

// together is several ways to observe, all on or all off.
func together(list []lab.Toggle) lab.Toggle {
	type change = func(context.Context) error
	all := func(of func(lab.Toggle) change) change {
		return func(ctx context.Context) error {
			for _, t := range list {
				if err := of(t)(ctx); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return lab.Toggle{
		On:  all(func(t lab.Toggle) change { return t.On }),
		Off: all(func(t lab.Toggle) change { return t.Off }),
		Close: func() (seen, lossy uint64, err error) {
			for _, t := range list {
				s, l, closeErr := t.Close()
				seen, lossy, err = seen+s, lossy+l, errors.Join(err, closeErr)
			}
			return seen, lossy, err
		},
	}
}

// count counts events for a unit of work, of all kinds.
func (r *CostRun) count(ctx context.Context, t lab.Task) (workRates, error) {
	span := countFor
	var done []lab.Done
	work := func(ctx context.Context) (err error) {
		done, err = r.Lab.Work(ctx, r.Guest, t, span)
		return err
	}
	files, err := r.Lab.Counts(ctx, r.Guest, work)
	if err != nil {
		return nil, err
	}
	rates := make(workRates)
	for name, f := range files {
		if name == lab.FileEvents {
			if err := rates.ofEvents(f, done); err != nil {
				return nil, err
			}
			continue
		}
		var m price.Meter
		source := name
		if name == lab.FileDefault {
			source = price.UST
		}
		m.Observing(source)
		speed, kept := within(f.Units, done)
		if speed <= 0 {
			return nil, fmt.Errorf("count events of %s: no whole unit in the time of the work: measure for longer", name)
		}
		f.Units = kept
		m.File(f)
		perSecond, err := m.Rates()
		if err != nil {
			return nil, err
		}
		for kind, n := range perSecond {
			rates[kind] = n / speed
		}
	}
	if slices.Contains(r.Sources, price.AllProbes) {
		if err := r.countRest(ctx, work, &done, rates); err != nil {
			return nil, err
		}
	}
	return rates, nil
}

// ofEvents adds the kinds that are counted by trace points themselves.
func (w workRates) ofEvents(f unit.File, done []lab.Done) error {
	for _, name := range price.Groups() {
		for _, event := range price.GroupEvents(name) {
			if kind, ok := price.EventKind(unit.FeatureName(event)); ok {
				w[kind] = 0 // what has no hits is not in the file
			}
		}
	}
	speed, kept := within(f.Units, done)
	if speed <= 0 {
		return errors.New("count events of trace points: no whole unit in the time of the work: measure for longer")
	}
	seconds := time.Duration(0)
	for _, u := range kept {
		seconds += time.Duration(u.Duration)
	}
	for i, event := range f.Features {
		kind, ok := price.EventKind(event)
		if !ok {
			continue
		}
		for _, u := range kept {
			if i < len(u.Counts) {
				w[kind] += float64(u.Counts[i]) / seconds.Seconds() / speed
			}
		}
	}
	return nil
}

// countFor is how long events are counted: some whole units.
const countFor = 14 * time.Second

// within are the whole units in the time of the work, and how fast that was in them, in units of work a second.
func within(units []unit.Unit, done []lab.Done) (speed float64, kept []unit.Unit) {
	if len(done) == 0 {
		return 0, nil
	}
	from, to := done[0].At.UnixNano(), done[len(done)-1].At.UnixNano()
	for _, u := range units {
		if u.Full() && u.Start >= from && u.Start+u.Duration <= to {
			kept = append(kept, u)
		}
	}
	if len(kept) == 0 {
		return 0, nil
	}
	last := kept[len(kept)-1]
	work := workAt(done, last.Start+last.Duration) - workAt(done, kept[0].Start)
	return work / time.Duration(last.Start+last.Duration-kept[0].Start).Seconds(), kept
}

// workAt is how much was done at a time, as if it was done evenly between the times at which it is known.
func workAt(done []lab.Done, t int64) float64 {
	i, exact := slices.BinarySearchFunc(done, t, func(d lab.Done, t int64) int { return cmp.Compare(d.At.UnixNano(), t) })
	switch {
	case exact:
		return done[i].Work
	case i == 0:
		return done[0].Work
	case i == len(done):
		return done[i-1].Work
	}
	a, b := done[i-1], done[i]
	return a.Work + (b.Work-a.Work)*float64(t-a.At.UnixNano())/float64(b.At.Sub(a.At).Nanoseconds())
}

// countRest adds how often trace points beyond the default set are hit, read as [price.AllProbes] is.
func (r *CostRun) countRest(ctx context.Context, work func(context.Context) error, done *[]lab.Done, rates workRates) error {
	reading, err := r.Lab.Read(r.Reader, r.impact.pid)
	if err != nil {
		return err
	}
	var units []unit.Unit
	read := make(chan struct{})
	go func() {
		defer close(read)
		for u := range reading.Units {
			if u.PID != 0 {
				units = append(units, unit.Unit{Start: u.Start, Duration: int64(unit.Width), Lost: u.Lost, Counts: []uint64{u.Events + u.Lost}})
			}
		}
	}()
	err = work(ctx)
	if err == nil && rest(ctx, unit.Width+time.Second) != nil { // the reader is behind by a unit
		err = ctx.Err()
	}
	err = errors.Join(err, reading.End())
	<-read
	if err != nil {
		return err
	}
	speed, kept := within(units, *done)
	if speed <= 0 {
		return errors.New("count all trace points: no whole unit in the time of the work: measure for longer")
	}
	all, seen := 0.0, 0.0
	for _, u := range kept {
		all += float64(u.Counts[0])
	}
	all /= float64(len(kept)) * unit.Width.Seconds() * speed
	for _, kind := range price.SourceKinds(price.UST) {
		seen += rates[kind]
	}
	for _, kind := range price.SourceKinds(price.AllProbes) {
		if _, ok := rates[kind]; !ok {
			rates[kind] = max(0, all-seen)
		}
	}
	return nil
}

// observation is what pairs of slices say of a combination. Rates are those at the speed of the slices in which nothing observed.
func observation(run cost.Run, way *ImpactWay, perWork workRates) (x cost.Observation, err error) {
	overhead, deviation, ok := way.overhead()
	if !ok {
		return x, fmt.Errorf("%d pairs of slices, want %d at least: have it work for longer", len(way.Pairs), leastPairs)
	}
	var speeds []float64
	for _, p := range way.Pairs {
		speeds = append(speeds, 1/p.Off.Seconds)
	}
	rates := make(cost.Rates)
	speed := middle(speeds)
	for kind, n := range perWork {
		rates[kind] = significant(n * speed)
	}
	return cost.Observation{
		Workload: run.Workload, Sources: run.Sources, Rates: rates, Overhead: significant(overhead), Error: significant(deviation),
		Pairs: len(way.Pairs), HeldOut: run.HeldOut,
	}, nil
}

// leastPairs is how many pairs say anything.
const leastPairs = 3

// overhead is the median of what pairs say, and its standard error by their median absolute deviation.
func (w *ImpactWay) overhead() (value, deviation float64, ok bool) {
	var ratios []float64
	for _, p := range w.Pairs {
		if p.Off.Seconds > 0 && p.On.Seconds > 0 {
			ratios = append(ratios, p.On.Seconds/p.Off.Seconds-1)
		}
	}
	if len(ratios) < leastPairs {
		return 0, 0, false
	}
	value = middle(ratios)
	far := make([]float64, len(ratios))
	for i, r := range ratios {
		far[i] = math.Abs(r - value)
	}
	// 1.4826 makes of that deviation a standard one, and 1.2533 (the root of π/2) of a mean's error a median's, where errors are normal.
	return value, 1.4826 * 1.2533 * middle(far) / math.Sqrt(float64(len(ratios))), true
}

// middle is the median; 0 of nothing.
func middle(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// significant is a number with as many digits as are worth keeping.
func significant(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return short
}
