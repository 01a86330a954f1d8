package catalogue

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// The sets that come with the programme.
const (
	CountsSet  = "counts"  // the hits of some twenty trace points
	PaperSet   = "paper"   // the five trace points of the paper's Table 1
	DefaultSet = "default" // few trace points, with their arguments
	WideSet    = "wide"    // the default set with registers by device, gaps and pairs: to choose from
)

//go:embed sets/*.toml
var sets embed.FS

// semantics numbers what this package and package unit make of a set file. It is part of every set's version.
const semantics = 1

// ErrSet says that there is no such set, or that a set file is wrong.
var ErrSet = errors.New("no feature set")

// Set is a compiled feature set: a fixed list of columns, and what is counted into each. It does not change and may be used by several
// goroutines.
type Set struct {
	name     string
	version  string
	about    string
	identity []string
	entries  []Entry
	pairs    *Pairs
	columns  []Column
	names    []string // of columns
	index    map[string]int
}

// Column is one number of a unit.
type Column struct {
	Name      string // fit for a unit file's header
	Group     string // the name without its bucket: columns of one group stand side by side, and differ by size or by gap only
	Subsystem string // network, disk, virtio, memory, ...
	Words     string // what is counted, in the plural
}

// Entry is a group of columns: the hits of one event, divided by queue, by the value of a text and by buckets. A hit is counted in
// one of its columns or in none. The column is
//
//	Base + (role's index in Roles * number of values + value's index) * number of buckets + bucket's index
type Entry struct {
	Event string // without its provider

	WhereField string   // "": every hit; else those whose text begins as one of the prefixes (or, with WhereNot, as none)
	Where      []string //
	WhereNot   bool

	Roles []Role // nil: not told apart by queue. Hits of queues of other roles are not counted, unless Rest is among these

	ValueField string   // "": not told apart by a text
	Values     []string // prefixes; the first that fits counts, and one more column stands for all other texts

	BucketField string   // the integer that is bucketed, if Buckets is set and Gap is not
	Buckets     *Buckets // nil: not told apart by size
	Gap         bool     // the buckets are for the nanoseconds since the last hit of this entry with the same role and value

	Base int

	roles [Roles]int // by role: its index in Roles, -1 where it is not counted
}

// RoleIndex returns the index in Roles that a queue's hits count for, -1 if they do not. Rest stands for what no entry of the event names.
func (e *Entry) RoleIndex(r Role) int { return e.roles[r] }

// Pairs are counts of two events that follow one another, whatever other events there are in between. The pair of events i and j has the
// column Base + i*len(Events) + j.
type Pairs struct {
	Events []string
	Base   int
}

// Load returns a set by its name (counts, paper, default, wide), or else reads the set file at that path.
func Load(nameOrPath string) (*Set, error) {
	if data, err := sets.ReadFile("sets/" + nameOrPath + ".toml"); err == nil {
		return Parse(data)
	}
	f, err := os.Open(nameOrPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w %.80q: neither %s, %s, %s or %s nor a set file", ErrSet, nameOrPath, CountsSet, PaperSet, DefaultSet, WideSet)
	}
	if err != nil {
		return nil, fmt.Errorf("load feature set: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("load feature set: %w", err)
	}
	s, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nameOrPath, err)
	}
	return s, nil
}

// Parse compiles a set file's content. Unknown keys, values out of bounds and columns of the same name are errors, all of kind ErrSet.
func Parse(data []byte) (*Set, error) {
	f, err := decode(data)
	if err == nil {
		err = f.takeBase()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: set file: %w", ErrSet, err)
	}
	s := &Set{name: f.Name, about: f.About, identity: f.Identity, index: make(map[string]int)}
	for i := range f.Features {
		if err := s.add(&f.Features[i]); err != nil {
			return nil, fmt.Errorf("%w: set file: feature %d (event %.80q): %w", ErrSet, i+1, f.Features[i].Event, err)
		}
	}
	if err := s.addPairs(f.Pairs); err != nil {
		return nil, fmt.Errorf("%w: set file: pairs: %w", ErrSet, err)
	}
	s.settleRest()
	s.version = fmt.Sprintf("%s/%d+%x", f.Name, f.Version, s.sum()[:4])
	return s, nil
}

// takeBase puts the features of the set that the file builds on before its own.
func (f *file) takeBase() error {
	if f.Base == "" {
		return nil
	}
	data, err := sets.ReadFile("sets/" + f.Base + ".toml")
	if err != nil {
		return fmt.Errorf("base: %.80q is none of the sets that come with the programme", f.Base)
	}
	base, err := decode(data)
	if err != nil {
		return fmt.Errorf("base: %w", err)
	}
	if base.Base != "" || base.Pairs != nil {
		return fmt.Errorf("base: %.80q cannot be built on", f.Base)
	}
	f.Features = append(base.Features, f.Features...)
	f.Identity = append(base.Identity, f.Identity...)
	return nil
}

