package monitor

import (
	"context"
	"errors"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// joinedSource gives units of QEMU's own trace points together with what the kernel sees. Both lie on the same grid: their clocks are ahead of
// CLOCK_MONOTONIC by what CLOCK_REALTIME was when they were attached, one right after the other.
type joinedSource struct {
	source               // QEMU's own trace points, which say when a unit is complete
	kernel *kernelSource // what it does not give is lost in its columns alone
	all    *features
}

func join(trace source, kernel *kernelSource) *joinedSource {
	k := kernel.counted
	return &joinedSource{source: trace, kernel: kernel, all: newFeatures(trace.counts().set, k.sources, k.headers)}
}

func (s *joinedSource) counts() *features { return s.all }

func (s *joinedSource) observed() []control.Source {
	return append(s.source.observed(), s.kernel.observed()...)
}

func (s *joinedSource) collect(ctx context.Context, hurried bool) (batch, error) {
	b, err := s.source.collect(ctx, hurried)
	_ = s.kernel.fetch(ctx, false) // kept, and told by observed
	s.kernel.extend(b.units)
	return b, err
}

func (s *joinedSource) finish(ctx context.Context) (batch, error) {
	b, err := s.source.finish(ctx)
	_ = s.kernel.fetch(ctx, true)
	s.kernel.extend(b.units)
	return b, err
}

func (s *joinedSource) close(ctx context.Context) error {
	return errors.Join(s.kernel.close(ctx), s.source.close(ctx))
}
