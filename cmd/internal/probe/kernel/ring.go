package kernel

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	width = int64(unit.Width)
	// slots is how many units can wait to be read: SLOTS of bpf/unit.bpf.h.
	slots = 4
	// settle is how long after its end a unit is read: a program that has seen its end coming has counted by then. What comes later still
	// counts, in the unit that uses the same entry next.
	settle = int64(10 * time.Millisecond)
)

// meter is what a program counts by: struct meter of bpf/unit.bpf.h.
type meter struct {
	Limit  uint64
	Offset uint64
}

// counts is a per-CPU map of counts. It is read by entry.
type counts interface {
	// LookupBytes returns an entry's values on each possible CPU, one after the other.
	LookupBytes(key any) ([]byte, error)
}

// deriver fills columns of the unit with a number that are no plain counts, before another unit can take its entry.
type deriver func(number int64, counts []uint64) error

// ring cuts what programs have counted into units. Use it in one goroutine at a time.
type ring struct {
	counts  counts
	columns int
	set     func(meter) error // writes the programs' meter
	derive  deriver           // may be nil
	clock   func() int64      // CLOCK_MONOTONIC plus offset, nanoseconds
	offset  int64

	began            int64               // when the observation began, by clock
	next             int64               // number of the unit to be read next
	limit            int64               // as the programs know it
	lossFrom, lossTo int64               // numbers of the first and the last unit that may have lost something
	seen             [slots + 1][]uint64 // each entry's sums when it was last read
	spare            []uint64            // sums, reused
}

// newRing lets the programs count from now on.
func newRing(in instrument, columns int, offset int64, clock func() int64) (*ring, error) {
	r := &ring{counts: in.counts, set: in.set, derive: in.derive, columns: columns, offset: offset, clock: clock, lossTo: -1}
	r.spare = make([]uint64, columns)
	for i := range r.seen {
		r.seen[i] = make([]uint64, columns)
	}
	r.began = clock()
	if r.began <= 0 {
		return nil, fmt.Errorf("begin to count: an offset of %d ns from CLOCK_MONOTONIC gives no time after 0", offset)
	}
	r.next = r.began / width
	// No program may see a limit without the offset.
	if err := in.set(meter{Offset: uint64(offset)}); err != nil {
		return nil, fmt.Errorf("set the clock of units: %w", err)
	}
	if err := r.raise(r.next); err != nil {
		return nil, err
	}
	return r, nil
}

// raise lets programs count as many units from the next one on as there are entries. What is lost in units before first is known.
func (r *ring) raise(first int64) error {
	limit := r.next + slots
	if limit == r.limit {
		return nil
	}
	if err := r.set(meter{Limit: uint64(limit), Offset: uint64(r.offset)}); err != nil {
		return fmt.Errorf("set the limit of what is counted: %w", err)
	}
	// Until now something may have been lost.
	if now := r.clock() / width; r.limit > 0 && now >= r.limit {
		if r.lossTo < first {
			r.lossFrom = r.limit
		}
		r.lossTo = now
	}
	r.limit = limit
	return nil
}

// collect returns the units that have ended.
func (r *ring) collect() ([]unit.Unit, error) {
	return r.read((r.clock()-settle)/width, r.clock())
}

// rest returns the units until now, the one that has not ended included. The programs must have ended before.
func (r *ring) rest() ([]unit.Unit, error) {
	end := r.clock()
	if end <= r.began {
		return nil, nil
	}
	return r.read((end+width-1)/width, end)
}

// read returns the units from the next one to the one before the unit with number to, which is cut at end.
func (r *ring) read(to, end int64) ([]unit.Unit, error) {
	if to <= r.next {
		return nil, nil
	}
	first, counted := r.next, min(to, r.limit)
	units := make([]unit.Unit, 0, to-first)
	for n := first; n < to; n++ {
		start := max(n*width, r.began)
		u := unit.Unit{Start: start, Duration: min((n+1)*width, end) - start, Counts: make([]uint64, r.columns)}
		if n < counted {
			if err := r.take(uint32(n%slots), u.Counts); err != nil {
				return nil, err
			}
			if r.derive != nil {
				if err := r.derive(n, u.Counts); err != nil {
					return nil, err
				}
			}
		}
		units = append(units, u)
	}
	r.next = to
	if err := r.raise(first); err != nil {
		return nil, err
	}
	if r.lossTo < first {
		return units, nil
	}
	return units, r.markLost(units, first)
}

// take adds to each column what an entry counted since it was last read.
func (r *ring) take(entry uint32, into []uint64) error {
	if err := r.sum(entry); err != nil {
		return err
	}
	for i, n := range r.spare {
		into[i] += n - r.seen[entry][i]
	}
	copy(r.seen[entry], r.spare)
	return nil
}

// sum adds up an entry over all CPUs, into spare.
func (r *ring) sum(entry uint32) error {
	b, err := r.counts.LookupBytes(entry)
	if err != nil {
		return fmt.Errorf("read counts: %w", err)
	}
	size := 8 * r.columns
	if len(b) == 0 || len(b)%size != 0 {
		return fmt.Errorf("read counts: %d bytes for %d columns", len(b), r.columns)
	}
	clear(r.spare)
	for ; len(b) > 0; b = b[size:] {
		for i := range r.spare {
			r.spare[i] += binary.NativeEndian.Uint64(b[8*i:])
		}
	}
	return nil
}

// markLost sets what units have lost, of which first is the number of the first. Units of the same remainder by the number of columns
// share one count of what was lost: then each has the sum, an upper bound.
func (r *ring) markLost(units []unit.Unit, first int64) error {
	if err := r.sum(slots); err != nil {
		return err
	}
	columns, seen := int64(r.columns), r.seen[slots]
	for i := range units {
		if n := first + int64(i); n >= r.lossFrom && n <= r.lossTo {
			column := n % columns
			units[i].Lost += r.spare[column] - seen[column]
		}
	}
	// What units to come have lost already stays for them.
	keep := make(map[int64]bool)
	for n := r.next; n <= r.lossTo && n < r.next+columns; n++ {
		keep[n%columns] = true
	}
	for n := first; n < r.next && n < first+columns; n++ {
		if column := n % columns; !keep[column] {
			seen[column] = r.spare[column]
		}
	}
	return nil
}

// clockAt returns a clock of units: CLOCK_MONOTONIC plus an offset, nanoseconds.
func clockAt(offset int64) func() int64 {
	return func() int64 {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // it fails for unknown clocks only
		return t.Nano() + offset
	}
}
