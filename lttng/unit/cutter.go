package unit

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// Limits of what a Cutter holds: the time stamps come from the traced process, which
// may be hostile.
const (
	// MaxUnits is how many units may be open at once, and how many Advance or End
	// may return: 24 days.
	MaxUnits = 1 << 20
	// maxCells bounds the counters of all open units together (1 GiB).
	maxCells = 1 << 27
	// maxStreams bounds the data streams that are remembered.
	maxStreams = 1 << 16
	// maxMetadata is how many parsed metadata are kept for the chunks to come.
	maxMetadata = 4
)

// ErrRange says that a time lies too far from the units that are open.
var ErrRange = errors.New("time too far from the observed interval")

// Cutter counts events into units. Feed it with ReadTrace: once with a whole trace, or
// with the chunks of a rotated session one after another. It is not safe for
// concurrent use.
//
// Loss is told by the packets' counters, which run on from chunk to chunk: when a
// packet's events_discarded is above the stream's last one, each unit that the time
// between the two packets' ends touches gets the whole difference, since it may be
// missing from any of them. A gap in the packets' sequence marks the units in between
// with at least 1. A stream's virtual predecessor is a packet with no losses at the
// observation's begin.
//
// What comes too late for its unit, or before the observation's begin, is in Late and
// in the first open unit's Lost. So is a loss that a packet tells of only after its unit
// was returned, as when a rotation finds a ring buffer full. After an error of ReadTrace every unit that the next
// Advance or End concerns has Lost of at least 1.
type Cutter struct {
	features []string
	index    map[string]int
	discover bool
	set      *setState // nil where events are counted
	maxOpen  int64

	begun   bool
	begin   int64 // start of the observation
	next    int64 // grid number of the first unit not returned yet
	newest  int64 // highest grid number with counts
	open    map[int64][]uint64
	late    uint64
	owed    uint64 // losses whose units are gone, for the next unit returned
	failed  bool
	lastEnd int64 // latest packet end or event seen

	losses  map[int64]loss // what begins or ends at a unit, by grid number
	now     loss           // what touches the unit to be returned next
	streams map[streamKey]*streamState
	parsed  []parsedMetadata // most recently used first
	growing metadataFile     // of the trace that ReadParts read last
}

// metadataFile is a trace's metadata file of a length, which is only ever appended to.
type metadataFile struct {
	path string
	size int64
}

// streamKey identifies a data stream across chunks. A process that restarts gets a new
// directory and a new trace UUID.
type streamKey struct {
	dir      string // the trace directory's own name: process, PID and time with LTTng
	uuid     ctf.UUID
	class    uint64
	instance uint64
	cpu      uint64
	file     string // where the stream has no instance id
}

// loss is how many events may be missing from a unit, and for how many reasons; with
// a reason but no number at least one is missing.
type loss struct {
	events  uint64
	reasons int64
}

// streamState is what the stream's last packet said.
type streamState struct {
	end       int64
	seq       uint64
	discarded uint64
}

type parsedMetadata struct {
	sum     [sha256.Size]byte
	md      *ctf.Metadata
	columns []int32 // by EventClass.Index: index into features, or one of the below
	plans   []*plan // by EventClass.Index, for a feature set: nil where nothing is done, or where columns say that it is not looked up yet
	tally   *ctf.Tally
}

const (
	columnUnknown = -1       // not looked up yet
	columnIgnored = ctf.Pass // none of the features asked for; with a feature set: looked up
)

// NewCutter returns a Cutter that counts these features, or, if features is nil, every
// event that occurs.
func NewCutter(features []string) *Cutter {
	c := &Cutter{
		features: slices.Clone(features),
		index:    make(map[string]int, len(features)),
		discover: features == nil,
		maxOpen:  MaxUnits,
		lastEnd:  math.MinInt64,
		open:     make(map[int64][]uint64),
		losses:   make(map[int64]loss),
		streams:  make(map[streamKey]*streamState),
	}
	for i, f := range features {
		c.index[f] = i
	}
	return c
}

// LimitOpen sets how many units may be open at once. A time stamp further ahead makes
// ReadTrace fail with ErrRange; who reads a running session sets a few, so that a
// traced process cannot make the Cutter hold many.
func (c *Cutter) LimitOpen(n int) { c.maxOpen = int64(n) }

