package unit

import (
	"math"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/ctf"
)

const (
	maxProcesses = 16      // whose devices are remembered
	maxPending   = 1 << 16 // counts that wait for their queue's role
	noTime       = math.MinInt64
)

// NewSetCutter returns a Cutter that counts the columns of a feature set. What a set says about devices is learnt as the events come, and
// kept from chunk to chunk.
func NewSetCutter(set *catalogue.Set) *Cutter {
	c := NewCutter([]string{})
	c.features = set.Names() // the set's own, which serves all that count by it
	c.set = &setState{
		Set: set, gapBase: make([]int, len(set.Entries())),
		missing: make(map[Missing]bool), pending: make(map[int64]map[pendingKey]uint64),
	}
	for i, e := range set.Entries() {
		if e.Gap {
			c.set.gapBase[i] = c.set.gaps
			c.set.gaps += max(len(e.Roles), 1) * (len(e.Values) + 1)
		}
	}
	return c
}

// Missing is a feature that a trace cannot have: its event lacks a field, or has it with another type. The columns stay 0.
type Missing struct {
	Event, Field string
}

// Missing returns what of the set the traces read so far could not have. An event that QEMU does not have at all is not in it: it is
// never hit.
func (c *Cutter) Missing() []Missing {
	if c.set == nil {
		return nil
	}
	var all []Missing
	for m := range c.set.missing {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Missing) int { return slices.Compare([]string{a.Event, a.Field}, []string{b.Event, b.Field}) })
	return all
}

// setState is what a Cutter holds for a feature set.
type setState struct {
	*catalogue.Set
	gapBase     []int // by entry: the first of its gaps' times
	gaps        int
	missing     map[Missing]bool
	processes   []*process // most recently used last
	fields      []ctf.Scalar
	pending     map[int64]map[pendingKey]uint64 // by the unit's grid number
	pendingKeys int
}

// pendingKey is a hit in a queue whose role was not known yet. It finds its column when the unit is closed.
type pendingKey struct {
	queue         *queue
	entry         int32
	value, bucket int32
}

// process is what is known of one traced process.
type process struct {
	dir       string
	uuid      ctf.UUID
	inventory *inventory
	last      []int64 // times of the last hits, for gaps
	pair      int     // the last of the pairs' events, -1 for none
}

// plan is what is done with the events of one class.
type plan struct {
	columns  []int // one more for each hit
	selector *ctf.Selector
	fields   int
	teller   teller
	args     []int // the teller's fields
	groups   []group
	queue    int                    // the field with the queue's address that groups tell apart; -1: none does
	byRole   [catalogue.Roles][]int // the groups that the hits in queues of a role may count in, or all hits where there is no queue
	pair     int                    // index in the pairs' events, -1 for none
	local    bool                   // what the event does depends on its own stream alone
}

// tally says what the plan comes to where events are only counted.
func (pl *plan) tally(t *ctf.Tally, class *ctf.EventClass) {
	switch {
	case pl == nil:
		t.Set(class, ctf.Pass)
	case !pl.local:
		t.Set(class, ctf.Stop)
	case pl.teller == tellsNothing && len(pl.columns) == 1:
		t.Set(class, pl.columns[0])
	case pl.teller == tellsRegion && len(pl.columns) == 0:
		t.StopWhere(class, "name", regionPrefix) // a region of another name is like any other event
	default:
		t.Set(class, ctf.Stop)
	}
}

// group is an entry of the set, with its fields' places in what is selected; -1 where it has no such field.
type group struct {
	*catalogue.Entry
	index               int
	where, value, field int
	signed              bool
}

