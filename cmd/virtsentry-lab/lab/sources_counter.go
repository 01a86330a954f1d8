package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/cmd/internal/probe/kernel"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// collectEvery is how often units are taken out of the kernel.
const collectEvery = time.Second

// counter is what [kernel.Counter] does.
type counter interface {
	Collect(last bool) ([]unit.Unit, error)
	Stats() (hits, ns uint64)
	Close() error
}

// sourceCounter counts one source of one guest.
type sourceCounter struct {
	source probe.Source
	counter
	begin time.Time
	units []unit.Unit
}

// counted is what a source has counted.
type counted struct {
	source probe.Source
	file   unit.File
	cost   SourceCost
}

// attachSources begins to count what the kernel sees of a guest. The sources that it returns must be closed.
func (l *Lab) attachSources(guest string, pid int, sources []probe.Source, o kernel.Options) (all []*sourceCounter, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeSources(all))
			all = nil
		}
	}()
	err = l.inside(func() error { // network devices are those of the thread's namespace
		if err := ensureTracefs(); err != nil {
			return err
		}
		target, err := l.probeTarget(guest, pid)
		if err != nil {
			return err
		}
		for _, source := range sources {
			c, err := kernel.Attach(source, target, o)
			if err != nil {
				return fmt.Errorf("attach source %s: %w", source, err)
			}
			all = append(all, &sourceCounter{source: source, counter: c, begin: time.Now()})
		}
		return nil
	})
	return all, err
}

// probeTarget says where the kernel sees a guest. It belongs on a thread in the lab's network namespace.
func (l *Lab) probeTarget(guest string, pid int) (kernel.Target, error) {
	g, err := l.Guest(guest)
	if err != nil {
		return kernel.Target{}, err
	}
	device, err := net.InterfaceByName(g.tap())
	if err != nil {
		return kernel.Target{}, fmt.Errorf("find tap device %s of guest %s: %w", g.tap(), guest, err)
	}
	return kernel.Target{
		PID: pid, Executable: procPath(pid, "exe"),
		Taps: []kernel.TapDevice{{Name: device.Name, Index: device.Index}},
	}, nil
}

func closeSources(all []*sourceCounter) (err error) {
	for _, c := range all {
		err = errors.Join(err, c.Close())
	}
	return err
}

// collect takes units out of the kernel until ctx ends. Its end is no error.
func collect(ctx context.Context, all []*sourceCounter) error {
	for sleep(ctx, collectEvery) == nil {
		for _, c := range all {
			if err := c.take(false); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *sourceCounter) take(last bool) error {
	units, err := c.Collect(last)
	c.units = append(c.units, units...)
	if err != nil {
		return fmt.Errorf("collect source %s: %w", c.source, err)
	}
	return nil
}

// end takes the rest.
func (c *sourceCounter) end() (counted, error) {
	seconds := time.Since(c.begin).Seconds()
	if err := c.take(true); err != nil {
		return counted{}, err
	}
	hits, ns := c.Stats()
	r := counted{source: c.source, cost: SourceCost{Hits: hits, TimeNS: ns, Seconds: seconds, LossyUnits: lossy(c.units)}}
	r.file.Units = c.units
	for _, column := range c.source.Columns() {
		r.file.Features = append(r.file.Features, column.Name)
	}
	for _, u := range c.units {
		if len(u.Counts) > len(r.file.Features) {
			return r, fmt.Errorf("collect source %s: %d counts in a unit, for %d columns", c.source, len(u.Counts), len(r.file.Features))
		}
	}
	return r, nil
}

// endAll ends all sources.
func endAll(all []*sourceCounter) (list []counted, err error) {
	for _, c := range all {
		one, endErr := c.end()
		list, err = append(list, one), errors.Join(err, endErr)
	}
	return list, err
}

// ensureTracefs mounts tracefs for this thread, where it is not mounted: nobody else sees it.
func ensureTracefs() error {
	if _, err := os.Stat(tracefs + "/events"); err == nil {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("virtsentry-lab", tracefs, "tracefs", 0, ""); err != nil {
		return fmt.Errorf("mount tracefs on %s (the kernel needs trace points): %w", tracefs, err)
	}
	return nil
}
