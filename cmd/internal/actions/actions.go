// Package actions runs monitoring actions: closer looks at a domain, each by named sources, for a bounded time, at a price that is asked for beforehand and measured
// while it is paid. What may run is decided in a [Registry]; a [Manager] runs it. How a domain is observed, and what that costs, is for others to know.
package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// The names of actions. A group of QEMU's trace points is GroupPrefix and a subsystem.
const (
	GroupPrefix = "probes:"
	AllProbes   = "probes:all"     // all trace points of QEMU
	Syscalls    = "syscalls"       // system calls of QEMU
	KVM         = "kvm"            // what KVM does for the guest
	Tap         = "tap"            // packets by size
	TapHeaders  = "tap-headers"    // packets by size, flags, ports and peers
	Functions   = "functions"      // functions of QEMU
	GuestCalls  = "guest-syscalls" // the guest's own system calls, at each of which it is stopped
)

// Limits of all domains together, whatever is configured.
const (
	MostRunning = 16        // at once
	MostOfOne   = 4         // of one domain
	Longest     = time.Hour // that one may take
	mostKept    = 64        // that are over
	mostTallies = 2048      // features that are told apart
	topTallies  = 12        // of a unit, in a list
)

// Shortest is what an action takes at least: two units, the first of which is seen in part.
const Shortest = 4 * time.Second

// hour is the time in which [Limits.Allowance] is used up.
const hour = time.Hour

// ErrGone says that the domain's QEMU has ended.
var ErrGone = errors.New("the domain's QEMU has ended")

// Subject is the domain that is looked at.
type Subject struct{ UUID, Name string }

// Limits are what an operator allows of one domain.
type Limits struct {
	Budget   *float64 // what all actions together may cost at any time, as a part of the guest's speed; nil: anything
	Unpriced bool     // actions of which the price is not known may run, though there is a budget
	Usual    time.Duration
	Longest  time.Duration
	// Allowance is how much of the guest's time actions may take within an hour: what they cost times how long they run. 0: any.
	Allowance time.Duration
}

// free says whether actions may run of which the price is not known.
func (l Limits) free() bool { return l.Unpriced || l.Budget == nil && l.Allowance == 0 }

// Pricer predicts prices. It may be used by several goroutines.
type Pricer interface {
	// Quotes looks at a domain, which may take a moment, and returns what tells prices for it.
	Quotes(d Subject) Quotes
}

// Quotes say what a domain will lose of its speed by these actions, beside the ones that run already (some may be in both), and beside what it is observed by in any
// case. A price that is not known says why. Telling one waits for nothing: it is done under the registry's lock, which every domain's watcher takes.
type Quotes func(with, beside []string) control.ActionPrice

// Appraiser finds out what an action really costs.
type Appraiser interface {
	// Appraise begins to measure a run of actions beside others.
	Appraise(d Subject, with, beside []string) Gauge
}

// Gauge measures one run. One goroutine uses it.
type Gauge interface {
	// Measure takes in what was seen and returns the price as it is known by now.
	Measure(e Evidence) control.ActionPrice
	// Close ends it. What it has found is for the prices of later actions to know.
	Close()
}

// Evidence is what a unit tells of an action's price.
type Evidence struct {
	Start   time.Time
	Seconds float64           // that were observed
	Counts  map[string]uint64 // hits by feature
	Lost    uint64            // events that may be missing
	Held    float64           // seconds in which the guest was stopped for it
}

// Unit is what an observation has counted in one interval of the grid, nanoseconds.
type Unit struct {
	Start, Duration int64
	Lost            uint64
	Held            int64             // in which the guest was stopped for it
	Counts          map[string]uint64 // those that are not zero
	Events          []control.ActionEvent
}

// Observation is a domain being observed by actions. One goroutine uses it.
type Observation interface {
	// Collect returns the units that have ended. Errors: ErrGone; any error ends the observation, and there may be units all the same.
	Collect(ctx context.Context) ([]Unit, error)
	// Finish ends it, lets go of everything, and returns the rest.
	Finish(ctx context.Context) ([]Unit, error)
	// Describe says what a feature is. It may say more as time goes on.
	Describe(feature string) string
	// Remark is what there is to know of it, such as a part that sees nothing.
	Remark() string
}

// Host observes domains.
type Host interface {
	// Observe begins to. An error says why that cannot be.
	Observe(ctx context.Context, d Subject, id string, names []string) (Observation, error)
}

// check refuses what cannot be asked for in any case. The names are those of a request; known says which there are.
func check(names []string, known func(string) bool) error {
	if len(names) == 0 {
		return fmt.Errorf("%w: no action is named", control.ErrRefused)
	}
	for i, n := range names {
		switch {
		case !known(n):
			return fmt.Errorf("%w: there is no action %.60q (virtsentry look actions DOMAIN lists them)", control.ErrRefused, n)
		case slices.Contains(names[:i], n):
			return fmt.Errorf("%w: action %s is there twice", control.ErrRefused, n)
		}
	}
	if slices.Contains(names, Tap) && slices.Contains(names, TapHeaders) {
		return fmt.Errorf("%w: %s counts all that %s does: name one of the two", control.ErrRefused, TapHeaders, Tap)
	}
	if i := slices.IndexFunc(names, IsGroup); i >= 0 && slices.Contains(names, AllProbes) {
		return fmt.Errorf("%w: %s counts all that %s does: name one of the two", control.ErrRefused, AllProbes, names[i])
	}
	return nil
}

// IsGroup says whether an action is a group of trace points, and not all of them.
func IsGroup(name string) bool { return strings.HasPrefix(name, GroupPrefix) && name != AllProbes }
