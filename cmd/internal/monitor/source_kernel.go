package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// helper is a connection to virtsentry-probe.
type helper interface {
	Attach(ctx context.Context, a probe.Attach) (probe.Attached, error)
	Collect(ctx context.Context, last bool) (probe.Collected, error)
	Close() error
}

// errSources says that none of the wanted sources can be had.
var errSources = errors.New("none of the sources can be attached")

// kernelSource is what the kernel sees of a domain, by virtsentry-probe. It may be a part of a joinedSource.
type kernelSource struct {
	client  helper
	counted *features
	offset  int64 // what the units' clock is ahead of CLOCK_MONOTONIC
	parts   []*kernelPart
	lost    error // why nothing comes any more: the connection has ended; nil: it stands
	changed bool  // the domain has other tap devices by now
}

// kernelPart is one of its sources.
type kernelPart struct {
	source  probe.Source
	columns int
	detail  string
	failed  error               // why it has none to give, from the beginning or any more; nil: it has
	held    map[int64]unit.Unit // that have not been given out, by number of their place on the grid
}

// attachKernel attaches the sources to a domain's QEMU. Those that cannot be attached are left out; it fails only where none can. Errors:
// probe.ErrNoHelper, probe.ErrRefused, errSources.
func (m *Monitor) attachKernel(ctx context.Context, d libvirt.Domain, p qemu.Process, sources []probe.Source) (*kernelSource, error) {
	return m.attachKernelWith(ctx, d, p, sources, m.cfg.Sources.Headers)
}

// attachKernelWith is attachKernel, with the headers of packets or without.
func (m *Monitor) attachKernelWith(ctx context.Context, d libvirt.Domain, p qemu.Process, sources []probe.Source, headers bool) (*kernelSource, error) {
	client, err := m.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("attach to domain %s: %w", d.UUID, err)
	}
	s := &kernelSource{client: client, offset: clockOffset()}
	answer, err := client.Attach(ctx, probe.Attach{UUID: d.UUID, Sources: sources, Offset: s.offset, Headers: headers})
	if err == nil && (answer.PID != p.PID || answer.Start != p.Start) {
		err = fmt.Errorf("virtsentry-probe has found process %d for it, and not %d (does it use the same libvirt?): %w", answer.PID, p.PID, qemu.ErrNoProcess)
	}
	if err == nil {
		err = s.begin(answer, headers)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach to domain %s: %w", d.UUID, err), client.Close())
	}
	return s, nil
}

// begin takes note of what was attached.
func (s *kernelSource) begin(answer probe.Attached, headers bool) error {
	var sources []probe.Source
	var failed []error
	for _, o := range answer.Sources {
		part := &kernelPart{source: o.Source, detail: o.Detail, held: map[int64]unit.Unit{}}
		if o.Error != "" {
			part.failed = fmt.Errorf("%s: %s", o.Source, o.Error)
			failed = append(failed, part.failed)
		} else {
			sources = append(sources, o.Source)
		}
		s.parts = append(s.parts, part)
	}
	if len(sources) == 0 {
		return fmt.Errorf("%w: %w", errSources, errors.Join(failed...))
	}
	s.counted = newFeatures(nil, sources, headers)
	for _, part := range s.parts {
		if part.failed == nil {
			part.columns = len(s.counted.columns(part.source))
		}
	}
	return nil
}

func (s *kernelSource) counts() *features { return s.counted }

func (s *kernelSource) lag() time.Duration { return 0 }

func (s *kernelSource) observed() []control.Source {
	var list []control.Source
	for _, part := range s.parts {
		o := control.Source{Name: string(part.source), Detail: part.detail}
		switch {
		case part.failed != nil:
			o.Error = part.failed.Error()
		case s.lost != nil:
			o.Error = s.lost.Error()
		case s.changed && part.source == probe.Tap:
			o.Error = "the domain's tap devices have changed: it will be attached to anew"
		}
		list = append(list, o)
	}
	return list
}

// ended says whether something that was attached gives nothing any more.
func (s *kernelSource) ended() bool {
	return s.lost != nil || s.changed || slices.ContainsFunc(s.parts, func(p *kernelPart) bool { return p.columns > 0 && p.failed != nil })
}