// sum returns a sum of what is counted into which column, and of what tells queues apart; words do not count.
func (s *Set) sum() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "semantics %d\nidentity %q\n", semantics, s.identity)
	for i := range s.entries {
		e := &s.entries[i]
		fmt.Fprintf(h, "entry %d of %q\n", e.Base, e.Event)
		if e.WhereField != "" {
			fmt.Fprintf(h, "where %q %q not %t\n", e.WhereField, e.Where, e.WhereNot)
		}
		if e.ValueField != "" {
			fmt.Fprintf(h, "values of %q\n", e.ValueField)
		}
	}
	for _, c := range s.columns {
		fmt.Fprintf(h, "column %q\n", c.Name)
	}
	return h.Sum(nil)
}

// Name returns the set's name.
func (s *Set) Name() string { return s.name }

// Version returns name, version and a sum of the set's content, such as "default/1+0a1b2c3d": units of different versions do not compare.
func (s *Set) Version() string { return s.version }

// About returns what the set's file says of it.
func (s *Set) About() string { return s.about }

// Columns returns the columns of a unit in their fixed order. The caller owns the slice.
func (s *Set) Columns() []Column { return slices.Clone(s.columns) }

// Names returns the columns' names, in the same order. The caller must not change them.
func (s *Set) Names() []string { return slices.Clip(s.names) }

// Describe returns a column's subsystem and plain words; for a column that the set does not have, "other" and the name.
func (s *Set) Describe(column string) (subsystem, words string) {
	if i, ok := s.index[column]; ok {
		return s.columns[i].Subsystem, s.columns[i].Words
	}
	return "other", column + " hits"
}

// Entries returns the groups of columns, for package unit. The caller must not change them.
func (s *Set) Entries() []Entry { return s.entries }

// Pairs returns the pairs that are counted, or nil. The caller must not change them.
func (s *Set) Pairs() *Pairs { return s.pairs }

// TellsQueues tells whether columns depend on whose queue a hit is of.
func (s *Set) TellsQueues() bool {
	return slices.ContainsFunc(s.entries, func(e Entry) bool { return e.Roles != nil })
}

// Ordered tells whether the counts depend on the order of events of different CPUs.
func (s *Set) Ordered() bool {
	return s.pairs != nil || slices.ContainsFunc(s.entries, func(e Entry) bool { return e.Roles != nil || e.Gap })
}

// Sequential tells whether the counts depend on what follows what, or on the time between, among the events of all CPUs: then they are to be read
// in order.
func (s *Set) Sequential() bool {
	return s.pairs != nil || slices.ContainsFunc(s.entries, func(e Entry) bool { return e.Gap })
}

// Events returns the names of all events to enable, without their provider, each once: those that are counted, and those that tell
// queues apart.
func (s *Set) Events() []string {
	var names []string
	for i := range s.entries {
		names = append(names, s.entries[i].Event)
	}
	if s.pairs != nil {
		names = append(names, s.pairs.Events...)
	}
	names = append(names, s.identity...)
	slices.Sort(names)
	return slices.Compact(names)
}

// TracePoints returns the events' full names, as LTTng wants them.
func (s *Set) TracePoints() []string {
	names := s.Events()
	for i, n := range names {
		names[i] = Provider + ":" + n
	}
	return names
}

// Column returns the column's index of a hit, given the index of its role in Roles, of its value and of its bucket (0 where the entry does
// not divide).
func (e *Entry) Column(role, value, bucket int) int {
	if e.ValueField != "" {
		role = role*(len(e.Values)+1) + value
	}
	if e.Buckets != nil {
		role = role*e.Buckets.Count() + bucket
	}
	return e.Base + role
}

// identityEvents tell which device, of which kind, has a queue.
var identityEvents = map[string]bool{
	"virtio_queue_notify": true, "virtio_notify": true, "virtio_notify_irqfd": true,
	"virtio_set_status": true, "memory_region_ops_write": true, "resettable_phase_hold_exec": true,
	"virtio_blk_handle_read": true, "virtio_blk_handle_write": true, "virtio_blk_req_complete": true, "virtio_blk_rw_complete": true,
	"virtio_rng_pushed": true, "virtio_rng_popped": true, "virtio_rng_request": true,
	"virtio_console_flush_buf": true, "virtqueue_fill": true, "qemu_deliver_packet": true,
}

// template fills in the words of a column.
func template(words, queue, value, span string) string {
	return strings.NewReplacer("{queue}", queue, "{value}", value, "{range}", span).Replace(words)
}
