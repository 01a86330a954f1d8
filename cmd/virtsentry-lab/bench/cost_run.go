package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/price"
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
	Workloads []string      // names; all if empty
	Sources   []string      // names as package price has them; [CostSources] if empty
	Fit, Held int           // combinations of each workload, as [cost.Design] has them
	Rounds    int           // of all combinations
	Each      time.Duration // of work for each combination in each round
	// Begun hears of each measurement's begin; it may be nil.
	Begun func(lab.PriceProgress)
	// Again hears why a measurement is made once more; it may be nil.
	Again func(error)
	// Keep hears of all observations after each round of a workload: what is there then can be fitted to.
	Keep func([]cost.Observation) error

	impact ImpactRun // whose guest, toggles and slices are used
	number int
	cells  []*costCell
	rates  map[string]workRates
}

// costCell is one combination with one workload.
type costCell struct {
	cost.Run
	way ImpactWay
}

// workRates is how many events there are for each unit of work, by kind.
type workRates map[string]float64

// CostSources are the sources that can be calibrated in a lab: those that see its guests.
func CostSources(l *lab.Lab) ([]string, error) {
	kernel, err := l.KernelSources()
	return append([]string{price.UST, price.AllProbes}, kernel...), err
}

// Measure measures all combinations of the design, as [ImpactRun.Measure] does. Nothing else should run on the host.
func (r *CostRun) Measure(ctx context.Context) (err error) {
	r.Guest = cmp.Or(r.Guest, lab.DefaultGuest)
	can, err := CostSources(r.Lab)
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	if len(r.Sources) == 0 {
		r.Sources = can
	}
	if len(r.Workloads) == 0 {
		r.Workloads = ImpactWorkloads()
	}
	for _, name := range r.Sources {
		if !slices.Contains(can, name) {
			return fmt.Errorf("calibrate: source %q cannot be calibrated in this lab: want some of %s", name, strings.Join(can, ", "))
		}
	}
	for _, name := range r.Workloads {
		if !slices.Contains(ImpactWorkloads(), name) {
			return fmt.Errorf("calibrate: workload %q: want some of %s", name, strings.Join(ImpactWorkloads(), ", "))
		}
	}
	runs, err := cost.Design(r.Sources, r.Workloads, r.Fit, r.Held)
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	for _, run := range runs {
		r.cells = append(r.cells, &costCell{Run: run})
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
	r.rates = make(map[string]workRates)
	for round := range r.Rounds {
		for _, t := range lab.Tasks() {
			if !slices.Contains(r.Workloads, t.Name) {
				continue
			}
			if err := r.task(ctx, t, round); err != nil {
				return fmt.Errorf("calibrate: round %d: %w", round+1, err)
			}
			if err := r.Keep(r.observations()); err != nil {
				return err
			}
		}
	}
	return nil
}

// task measures all combinations of one workload once. In the first round it is seen how many events its work has.
func (r *CostRun) task(ctx context.Context, t lab.Task, round int) error {
	if err := r.Lab.Prepare(ctx, r.Guest, t); err != nil {
		return err
	}
	if r.rates[t.Name] == nil {
		err := r.again(ctx, t.Name+", its events", func() (err error) {
			r.rates[t.Name], err = r.count(ctx, t)
			return err
		})
		if err != nil {
			return err
		}
	}
	var cells []*costCell
	for _, c := range r.cells {
		if c.Workload == t.Name {
			cells = append(cells, c)
		}
	}
	for i := range cells {
		c := cells[(i+round)%len(cells)]
		r.tell(c)
		name := t.Name + ", " + strings.Join(c.Sources, "+")
		if err := r.again(ctx, name, func() error { return r.cell(ctx, t, c) }); err != nil {
			return err
		}
	}
	return nil
}

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
func (r *CostRun) cell(ctx context.Context, t lab.Task, c *costCell) error {
	toggle, least, err := r.toggle(ctx, c.Sources)
	if err != nil {
		return err
	}
	return r.impact.measure(ctx, t, toggle, least, &c.way)
}

func (r *CostRun) tell(c *costCell) {
	all := r.Rounds * len(r.cells)
	if r.Begun != nil {
		left := time.Duration(all-r.number) * (r.Each + 4*time.Second)
		r.Begun(lab.PriceProgress{Workload: c.Workload, Arm: strings.Join(c.Sources, "+"), Number: r.number + 1, All: all, End: time.Now().Add(left)})
	}
	r.number++
}

// costSlow is the least time for which the kernel's sources are on, or off: they take tens of milliseconds to begin. The shorter, the more pairs there are, and the less
// the host's own noise changes between the two of one.
const costSlow = 300 * time.Millisecond

// toggle makes a combination of sources ready.
func (r *CostRun) toggle(ctx context.Context, sources []string) (t lab.Toggle, least time.Duration, err error) {
	var list []lab.Toggle
	var kernel []string
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
		if arm == "" {
			kernel = append(kernel, s)
			continue
		}
		one, _, err := r.impact.toggle(ctx, arm)
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
	span := max(r.Each, minCount)
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

// minCount is the least time in which events are counted: some whole units.
const minCount = 10 * time.Second

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

// observations are those of the cells with enough pairs.
func (r *CostRun) observations() []cost.Observation {
	speeds := make(map[string][]float64) // of each workload with nothing that observes it
	for _, c := range r.cells {
		for _, p := range c.way.Pairs {
			speeds[c.Workload] = append(speeds[c.Workload], 1/p.Off.Seconds)
		}
	}
	var list []cost.Observation
	for _, c := range r.cells {
		overhead, deviation, ok := c.way.overhead()
		if !ok {
			continue
		}
		rates := make(cost.Rates)
		speed := middle(speeds[c.Workload])
		for _, kind := range slices.Sorted(maps.Keys(r.rates[c.Workload])) {
			rates[kind] = significant(r.rates[c.Workload][kind] * speed)
		}
		list = append(list, cost.Observation{
			Workload: c.Workload, Sources: c.Sources, Rates: rates, Overhead: significant(overhead), Error: significant(deviation),
			Pairs: len(c.way.Pairs), HeldOut: c.HeldOut,
		})
	}
	return list
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
