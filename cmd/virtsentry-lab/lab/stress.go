package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Stress is one bounded stress of the paper's feature selection, or "cpu",
// or "idle", which does nothing for its time.
type Stress struct {
	Kind  string
	For   time.Duration
	Guest string // DefaultGuest if empty
}

// StressKinds lists the kinds of stress.
func StressKinds() []string {
	return []string{"cpu", "disk", "idle", "io", "memory", "network"}
}

// argv is the command line of a stress, and whether it runs in the guest.
func (s Stress) argv(guest netip.Addr) (argv []string, inGuest bool, err error) {
	secs := strconv.Itoa(int(s.For.Seconds()) + 1)
	// Scratch files belong on the guest's disk, not in its memory.
	onDisk := []string{"/bin/sh", "-c", `cd /var/tmp && exec "$@"`, "stress", "stress"}
	switch s.Kind {
	case "memory":
		return bounded(s.For, "TERM", append(onDisk, "--vm", "1", "--vm-bytes", "96M")...), true, nil
	case "io":
		return bounded(s.For, "TERM", append(onDisk, "--io", "2")...), true, nil
	case "disk":
		return bounded(s.For, "TERM", append(onDisk, "--hdd", "1", "--hdd-bytes", "128M")...), true, nil
	case "cpu":
		return bounded(s.For, "TERM", "sysbench", "cpu", "--time="+secs, "run"), true, nil
	case "network":
		return bounded(s.For, "INT", "ping", "-q", "-n", "-i", "0.002", guest.String()), false, nil
	case "idle":
		return bounded(s.For, "TERM", "sleep", secs), false, nil
	}
	return nil, false, fmt.Errorf("stress %q: want one of %v", s.Kind, StressKinds())
}

// Stress runs the stress and returns when its time is over, or when ctx ends,
// which is an error.
func (l *Lab) Stress(ctx context.Context, s Stress) error {
	if s.Guest == "" {
		s.Guest = DefaultGuest
	}
	if !slices.Contains(StressKinds(), s.Kind) {
		return fmt.Errorf("stress %q: want one of %v", s.Kind, StressKinds())
	}
	if err := checkFor(s.For); err != nil {
		return err
	}
	g, err := l.Guest(s.Guest)
	if err != nil {
		return err
	}
	argv, inGuest, err := s.argv(g.Addr)
	if err != nil {
		return err
	}
	what := "stress " + s.Kind
	l.log.Infof("%s of guest %s for %v", what, s.Guest, s.For)
	var res ExecResult
	if inGuest {
		res, err = l.execFor(ctx, s.Guest, s.For, argv)
	} else {
		res, err = l.runInside(ctx, argv)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	l.log.Debugf("%s: %s", what, tail(append(res.Stdout, res.Stderr...)))
	return judgeRun(what, res)
}
