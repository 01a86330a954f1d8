package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/cmd/internal/probe/kernel"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// KernelSources are those of the host's kernel that see something of the lab's guests, and why the others do not.
func (l *Lab) KernelSources() (can []probe.Source, cannot map[probe.Source]string, err error) {
	o, err := l.observable()
	if err != nil {
		return nil, nil, err
	}
	cannot = make(map[probe.Source]string)
	for _, s := range probe.Sources() {
		switch {
		case slices.Contains(o.kernel, s):
			can = append(can, s)
		case s == probe.KVM:
			cannot[s] = "the lab's guests run under TCG, and KVM does nothing for them"
		case s == probe.Functions:
			cannot[s] = "the lab's QEMU exports no functions, as it was built without modules"
		default:
			cannot[s] = "it sees nothing of the lab's guests"
		}
	}
	return can, cannot, nil
}

// FileEvents are hits by trace point.
const FileEvents = "events"

// Counts are the units of what the default feature set and all of the kernel's sources count while f runs, by source; [FileDefault] has the set's, and [FileEvents] the
// hits of all trace points of the wide one. It is an error
// when any event was lost.
func (l *Lab) Counts(ctx context.Context, guest string, f func(context.Context) error) (files map[string]unit.File, err error) {
	o, err := l.observable()
	if err != nil {
		return nil, err
	}
	pid, err := l.GuestPID(guest)
	if err != nil {
		return nil, err
	}
	offset, err := clockOffset()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(l.dir, "counts-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	trace := filepath.Join(dir, "trace")
	list, err := l.observe(ctx, guest, pid, o.kernel, kernel.Options{Offset: offset}, func(ctx context.Context) error {
		return l.tracing(ctx, pid, Recording{set: catalogue.WideSet}, trace, f)
	})
	if err != nil {
		return nil, err
	}
	files = make(map[string]unit.File)
	for name, by := range map[string]string{FileDefault: catalogue.DefaultSet, FileEvents: unit.Counts} {
		if files[name], err = unit.Cut(trace, by); err != nil {
			return nil, err
		}
	}
	for _, c := range list {
		files[string(c.source)] = c.file
	}
	for name, f := range files {
		if n := lossy(f.Units); n > 0 {
			return nil, fmt.Errorf("count events: %s lost some in %d units", name, n)
		}
	}
	return files, nil
}
