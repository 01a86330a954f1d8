package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// Alone makes sure that a guest can be observed in all ways, and that nobody else records or loads guests of the lab until unlock is called.
func (l *Lab) Alone() (unlock func(), err error) {
	o, err := l.observable()
	if err != nil {
		return nil, err
	}
	if !o.ust {
		return nil, errors.New("the lab's QEMU has no UST trace points; make the lab without --qemu")
	}
	if l.loadRuns() {
		return nil, errors.New("a load runs in the background; end it with load --stop")
	}
	return l.tryLock("record")
}

// QEMUVersion is what the lab's QEMU says that it is.
func (l *Lab) QEMUVersion(ctx context.Context) (string, error) {
	v, err := l.versions(ctx, nil)
	return v.QEMU, err
}

// Hits counts how often each trace point of the default feature set is hit while f runs, by their names without provider. It is an error when any was lost.
func (l *Lab) Hits(ctx context.Context, guest string, f func(context.Context) error) (hits map[string]uint64, err error) {
	pid, err := l.GuestPID(guest)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(l.dir, "hits-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	trace := filepath.Join(dir, "trace")
	if err := l.tracing(ctx, pid, Recording{}, trace, f); err != nil {
		return nil, err
	}
	all, err := unit.Cut(trace, unit.Counts)
	if err != nil {
		return nil, err
	}
	hits = make(map[string]uint64)
	for _, u := range all.Units {
		if u.Lost > 0 {
			return nil, fmt.Errorf("count hits: %d events were lost", u.Lost)
		}
		for i, n := range u.Counts {
			hits[all.Features[i]] += n
		}
	}
	return hits, nil
}
