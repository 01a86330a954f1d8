package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// look is a domain being observed by actions.
type look struct {
	m       *Monitor
	process qemu.Process
	sources []looked
	added   []actions.Observation // of other sources
	remarks []string
}

// looked is one source of a look. features are those that it has at the moment: of all trace points, only those that were hit are known.
type looked struct {
	source
	features func() []string
	describe func(feature string) string
	ended    func() error // why it gives nothing any more; nil: it does
}

// Observe attaches the sources of actions to a domain, actions.Host. What cannot be attached fails the whole.
func (c *closer) Observe(ctx context.Context, d actions.Subject, id string, names []string) (actions.Observation, error) {
	w := c.m.watcher(d.UUID)
	if w == nil {
		return nil, actions.ErrGone
	}
	p, err := w.process()
	if err != nil {
		return nil, err
	}
	l := &look{m: c.m, process: p}
	kernel, headers := kernelSources(names)
	if len(kernel) > 0 {
		if err := c.observeKernel(ctx, l, w.domain, kernel, headers); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, actions.GroupPrefix) }) {
		if err := c.observeTrace(ctx, l, w.domain, id, names); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	for _, name := range names {
		if s := c.added[name]; s != nil {
			observation, err := c.attach(ctx, w, p, s, id)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("attach to domain %s: %s: %w", d.UUID, name, err), l.close())
			}
			l.added = append(l.added, observation)
			if remark := observation.Remark(); remark != "" {
				l.remarks = append(l.remarks, name+": "+remark)
			}
		}
	}
	return l, nil
}

// attach attaches another source to a domain. One that disturbs the guest is told to its watcher before it does, and after it has ended.
func (c *closer) attach(ctx context.Context, w *watcher, p qemu.Process, s ActionSource, id string) (actions.Observation, error) {
	a, err := c.Get(id)
	if err != nil {
		return nil, err
	}
	length := time.Duration(a.Seconds * float64(time.Second))
	if !s.Disturbs() {
		return s.Attach(ctx, w.domain, p, length)
	}
	release := w.m.disturb(w)
	o, err := s.Attach(ctx, w.domain, p, length)
	if err != nil {
		release()
		return nil, err
	}
	return &disturbing{o, release}, nil
}

// disturbing is an observation that disturbs the guest.
type disturbing struct {
	actions.Observation
	release func()
}

// Finish ends it, actions.Observation.
func (d *disturbing) Finish(ctx context.Context) ([]actions.Unit, error) {
	defer d.release()
	return d.Observation.Finish(ctx)
}

// kernelSources are those that actions need of virtsentry-probe.
func kernelSources(names []string) (list []probe.Source, headers bool) {
	for _, s := range probe.Sources() {
		if slices.ContainsFunc(names, func(n string) bool { return kernelSourceOf(n) == s }) {
			list = append(list, s)
		}
	}
	return list, slices.Contains(names, actions.TapHeaders)
}

func (c *closer) observeKernel(ctx context.Context, l *look, d libvirt.Domain, sources []probe.Source, headers bool) error {
	ctx, cancel := context.WithTimeout(ctx, helperLimit)
	defer cancel()
	s, err := c.m.attachKernelWith(ctx, d, l.process, sources, headers)
	if err != nil {
		return err
	}
	var failed []error
	for _, part := range s.parts {
		failed = append(failed, part.failed)
		if part.detail != "" {
			l.remarks = append(l.remarks, fmt.Sprintf("%s: %s", part.source, part.detail))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return errors.Join(fmt.Errorf("attach to domain %s: %w", d.UUID, err), s.close(ctx))
	}
	l.sources = append(l.sources, looked{
		source: &patient{source: s}, features: s.counted.Names,
		describe: func(f string) string { _, words := s.counted.Describe(f); return words },
		ended: func() error {
			switch {
			case s.lost != nil:
				return s.lost
			case s.changed:
				return errors.New("the domain's tap devices have changed")
			}
			for _, part := range s.parts {
				if part.failed != nil {
					return part.failed
				}
			}
			return nil
		},
	})
	return nil
}

// Collect returns the units that have ended, actions.Observation.
func (l *look) Collect(ctx context.Context) ([]actions.Unit, error) {
	var units []actions.Unit
	var errs []error
	for _, s := range l.sources {
		b, err := s.collect(ctx, true)
		if err == nil && s.ended != nil {
			err = s.ended()
		}
		units = append(units, s.units(b.units)...)
		errs = append(errs, err)
	}
	for _, o := range l.added {
		more, err := o.Collect(ctx)
		units = append(units, more...)
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if !l.m.processes.Alive(l.process) {
		err = actions.ErrGone
	}
	return units, err
}

// Finish ends it, actions.Observation.
func (l *look) Finish(ctx context.Context) ([]actions.Unit, error) {
	var units []actions.Unit
	var errs []error
	for _, s := range l.sources {
		b, err := s.finish(ctx)
		if err == nil || len(b.units) > 0 {
			units = append(units, s.units(b.units)...)
		}
		errs = append(errs, err, s.close(ctx))
	}
	for _, o := range l.added {
		more, err := o.Finish(ctx)
		units = append(units, more...)
		errs = append(errs, err)
	}
	if !l.m.processes.Alive(l.process) {
		return units, actions.ErrGone
	}
	return units, errors.Join(errs...)
}

func (l *look) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	var errs []error
	for _, s := range l.sources {
		errs = append(errs, s.close(ctx))
	}
	for _, o := range l.added {
		_, err := o.Finish(ctx)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// units are a source's units by the names of what was counted.
func (s looked) units(list []unit.Unit) []actions.Unit {
	if len(list) == 0 { // a call may be under way still
		return nil
	}
	names := s.features()
	var units []actions.Unit
	for _, u := range list {
		counts := map[string]uint64{}
		for i, n := range u.Counts {
			if n > 0 && i < len(names) {
				counts[names[i]] = n
			}
		}
		units = append(units, actions.Unit{Start: u.Start, Duration: u.Duration, Lost: u.Lost, Counts: counts})
	}
	return units
}

// Describe says what a feature is, actions.Observation.
func (l *look) Describe(feature string) string {
	for _, s := range l.sources {
		if words := s.describe(feature); words != "" && words != feature+" hits" {
			return words
		}
	}
	for _, o := range l.added {
		if words := o.Describe(feature); words != "" {
			return words
		}
	}
	return feature + " hits"
}

// Remark says what is seen of the domain, actions.Observation.
func (l *look) Remark() string { return strings.Join(l.remarks, "; ") }
