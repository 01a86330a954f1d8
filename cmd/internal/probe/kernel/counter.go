package kernel

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// TapDevice is a network device of the host that carries a guest's packets.
type TapDevice struct {
	Name  string
	Index int // of the interface, in the network namespace of this process
}

// Target is the domain to be observed. The caller has verified that all of it is the domain's.
type Target struct {
	PID        int    // of its QEMU
	Executable string // path of its QEMU, as this process can open it
	Taps       []TapDevice
}

// Options says how.
type Options struct {
	// Offset is what the clock of units is ahead of CLOCK_MONOTONIC, nanoseconds. Units begin at its whole multiples of [unit.Width].
	Offset int64
	// Headers has [probe.Tap] look at TCP headers and addresses, too.
	Headers bool
}

// Counter counts what one source sees of a domain. It may be used by several goroutines.
type Counter struct {
	mu     sync.Mutex
	in     instrument // set to its zero value by Close
	ring   *ring      // nil: closed
	ended  bool       // no unit comes any more
	misses uint64     // hits that the kernel did not give to the programs, when it last said so
}

// instrument is what a source has attached.
type instrument struct {
	counts   counts            // with an entry for each slot and one for what is lost
	set      func(meter) error // writes the programs' meter; nothing is counted before it is first called
	programs []*ebpf.Program   // all that count
	use      func() use        // what programs have done for this domain
	detach   func() error      // ends the counting
	close    func() error      // frees everything, after detach
	detail   func() string     // for people: what is observed
	refresh  func() error      // before units are read; an error ends the source. May be nil
	derive   deriver           // fills columns that are no plain counts. May be nil
}

// attachers has what each source is attached by.
var attachers = map[probe.Source]func(Target, Options) (instrument, error){
	probe.Tap:       attachTap,
	probe.Functions: attachFunctions,
	probe.Syscalls:  attachSyscalls,
	probe.KVM:       attachKVM,
}

// Attach begins to count. Where it fails, nothing stays attached. Errors wrap one of this package's.
func Attach(source probe.Source, t Target, o Options) (*Counter, error) {
	attach := attachers[source]
	if attach == nil {
		return nil, fmt.Errorf("attach %q: there is no such source: %w", source, ErrUnsupported)
	}
	in, err := attach(t, o)
	if err != nil {
		return nil, fmt.Errorf("attach %s: %w", source, err)
	}
	return newCounter(in, source, o)
}

// newCounter begins to count by what is attached, or closes it.
func newCounter(in instrument, source probe.Source, o Options) (*Counter, error) {
	clock := clockAt(o.Offset)
	r, err := newRing(in, len(source.Columns()), o.Offset, clock)
	if err != nil {
		return nil, fmt.Errorf("attach %s: %w", source, errors.Join(err, in.detach(), in.close()))
	}
	return &Counter{in: in, ring: r, misses: missed(in.programs)}, nil
}

// Collect returns the units that have ended since the last time, in the order of time and without gaps. The first one is partial, as it
// begins when Attach did. With last, it ends the counting, and the unit that has not ended is among them; there are none afterwards.
// An error ends the source: what it names is gone, or the kernel's counts cannot be read. Close remains to be called.
func (c *Counter) Collect(last bool) ([]unit.Unit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ring == nil {
		return nil, ErrClosed
	}
	if c.ended {
		return nil, nil
	}
	var broken error
	if c.in.refresh != nil {
		broken = c.in.refresh()
	}
	read := c.ring.collect
	if last || broken != nil {
		c.ended = true
		broken = errors.Join(broken, c.in.detach())
		read = c.ring.rest
	}
	units, err := read()
	if err != nil && !c.ended {
		c.ended = true // what has been read of these units does not come again
		err = errors.Join(err, c.in.detach())
	}
	c.missed(units)
	return units, errors.Join(broken, err)
}

// missed adds to the units' loss what the kernel did not give to the programs since it was last asked.
func (c *Counter) missed(units []unit.Unit) {
	misses := missed(c.in.programs)
	if len(units) == 0 || misses <= c.misses {
		return
	}
	for i := range units {
		units[i].Lost += misses - c.misses // which of them it was is not known
	}
	c.misses = misses
}

// missed returns how many hits the kernel has not given to programs, because it was in the midst of one.
func missed(programs []*ebpf.Program) (misses uint64) {
	for _, p := range programs {
		if s, err := p.Stats(); err == nil {
			misses += s.RecursionMisses
		}
	}
	return misses
}

// Stats returns how often the source's programs have run and how many nanoseconds that took, both 0 where the kernel does not
// keep that (sysctl kernel.bpf_stats_enabled) or the counter is closed. Where programs serve several domains, each has the same share of
// all that they do, for processes that are no domain's, too.
func (c *Counter) Stats() (hits, ns uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ring == nil {
		return 0, 0
	}
	u := c.in.use()
	return u.hits, u.ns
}

// Detail says for people what is observed: "vnet0, vnet1".
func (c *Counter) Detail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ring == nil {
		return ""
	}
	return c.in.detail()
}

// Close ends the counting and frees what it took. It may be called more than once.
func (c *Counter) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ring == nil {
		return nil
	}
	in := c.in
	c.in, c.ring = instrument{}, nil
	if c.ended {
		return in.close()
	}
	return errors.Join(in.detach(), in.close())
}