// plan finds out what to do with an event class; nil if nothing.
func (s *setState) plan(class *ctf.EventClass) *plan {
	p := &plan{pair: -1, queue: -1}
	event := FeatureName(class.Name)
	var names []string
	place := func(name string, text bool) int {
		if name == "" {
			return -1
		}
		if !hasField(class, name, text) {
			s.miss(class, name)
			return -2
		}
		i := slices.Index(names, name)
		if i < 0 {
			i = len(names)
			names = append(names, name)
		}
		return i
	}
	entries := s.Entries()
	for i := range entries {
		e := &entries[i]
		if e.Event != event {
			continue
		}
		g := group{Entry: e, index: i, where: place(e.WhereField, true), value: place(e.ValueField, true), field: place(e.BucketField, false)}
		queue := -1
		if e.Roles != nil {
			queue = place(catalogue.QueueField(event), false)
		}
		if g.where == -2 || g.value == -2 || g.field == -2 || queue == -2 {
			continue
		}
		p.queue = max(p.queue, queue)
		g.signed = g.field >= 0 && isSigned(class, e.BucketField)
		if g.where < 0 && queue < 0 && g.value < 0 && e.Buckets == nil {
			p.columns = append(p.columns, e.Base)
		} else {
			p.groups = append(p.groups, g)
		}
	}
	if s.TellsQueues() {
		s.planTeller(p, event, place)
	}
	if s.Pairs() != nil {
		p.pair = slices.Index(s.Pairs().Events, event)
	}
	if p.columns == nil && p.groups == nil && p.teller == tellsNothing && p.pair < 0 {
		return nil
	}
	if len(names) > 0 {
		var err error
		if p.selector, err = class.Select(names...); err != nil {
			for _, n := range names { // checked one by one before: the class is refused as a whole
				s.miss(class, n)
			}
			p.groups, p.teller, names = nil, tellsNothing, nil
		}
	}
	p.settle()
	p.fields = len(names)
	s.fields = make([]ctf.Scalar, max(len(s.fields), len(names)))
	return p
}

// settle finds out what need not be found out at each hit.
func (p *plan) settle() {
	p.local = len(p.groups) == 0 && p.pair < 0 && p.teller.local()
	for role := range p.byRole {
		for i := range p.groups {
			g, of := &p.groups[i], catalogue.Role(role)
			if g.Roles == nil || of == catalogue.RoleUnknown || g.RoleIndex(of) >= 0 {
				p.byRole[role] = append(p.byRole[role], i)
			}
		}
	}
}

func (s *setState) planTeller(p *plan, event string, place func(string, bool) int) {
	t := tellers[event]
	for _, name := range t.fields {
		i := place(name, textFields[name])
		if i < 0 {
			return
		}
		p.args = append(p.args, i)
	}
	p.teller = t.teller
}

func (s *setState) miss(class *ctf.EventClass, field string) {
	s.missing[Missing{FeatureName(class.Name), field}] = true
}

// fieldType returns the type of a field, nil if there is none.
func fieldType(class *ctf.EventClass, name string) ctf.Type {
	if class.Fields != nil {
		for _, f := range class.Fields.Fields {
			if f.Name == name {
				return f.Type
			}
		}
	}
	return nil
}

func hasField(class *ctf.EventClass, name string, text bool) bool {
	switch fieldType(class, name).(type) {
	case *ctf.Integer, *ctf.Enum:
		return !text
	case *ctf.String:
		return text
	}
	return false
}

func isSigned(class *ctf.EventClass, name string) bool {
	switch t := fieldType(class, name).(type) {
	case *ctf.Integer:
		return t.Signed
	case *ctf.Enum:
		return t.Int.Signed
	}
	return false
}

// process returns what is known of a trace's process.
func (s *setState) process(dir string, md *ctf.Metadata) *process {
	i := slices.IndexFunc(s.processes, func(p *process) bool { return p.dir == dir && p.uuid == md.UUID })
	if i >= 0 {
		p := s.processes[i]
		s.processes = append(slices.Delete(s.processes, i, i+1), p)
		return p
	}
	p := &process{dir: dir, uuid: md.UUID, inventory: newInventory(), last: make([]int64, s.gaps)}
	p.inventory.packets = slices.ContainsFunc(md.Classes, func(c *ctf.EventClass) bool { return FeatureName(c.Name) == "qemu_deliver_packet" })
	p.begin()
	if len(s.processes) >= maxProcesses {
		s.processes = slices.Delete(s.processes, 0, 1)
	}
	s.processes = append(s.processes, p)
	return p
}

// begin forgets what was last: gaps and pairs do not reach over a break of the observation.
func (p *process) begin() {
	p.pair = -1
	for i := range p.last {
		p.last[i] = noTime
	}
}