// Begin starts the observation at t, in nanoseconds from the clock's origin; the first
// unit begins there. Call it before ReadTrace. After End it starts another observation
// of the same streams.
func (c *Cutter) Begin(t int64) {
	t = min(t, lastSlot*width)
	c.begun, c.begin, c.next = true, t, slot(t)
	c.newest = c.next
	c.now = loss{}
	clear(c.losses)
	if c.set != nil {
		c.set.begin()
	}
}

// Features returns the names of the units' columns. In a Cutter that discovers them
// new ones are appended as events occur.
func (c *Cutter) Features() []string { return slices.Clone(c.features) }

// Late returns how many events were read that belong before the first open unit.
func (c *Cutter) Late() uint64 { return c.late }

// LastTime returns the latest time seen in packets' ends and events, in nanoseconds
// from the clock's origin; ok is false before there is one.
func (c *Cutter) LastTime() (t int64, ok bool) {
	return c.lastEnd, c.lastEnd != math.MinInt64
}

// Fail says that something was not read that ReadTrace or ReadParts would have been given: every unit that the next Advance or End concerns has Lost of at
// least 1, as after an error of theirs.
func (c *Cutter) Fail() { c.failed = true }

// ReadTrace counts the events of all traces at or below dir, in a rotated session one
// chunk. The error says what could not be read; what was read before it is counted.
func (c *Cutter) ReadTrace(dir string) error {
	err := c.readTrace(dir)
	c.failed = c.failed || err != nil
	return err
}

// ReadParts counts the events of parts of one trace's data files, by their names in dir ([ctf.OpenParts]): those of a trace that is still being written,
// of which each part is read once. Otherwise it is ReadTrace.
func (c *Cutter) ReadParts(dir string, parts map[string]ctf.Part) error {
	err := c.readParts(dir, parts)
	c.failed = c.failed || err != nil
	return err
}

func (c *Cutter) readParts(dir string, parts map[string]ctf.Part) error {
	if len(parts) == 0 {
		return nil
	}
	file := metadataFile{path: filepath.Join(dir, "metadata")}
	info, err := os.Stat(file.path)
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	if file.size = info.Size(); file != c.growing {
		c.growing = metadataFile{}
		t, err := c.openTrace(dir, parts)
		if err == nil {
			defer t.Close()
			c.growing = file
			err = c.count(t)
		}
		return err
	}
	p := c.parsed[0]
	t, err := ctf.OpenParts(dir, p.md, parts)
	if err != nil {
		return err
	}
	defer t.Close()
	return c.count(opened{t, p.columns, p.plans, p.tally})
}

func (c *Cutter) readTrace(dir string) error {
	c.growing = metadataFile{} // c.parsed changes
	traces, err := c.openAll(dir)
	if err != nil {
		return err
	}
	for _, t := range traces {
		if err := c.count(t); err != nil {
			return err
		}
	}
	return nil
}

// opened is a trace with the columns of its events.
type opened struct {
	*ctf.Trace
	columns []int32
	plans   []*plan
	tally   *ctf.Tally
}

func (c *Cutter) openAll(dir string) ([]opened, error) {
	dirs, err := ctf.FindTraces(dir)
	if err != nil {
		return nil, err
	}
	var traces []opened
	for _, d := range dirs {
		t, err := c.openTrace(d, nil)
		if err != nil {
			return nil, err
		}
		traces = append(traces, t)
	}
	// The chunks of one session are in order by time, not always by name.
	slices.SortStableFunc(traces, func(a, b opened) int {
		ta, _ := a.Span()
		tb, _ := b.Span()
		return cmp.Compare(ta, tb)
	})
	return traces, nil
}

func (c *Cutter) openTrace(dir string, parts map[string]ctf.Part) (opened, error) {
	data, err := ctf.ReadMetadataFile(dir)
	if err != nil {
		return opened{}, err
	}
	text, err := ctf.MetadataText(data)
	if err != nil {
		return opened{}, ctf.InFile(err, filepath.Join(dir, "metadata"))
	}
	sum := sha256.Sum256([]byte(text))
	i := slices.IndexFunc(c.parsed, func(p parsedMetadata) bool { return p.sum == sum })
	if i < 0 {
		md, err := ctf.ParseMetadata([]byte(text))
		if err != nil {
			return opened{}, ctf.InFile(err, filepath.Join(dir, "metadata"))
		}
		p := parsedMetadata{sum: sum, md: md, columns: make([]int32, len(md.Classes)), tally: md.NewTally()}
		for i := range p.columns {
			p.columns[i] = columnUnknown
		}
		if c.set != nil {
			p.plans = make([]*plan, len(md.Classes))
		}
		c.parsed = append(c.parsed[:min(len(c.parsed), maxMetadata-1)], p)
		i = len(c.parsed) - 1
	}
	p := c.parsed[i]
	copy(c.parsed[1:i+1], c.parsed[:i])
	c.parsed[0] = p
	t, err := ctf.OpenParts(dir, p.md, parts)
	return opened{t, p.columns, p.plans, p.tally}, err
}

