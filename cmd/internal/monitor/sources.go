package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// ustLibrary is the library that a QEMU with trace points of its own is linked with.
const ustLibrary = "liblttng-ust.so"

const (
	// helperLimit bounds an answer of virtsentry-probe to a new request.
	helperLimit = 3 * time.Second
	// extendFirst is how long it takes until it is tried again to have more of what a domain is to be observed by; twice as long each time, up to
	// extendMost, as each try costs the unit that it falls into.
	extendFirst = 30 * time.Second
	extendMost  = 16 * time.Minute
)

// wish is what a domain is to be observed by.
type wish struct {
	use   []string // as config.Sources.Use
	vhost bool     // auto: packets are to be seen on tap devices, too
	runs  bool     // libvirt has said that the guest runs: nothing of its start is missed where recording begins somewhat later
}

// equal says whether the same is to be seen.
func (a wish) equal(b wish) bool { return slices.Equal(a.use, b.use) && a.vhost == b.vhost }

// wish is what the watcher's domain is to be observed by, as far as its devices are known.
func (w *watcher) wish() wish {
	past := slices.ContainsFunc(w.hardware.Devices, func(d libvirt.Device) bool { return d.Tap && d.Unseen != "" })
	return wish{use: w.settings.Sources, vhost: past, runs: w.ran || w.domain.ID > 0}
}

// usual are the features that a domain is taken to have until it is attached to.
func (m *Monitor) usual(use []string) *features {
	if slices.Contains(use, config.Auto) {
		return m.traced
	}
	trace, kernel := divide(use)
	if trace {
		return newFeatures(m.set, kernel, m.cfg.Sources.Headers)
	}
	return newFeatures(nil, kernel, m.cfg.Sources.Headers)
}

// divide tells QEMU's own trace points from what the kernel sees.
func divide(use []string) (trace bool, kernel []probe.Source) {
	for _, s := range probe.Sources() {
		if slices.Contains(use, string(s)) {
			kernel = append(kernel, s)
		}
	}
	return slices.Contains(use, ust), kernel
}

// choose is what a process is to be observed by.
func (m *Monitor) choose(p qemu.Process, w wish) (trace bool, kernel []probe.Source, err error) {
	if !slices.Contains(w.use, config.Auto) {
		trace, kernel = divide(w.use)
		return trace, kernel, nil
	}
	trace, err = m.processes.Links(p, ustLibrary)
	switch {
	case err != nil && !errors.Is(err, qemu.ErrNoProcess):
		return true, nil, nil // what it runs cannot be read; whether it reports trace points will be seen
	case err != nil:
		return false, nil, err
	case !trace:
		return false, []probe.Source{probe.Tap, probe.Functions}, nil
	case w.vhost:
		return true, []probe.Source{probe.Tap}, nil
	}
	return true, nil, nil
}

// attachWish attaches what is wished of a domain's QEMU. Where its trace points are among it, the rest may be missing.
func (m *Monitor) attachWish(d libvirt.Domain, p qemu.Process, w wish) (source, error) {
	trace, sources, err := m.choose(p, w)
	if err != nil {
		return nil, err
	}
	var kernel *kernelSource
	if len(sources) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), helperLimit)
		defer cancel()
		kernel, err = m.attachKernel(ctx, d, p, sources)
	}
	if !trace {
		if err != nil && slices.Contains(w.use, config.Auto) {
			err = fmt.Errorf("its QEMU has no trace points of its own (it needs the ust backend), and what the kernel sees needs virtsentry-probe: %w", err)
		}
		if err != nil {
			return nil, err
		}
		return kernel, nil
	}
	traced, traceErr := m.attachUST(d, p, w.runs)
	switch {
	case traceErr != nil && kernel != nil:
		ctx, cancel := context.WithTimeout(context.Background(), helperLimit)
		defer cancel()
		return nil, errors.Join(traceErr, kernel.close(ctx))
	case traceErr != nil:
		return nil, traceErr
	case kernel != nil:
		return join(traced, kernel), nil
	case err != nil:
		return &without{source: traced, sources: sources, why: err}, nil
	}
	return traced, nil
}

// without is a source that lacks some that were wished for.
type without struct {
	source
	sources []probe.Source
	why     error
}

func (s *without) observed() []control.Source {
	list := s.source.observed()
	for _, missing := range s.sources {
		list = append(list, control.Source{Name: string(missing), Error: s.why.Error()})
	}
	return list
}

// extend lets the present source go where another one sees more: the wish has changed, as once the domain's devices are known, or what was missing may be
// had again.
func (w *watcher) extend(ctx context.Context) {
	if w.source == nil {
		return
	}
	if p, ok := w.source.(*patient); ok && p.pending != nil {
		return // nothing can be said of it
	}
	observed := w.source.observed()
	w.edit(func(d *control.DomainStatus) { d.Sources = observed })
	changed := !w.wished.equal(w.wish())
	broken := slices.ContainsFunc(observed, func(s control.Source) bool { return s.Error != "" })
	switch {
	case !changed && !broken:
		if time.Since(w.retried) > extendMost { // all has been well for long
			w.patience = 0
		}
		return
	case changed:
		w.patience = 0
	case time.Since(w.retried) < max(w.patience, extendFirst):
		return
	}
	w.retried = time.Now()
	if !changed && !w.more(ctx) {
		return
	}
	w.patience = min(max(2*w.patience, extendFirst), extendMost)
	w.log.Info("attaching anew, to see more of it")
	w.detach()
}

// more says whether more could be had of what is missing.
func (w *watcher) more(ctx context.Context) bool {
	s, ok := w.source.(*patient)
	if !ok {
		return false
	}
	switch s := s.source.(type) {
	case *without:
		if errors.Is(s.why, errSources) {
			return false // it is not to be had
		}
	case *joinedSource:
		if !s.kernel.ended() {
			return false // it never was to be had
		}
	case *kernelSource:
		if !s.ended() {
			return false
		}
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, helperLimit)
	defer cancel()
	h, err := w.m.dial(ctx)
	if err != nil {
		return false
	}
	return h.Close() == nil
}
