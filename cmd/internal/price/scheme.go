// Package price turns what a domain has, counts of its units, into rates by the kinds of events that package cost knows the price of, and says a price in the
// words of an operator. Which source has which part of a price is here, so that the command and the daemon mean the same.
package price

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

// The sources that have a price, beside those of package probe and a group of trace points.
const (
	UST          = "ust"            // the trace points that the daemon enables by itself
	AllProbes    = "probes:all"     // all of QEMU's trace points
	GroupPrefix  = "probes:"        // before a subsystem: the trace points of the wide set that are of it
	TapHeaders   = "tap-headers"    // tap, with what the headers of packets tell
	GuestCalls   = "guest-syscalls" // the guest's own system calls, by stopping it at each
	probePrefix  = "probe:"         // of kinds: hits of trace points, by subsystem
	probeRest    = probePrefix + "rest"
	kindPacket   = "packet"
	kindFunction = "function"
	kindSyscall  = "syscall"
	kindKVM      = "kvm"
	kindGuest    = "guest-syscall"
)

// Subsystems are those of the default set's trace points, each of which is a group of its own.
var Subsystems = sync.OnceValue(func() []string {
	set, err := catalogue.Load(catalogue.DefaultSet)
	if err != nil { // it is part of the programme
		return nil
	}
	var names []string
	for _, c := range set.Columns() {
		names = append(names, c.Subsystem)
	}
	slices.Sort(names)
	return slices.Compact(names)
})