// column returns the column of an event class seen for the first time.
func (c *Cutter) column(class *ctf.EventClass) int32 {
	name := FeatureName(class.Name)
	if i, ok := c.index[name]; ok {
		return int32(i)
	}
	if !c.discover {
		return columnIgnored
	}
	c.index[name] = len(c.features)
	c.features = append(c.features, name)
	return int32(len(c.features) - 1)
}

func (c *Cutter) count(t opened) error {
	if c.set != nil {
		return c.countSet(t)
	}
	for _, s := range t.Streams {
		if err := c.countStream(t, s); err != nil {
			return err
		}
	}
	return nil
}

var errNotBegun = errors.New("count events: observation has not begun")

// stream returns what was last known of a data stream.
func (c *Cutter) stream(t opened, s *ctf.Stream) (*streamState, error) {
	key := streamKey{dir: filepath.Base(t.Dir), uuid: t.Metadata.UUID, class: s.Class.ID, instance: s.Instance, cpu: s.First.CPU}
	if !s.HasInstance {
		key.file = filepath.Base(s.Files[0])
	}
	state := c.streams[key]
	if state == nil {
		if len(c.streams) >= maxStreams {
			return nil, fmt.Errorf("count events: more than %d data streams", maxStreams)
		}
		state = &streamState{end: c.begin, seq: math.MaxUint64}
		c.streams[key] = state
	}
	return state, nil
}

func (c *Cutter) countStream(t opened, s *ctf.Stream) error {
	if !c.begun {
		return errNotBegun
	}
	state, err := c.stream(t, s)
	if err != nil {
		return err
	}
	r := s.Reader()
	defer r.Close()
	for r.NextPacket() {
		if err := c.account(state, &r.Packet); err != nil {
			return fmt.Errorf("%s: packet at byte %d: %w", r.Path(), r.Packet.Offset, err)
		}
		if err := c.countPacket(r, t); err != nil {
			return err
		}
	}
	return r.Err()
}

// countPacket counts the events of the packet that r is at.
func (c *Cutter) countPacket(r *ctf.Reader, trace opened) error {
	var counts []uint64       // of the unit that the last event was in
	var from, to int64 = 1, 0 // that unit's interval: none yet
	t := c.lastEnd
	for at := false; at || r.Next(); {
		t, at = r.Time(), false
		if t < from || t >= to {
			n := slot(t)
			if n < c.next || t < c.begin {
				c.late++
				c.owed++
				continue
			}
			var err error
			if counts, err = c.unit(n); err != nil {
				return fmt.Errorf("%s: packet at byte %d: event at %d ns: %w", r.Path(), r.Packet.Offset, t, err)
			}
			from, to = max(n*width, c.begin), n*width+width
		}
		col := trace.columns[r.Class.Index]
		if col == columnUnknown {
			col = c.column(r.Class)
			trace.columns[r.Class.Index] = col
			trace.tally.Set(r.Class, int(col))
		}
		if col < 0 {
			continue
		}
		if int(col) >= len(counts) {
			counts = append(counts, make([]uint64, int(col)+1-len(counts))...)
			c.open[slot(t)] = counts
		}
		counts[col]++
		_, at = r.Tally(trace.tally, to, counts)
		t = r.Time()
	}
	c.lastEnd = max(c.lastEnd, t)
	return nil
}

// unit returns the counters of open unit n.
func (c *Cutter) unit(n int64) ([]uint64, error) {
	if counts, ok := c.open[n]; ok {
		return counts, nil
	}
	if n-c.next >= c.maxOpen || n >= lastSlot || (len(c.open)+1)*(len(c.features)+1) > maxCells {
		return nil, ErrRange
	}
	counts := make([]uint64, len(c.features))
	c.open[n] = counts
	c.newest = max(c.newest, n)
	return counts, nil
}
