package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/cmd/internal/probe/kernel"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/ctf"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// clockTolerance is how far the trace's clock may be from the one that the kernel's units were cut by.
const clockTolerance = 5 * time.Millisecond

// runSources makes one recording of all sources in DIR/NAME.
func (l *Lab) runSources(ctx context.Context, r PlanRun, s Step, by observable) (Recorded, error) {
	dir := filepath.Join(r.Output, s.Name)
	load := s.Load
	load.Guest = r.Guest
	recording := Recording{Scenario: s.Scenario, For: s.For, Output: dir, Rate: s.Rate, Load: load}
	var list []counted
	var offset int64
	trace, err := l.record(ctx, recording, func(ctx context.Context, pid int, trace string) error {
		var err error
		if offset, err = clockOffset(); err != nil {
			return err
		}
		list, err = l.measured(func() ([]counted, error) {
			return l.observe(ctx, r.Guest, pid, by.kernel, kernel.Options{Offset: offset, Headers: true}, func(ctx context.Context) error {
				if by.ust {
					return l.trace(ctx, pid, recording, trace)
				}
				l.log.Infof("recording %s for %v into %s", s.Scenario, s.For, dir)
				return sleep(ctx, s.For)
			})
		})
		return err
	})
	if err != nil {
		return Recorded{}, err
	}
	rec := s.recorded()
	rec.Sources = make(map[string]SourceCost)
	files := make(map[string]unit.File)
	if by.ust {
		if err := checkClock(trace, offset); err != nil {
			return rec, err
		}
		if files[FileDefault], err = unit.Cut(trace, catalogue.DefaultSet); err != nil {
			return rec, err
		}
		if rec.Sources[FileDefault], err = traceCost(trace, files[FileDefault]); err != nil {
			return rec, err
		}
	}
	for _, c := range list {
		files[string(c.source)], rec.Sources[string(c.source)] = c.file, c.cost
	}
	if err := s.writeSources(&rec, r.Output, files); err != nil {
		return rec, err
	}
	if !by.ust {
		return rec, nil
	}
	if !r.KeepTraces {
		return rec, os.RemoveAll(trace)
	}
	return rec, os.Rename(trace, filepath.Join(dir, "trace"))
}

// measured has the kernel measure the time in eBPF programs while f runs.
func (l *Lab) measured(f func() ([]counted, error)) ([]counted, error) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return nil, fmt.Errorf("measure the time in eBPF programs: %w", err)
	}
	defer func() { _ = stats.Close() }()
	return f()
}

// observe counts what sources of the kernel see of a guest while f runs.
func (l *Lab) observe(
	ctx context.Context, guest string, pid int, sources []probe.Source, o kernel.Options, f func(context.Context) error,
) (list []counted, err error) {
	all, err := l.attachSources(guest, pid, sources, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeSources(all)) }()
	ctx, stop := context.WithCancelCause(ctx)
	done := make(chan error, 1)
	go func() {
		err := collect(ctx, all)
		if err != nil {
			stop(err) // what is recorded without a source is of no use
		}
		done <- err
	}()
	err = f(ctx)
	stop(nil)
	if collectErr := <-done; collectErr != nil {
		return nil, errors.Join(collectErr, err)
	}
	if err != nil {
		return nil, err
	}
	return endAll(all)
}

// checkClock makes sure that the trace's units are those of the kernel's sources: what its clock is ahead of CLOCK_MONOTONIC is in its metadata.
func checkClock(trace string, offset int64) error {
	dirs, err := ctf.FindTraces(trace)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		t, err := ctf.Open(dir)
		if err != nil {
			return err
		}
		for _, c := range t.Metadata.Clocks {
			if d := time.Duration(c.NS(0) - offset); d.Abs() > clockTolerance {
				return fmt.Errorf("the trace's clock is %v off the one that the other sources' units were cut by: was the clock set?", d)
			}
		}
	}
	return nil
}

// traceCost is how many events a trace has. What they cost is not known.
func traceCost(trace string, f unit.File) (SourceCost, error) {
	all, err := unit.Cut(trace, unit.Counts)
	if err != nil {
		return SourceCost{}, err
	}
	cost := SourceCost{LossyUnits: lossy(f.Units)}
	for _, u := range all.Units {
		cost.Seconds += time.Duration(u.Duration).Seconds()
		for _, n := range u.Counts {
			cost.Hits += n
		}
	}
	return cost, nil
}

// writeSources writes the unit files of the units that all sources have, but the first and the last of them: in these the observation began and ended.
func (s Step) writeSources(rec *Recorded, output string, files map[string]unit.File) error {
	units, err := common(files)
	if err != nil {
		return err
	}
	rec.Begin = time.Unix(0, units[0]).UTC()
	rec.Units = len(units)
	rec.Files = make(map[string]string)
	lost := make(map[int64]bool)
	for name, f := range files {
		f.Units = slices.DeleteFunc(slices.Clone(f.Units), func(u unit.Unit) bool { return !slices.Contains(units, u.Start) })
		for _, u := range f.Units {
			if u.Lost > 0 {
				lost[u.Start] = true
			}
		}
		rec.Files[name] = filepath.Join(s.Name, name+".csv")
		path := filepath.Join(output, rec.Files[name])
		if err := unit.WriteFile(path, func(w io.Writer) error { return unit.Write(w, f) }); err != nil {
			return err
		}
	}
	rec.LossyUnits = len(lost)
	return nil
}

// common are the begins of the whole units that all files have, but the first and the last. It is an error if one is missing among them.
func common(files map[string]unit.File) ([]int64, error) {
	seen := make(map[int64]int)
	for _, f := range files {
		for _, u := range f.Units {
			if u.Full() {
				seen[u.Start]++
			}
		}
	}
	var units []int64
	for start, n := range seen {
		if n == len(files) {
			units = append(units, start)
		}
	}
	if len(units) < 3 {
		return nil, errors.New("the sources have too few units of the same time; were QEMU and its tap device there all the time?")
	}
	slices.Sort(units)
	for i := range units[1:] {
		if gap := units[i+1] - units[i]; gap != int64(unit.Width) {
			return nil, fmt.Errorf("%v in which not all sources have units, after %v: was the clock set?", time.Duration(gap)-unit.Width, time.Unix(0, units[i]).UTC())
		}
	}
	return units[1 : len(units)-1], nil
}
