// Package probe is how the daemon asks virtsentry-probe, the small privileged helper, what the host's kernel sees of a domain. The kernel
// counts, in eBPF programs; once a unit the counts are read. Nothing is pinned: programs and filters end with the helper, and a domain's
// with the connection that asked for them.
package probe

import (
	"errors"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// DefaultSocket is where virtsentry-probe listens.
const DefaultSocket = "/run/virtsentry/probe.sock"

// Version is that of the sources' columns: units of different versions do not compare.
const Version = "1"

// Source is one way in which the kernel observes a domain.
type Source string

// The sources.
const (
	Tap       Source = "tap"       // packets on the tap devices of its interfaces, by length and direction
	Functions Source = "functions" // functions that its QEMU exports, by uprobes; or SDT probes where it was built with them
	Syscalls  Source = "syscalls"  // system calls of its QEMU, by number and role of the thread
	KVM       Source = "kvm"       // what KVM does for it: exits by reason
)

// Sources lists all sources, in the order in which their columns stand in a unit.
func Sources() []Source { return []Source{Tap, Functions, Syscalls, KVM} }

// Known says whether there is such a source.
func (s Source) Known() bool { return slices.Contains(Sources(), s) }

// Column is one thing that a source counts.
type Column struct {
	Name      string // unique among all sources and feature sets: "tap:received:len=64-71"
	Subsystem string // network, disk, virtio, ...
	Words     string // for people: "packets of 64 to 71 bytes received by the guest"
}

// Attach asks for the observation of a domain, the first request on a connection. Without a UUID and sources it asks only whether the helper serves
// the caller, and another one may follow.
type Attach struct {
	UUID    string   `json:"uuid"`
	Sources []Source `json:"sources"`
	// Offset is what the caller's clock of units is ahead of CLOCK_MONOTONIC, nanoseconds. Units begin at its whole multiples of two seconds.
	Offset int64 `json:"offset"`
	// Headers has Tap look at TCP headers, too: shares of SYN, ACK and RST, how many ports and peers there were. Without, those columns stay 0.
	Headers bool `json:"headers,omitempty"`
}

// Attached says what is observed now. A source that could not be attached has an error, and the others work.
type Attached struct {
	PID     int        `json:"pid"`   // of the domain's QEMU, as the helper has found it
	Start   uint64     `json:"start"` // of that process, clock ticks after boot (proc_pid_stat(5), field 22)
	Sources []Observed `json:"sources"`
	Error   string     `json:"error,omitempty"` // nothing is observed
}

// Observed is the state of one source.
type Observed struct {
	Source Source `json:"source"`
	Error  string `json:"error,omitempty"`
	Detail string `json:"detail,omitempty"` // for people: which devices, how many functions
}

// Collect asks for the units that have ended since the last time. Last ends the observation and asks for the rest, the unit that has not ended included.
type Collect struct {
	Last bool `json:"last,omitempty"`
}

// Collected answers Collect.
type Collected struct {
	Sources []Units `json:"sources"`
	// Changed says that the domain has other tap devices by now than those that are observed: attach anew, on another connection, to see them.
	Changed bool   `json:"changed,omitempty"`
	Error   string `json:"error,omitempty"` // why the observation has ended by itself, such as with the domain; these are its last units
}

// Units are those of one source, in the order of time, without gaps. Counts are in the order of [Source.Columns]. The first one after Attach is partial.
type Units struct {
	Source Source      `json:"source"`
	Units  []unit.Unit `json:"units"`
	Hits   uint64      `json:"hits"`            // of its programs so far
	Time   uint64      `json:"time_ns"`         // that these took in the kernel, nanoseconds; 0: not measured (kernel.bpf_stats_enabled)
	Error  string      `json:"error,omitempty"` // why the source has ended, such as a device that is gone
}

// Errors that a client can tell apart.
var (
	// ErrNoHelper says that nobody listens on the helper's socket.
	ErrNoHelper = errors.New("virtsentry-probe does not run")
	// ErrRefused says that the helper does not serve the caller, or not what it asks for.
	ErrRefused = errors.New("refused by virtsentry-probe")
)