// Groups are the subsystems whose trace points an action can enable by themselves: those of the wide set.
var Groups = sync.OnceValue(func() []string {
	set, err := wide()
	if err != nil {
		return nil
	}
	var names []string
	columns := set.Columns()
	for _, e := range set.Entries() {
		if name := columns[e.Base].Subsystem; len(GroupEvents(name)) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
})

// GroupEvents are the trace points that the action of a group enables, with their provider: those whose features are of the subsystem, and, where it counts by what
// virtio queues are for, all by which queues are told apart.
func GroupEvents(subsystem string) []string {
	set, err := wide()
	if err != nil {
		return nil
	}
	columns, counted, own, tells := set.Columns(), map[string]bool{}, map[string]bool{}, false
	for _, e := range set.Entries() {
		counted[e.Event] = true
		if columns[e.Base].Subsystem == subsystem {
			own[e.Event] = true
			tells = tells || e.Roles != nil
		}
	}
	var events []string
	for _, name := range set.TracePoints() {
		event := unit.FeatureName(name)
		if own[event] || tells && (catalogue.QueueField(event) != "" || !counted[event]) {
			events = append(events, name)
		}
	}
	return events
}

// groupKinds are the kinds of which a group enables a trace point. A kind counts in full: that of a network card's has some hits that the group of virtio's does
// not see.
func groupKinds(subsystem string) []string {
	set, err := wide()
	if err != nil {
		return nil
	}
	enabled := map[string]bool{}
	for _, name := range GroupEvents(subsystem) {
		enabled[unit.FeatureName(name)] = true
	}
	var kinds []string
	columns := set.Columns()
	for _, e := range set.Entries() {
		if kind, ok := columnKind(columns[e.Base].Name); ok && enabled[e.Event] {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// Scheme returns the terms of which a price is made. A hit of a trace point costs the same whatever group it is of, and is paid by each source that sees it: each
// has a session of its own, and LTTng-UST records an event once for each. LTTng's reader is there once for all
// trace points, and the helper of the kernel's sources once for all of these.
func Scheme() cost.Scheme {
	ust := []string{UST, AllProbes}
	var s cost.Scheme
	for _, name := range Subsystems() {
		for _, source := range []string{UST, AllProbes} {
			s = append(s, cost.Term{Coefficient: "trace-point hit", Kind: probePrefix + name, By: []string{source}})
		}
	}
	for _, name := range Groups() {
		ust = append(ust, GroupPrefix+name)
		for _, kind := range groupKinds(name) {
			s = append(s, cost.Term{Coefficient: "trace-point hit", Kind: kind, By: []string{GroupPrefix + name}})
		}
	}
	tap := []string{string(probe.Tap), TapHeaders}
	functions, syscalls, kvm := string(probe.Functions), string(probe.Syscalls), string(probe.KVM)
	return append(s,
		// What the default set has no trace point for is among the rest here, even where a group has one.
		cost.Term{Coefficient: "trace-point hit", Kind: probeRest, By: []string{AllProbes}},
		cost.Term{Coefficient: "trace reader", By: ust},
		cost.Term{Coefficient: "all trace points", By: []string{AllProbes}},
		cost.Term{Coefficient: "uprobe", Kind: kindFunction, By: []string{functions}},
		cost.Term{Coefficient: "functions", By: []string{functions}},
		cost.Term{Coefficient: "system call", Kind: kindSyscall, By: []string{syscalls}},
		cost.Term{Coefficient: "packet", Kind: kindPacket, By: tap},
		cost.Term{Coefficient: "packet's headers", Kind: kindPacket, By: []string{TapHeaders}},
		cost.Term{Coefficient: "KVM trace point", Kind: kindKVM, By: []string{kvm}},
		cost.Term{Coefficient: "kernel's reader", By: append([]string{functions, syscalls, kvm}, tap...)},
		cost.Term{Coefficient: "guest system call", Kind: kindGuest, By: []string{GuestCalls}},
		cost.Term{Coefficient: "guest stub", By: []string{GuestCalls}},
	)
}

// Exclude says that two sources are never in use together, as one sees all that the other does.
func Exclude(a, b string) bool {
	if a > b {
		a, b = b, a
	}
	group := func(name string) bool { return strings.HasPrefix(name, GroupPrefix) }
	return a == string(probe.Tap) && b == TapHeaders || group(a) && group(b) && (a == AllProbes || b == AllProbes)
}

// wide is the feature set that groups are of.
var wide = sync.OnceValues(func() (*catalogue.Set, error) { return catalogue.Load(catalogue.WideSet) })

// set is the default feature set.
var set = sync.OnceValues(func() (*catalogue.Set, error) { return catalogue.Load(catalogue.DefaultSet) })

// partial are the kinds of which no source's units tell the rate: the wide set counts some hits of their trace points, by what these say, and each hit has a price.
// A calibration counts them by the trace points themselves, and elsewhere they are estimated.
var partial = sync.OnceValue(func() map[string]bool {
	kinds := make(map[string]bool)
	all, err := wide()
	if err != nil {
		return kinds
	}
	for _, e := range all.Entries() {
		if kind, ok := EventKind(e.Event); ok && e.WhereField != "" {
			kinds[kind] = true
		}
	}
	return kinds
})

// EventKind returns the kind of the hits of a trace point of a group, without its provider, of which the default set has none. ok is false for other trace points.
func EventKind(event string) (kind string, ok bool) {
	all, err := wide()
	if err != nil {
		return "", false
	}
	columns := all.Columns()
	for _, e := range all.Entries() {
		if name := columns[e.Base].Subsystem; e.Event == event && slices.Contains(Groups(), name) && !slices.Contains(Subsystems(), name) {
			return probePrefix + name, true
		}
	}
	return "", false
}

// Kind returns the kind of events that a unit's column counts. ok is false for a column whose hits are counted in another one, too (pairs of events, gaps between
// them, and what headers tell of packets), for one of a trace point of which not all hits are counted, and for the default set's columns if the set cannot be read.
func Kind(column string) (kind string, ok bool) {
	if kind, ok = columnKind(column); partial()[kind] {
		return "", false
	}
	return kind, ok
}

func columnKind(column string) (kind string, ok bool) {
	source, rest, found := strings.Cut(column, ":")
	switch {
	case !found:
	case source == string(probe.Tap):
		return kindPacket, strings.Contains(rest, ":len")
	case source == string(probe.Functions):
		return kindFunction, true
	case source == string(probe.Syscalls):
		return kindSyscall, true
	case source == string(probe.KVM):
		return kindKVM, true
	case source == GuestCalls:
		return kindGuest, true
	case source == "pair":
		return "", false
	}
	if strings.Contains(column, ":gap") {
		return "", false
	}
	s, err := set()
	if err != nil {
		return "", false
	}
	subsystem, _ := s.Describe(column)
	if slices.Contains(Subsystems(), subsystem) {
		return probePrefix + subsystem, true
	}
	// A trace point that the default set does not have.
	if w, err := wide(); err == nil {
		if subsystem, _ := w.Describe(column); slices.Contains(Groups(), subsystem) {
			return probePrefix + subsystem, true
		}
	}
	return probeRest, true
}

// SourceKinds returns the kinds of events that a source counts, so that one that was not hit has the rate 0, and is not unknown.
func SourceKinds(source string) []string { return Scheme().Kinds(source) }

// CheckSources refuses a name that no source has, and says which there are.
func CheckSources(names []string) error {
	known := Scheme().Sources()
	for _, n := range names {
		if !slices.Contains(known, n) {
			return fmt.Errorf("%w: %.80q: there are %s", cost.ErrUnknownSource, n, strings.Join(known, ", "))
		}
	}
	return nil
}