// begin starts another observation.
func (s *setState) begin() {
	for _, p := range s.processes {
		p.begin()
	}
	clear(s.pending)
	s.pendingKeys = 0
}

// hit counts the event that the cursor is at into its unit. Of a local plan's event, p is not looked at.
func (s *setState) hit(p *process, cur *cursor) error {
	pl, counts := cur.plan, cur.at.counts
	if counts != nil {
		for _, col := range pl.columns {
			counts[col]++
		}
	}
	if pl.selector != nil {
		if err := cur.r.Select(pl.selector, s.fields); err != nil {
			return err
		}
	}
	if pl.local {
		cur.near.learn(pl, s.fields)
		return nil
	}
	if pl.teller != tellsNothing {
		p.inventory.learn(pl, s.fields, &cur.near, cur.time)
	}
	if counts == nil {
		return nil
	}
	if len(pl.groups) > 0 {
		s.hitGroups(p, pl, cur)
	}
	if pl.pair >= 0 {
		if pairs := s.Pairs(); p.pair >= 0 {
			counts[pairs.Base+p.pair*len(pairs.Events)+pl.pair]++
		}
		p.pair = pl.pair
	}
	return nil
}

func (s *setState) hitGroups(p *process, pl *plan, cur *cursor) {
	var q *queue
	of := catalogue.RoleUnknown
	if pl.queue >= 0 {
		if q = p.inventory.queue(s.fields[pl.queue].Uint); q != nil {
			of = q.role
		}
	}
	for _, i := range pl.byRole[of] {
		s.hitGroup(p, &pl.groups[i], q, of, cur)
	}
}

func (s *setState) hitGroup(p *process, g *group, q *queue, of catalogue.Role, cur *cursor) {
	if g.where >= 0 && (prefixOf(s.fields[g.where].Text, g.Where) == len(g.Where)) != g.WhereNot {
		return
	}
	var role, value, bucket int
	waits := false
	if g.Roles != nil {
		if role = g.RoleIndex(of); role < 0 && (of != catalogue.RoleUnknown || g.Gap) {
			return
		}
		waits = q != nil && of == catalogue.RoleUnknown && !g.Gap
	}
	if g.value >= 0 {
		value = prefixOf(s.fields[g.value].Text, g.Values)
	}
	switch {
	case g.Gap:
		last := &p.last[s.gapBase[g.index]+role*(len(g.Values)+1)+value]
		before := *last
		*last = cur.time
		if before == noTime {
			return
		}
		bucket = g.Buckets.Index(uint64(max(cur.time-before, 0)))
	case g.Buckets != nil:
		size := s.fields[g.field].Uint
		if g.signed && int64(size) < 0 {
			size = 0
		}
		bucket = g.Buckets.Index(size)
	}
	if waits && s.wait(pendingKey{q, int32(g.index), int32(value), int32(bucket)}, cur.at.slot) {
		return
	}
	if role >= 0 {
		cur.at.counts[g.Column(role, value, bucket)]++
	}
}

// prefixOf returns the index of the first prefix of text, len(prefixes) if there is none.
func prefixOf(text []byte, prefixes []string) int {
	for i, p := range prefixes {
		if len(text) >= len(p) && string(text[:len(p)]) == p {
			return i
		}
	}
	return len(prefixes)
}

// wait keeps a hit until its unit is closed; false if there is no room.
func (s *setState) wait(key pendingKey, unit int64) bool {
	m := s.pending[unit]
	if _, ok := m[key]; !ok {
		if s.pendingKeys >= maxPending {
			return false
		}
		s.pendingKeys++
		if m == nil {
			m = make(map[pendingKey]uint64)
			s.pending[unit] = m
		}
	}
	m[key]++
	return true
}

// resolve counts the hits of a unit that waited for their queue's role.
func (s *setState) resolve(unit int64, counts []uint64) {
	m := s.pending[unit]
	entries := s.Entries()
	for key, n := range m {
		if role := entries[key.entry].RoleIndex(key.queue.role); role >= 0 {
			counts[entries[key.entry].Column(role, int(key.value), int(key.bucket))] += n
		}
	}
	s.pendingKeys -= len(m)
	delete(s.pending, unit)
}