func (s *kernelSource) collect(ctx context.Context, _ bool) (batch, error) {
	return s.alone(ctx, false)
}

func (s *kernelSource) finish(ctx context.Context) (batch, error) { return s.alone(ctx, true) }

// alone collects where there is no other source.
func (s *kernelSource) alone(ctx context.Context, last bool) (batch, error) {
	err := s.fetch(ctx, last)
	var units []unit.Unit
	for _, place := range s.places() {
		for _, part := range s.parts {
			if u, ok := part.held[place]; ok {
				units = append(units, unit.Unit{Start: u.Start, Duration: u.Duration})
				break
			}
		}
	}
	s.extend(units)
	return batch{units: units, registered: true}, err
}

// places are those of which some part has a unit, in the order of time.
func (s *kernelSource) places() []int64 {
	var places []int64
	for _, part := range s.parts {
		for place := range part.held {
			places = append(places, place)
		}
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// fetch takes in what the kernel has counted. An error is for good: the connection has ended.
func (s *kernelSource) fetch(ctx context.Context, last bool) error {
	if s.lost != nil {
		return s.lost
	}
	answer, err := s.client.Collect(ctx, last) // the last units may come with an error
	s.lost = err
	s.changed = s.changed || answer.Changed
	for _, got := range answer.Sources {
		i := slices.IndexFunc(s.parts, func(p *kernelPart) bool { return p.source == got.Source && p.columns > 0 })
		if i < 0 {
			continue
		}
		part := s.parts[i]
		for _, u := range got.Units {
			if len(u.Counts) < part.columns {
				s.lost = fmt.Errorf("virtsentry-probe counts other things than this daemon (%s: %d, not %d): are both of the same version?", part.source, len(u.Counts), part.columns)
				return s.lost
			}
			u.Counts = u.Counts[:part.columns]
			part.held[placeOf(u)] = u
			delete(part.held, placeOf(u)-openUnits) // that nobody has asked for
		}
		if got.Error != "" && part.failed == nil {
			part.failed = fmt.Errorf("%s: %s", part.source, got.Error)
		}
	}
	return err
}

// placeOf is the number of a unit's place on the grid.
func placeOf(u unit.Unit) int64 {
	place := u.Start / int64(unit.Width)
	if u.Start%int64(unit.Width) < 0 {
		place--
	}
	return place
}

// extend puts the parts' columns behind those that units have already. Where a part has nothing of a whole unit, or has lost something, the
// unit is lossy in that part's columns.
func (s *kernelSource) extend(units []unit.Unit) {
	for i := range units {
		u := &units[i]
		place, n := placeOf(*u), len(u.Counts)
		if u.Lost > 0 && len(u.LostIn) == 0 {
			u.LostIn = []unit.Columns{{To: n}}
		}
		for _, part := range s.parts {
			if part.columns == 0 {
				continue
			}
			from := len(u.Counts)
			have, ok := part.held[place]
			lost := have.Lost
			if !ok {
				u.Counts = append(u.Counts, make([]uint64, part.columns)...)
			} else {
				u.Counts = append(u.Counts, have.Counts...)
			}
			if u.Full() && !have.Full() {
				lost = max(lost, 1) // nobody knows how many
			}
			if lost > 0 {
				u.Lost += lost
				u.LostIn = append(u.LostIn, unit.Columns{From: from, To: len(u.Counts)})
			}
		}
	}
	if len(units) == 0 {
		return
	}
	newest := placeOf(units[len(units)-1])
	for _, part := range s.parts {
		for place := range part.held {
			if place <= newest {
				delete(part.held, place)
			}
		}
	}
}

func (s *kernelSource) at(t int64) int64 { return t - s.offset }

func (s *kernelSource) memory() uint64 { return 0 }

func (s *kernelSource) close(context.Context) error { return s.client.Close() }

// clockOffset is what CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, nanoseconds.
func clockOffset() int64 {
	var real unix.Timespec
	before := now()
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &real); err != nil {
		return 0 // cannot fail on Linux, clock_gettime(2)
	}
	return real.Nano() - (before + (now()-before)/2)
}
