package catalogue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// allQueues in a feature's queues stands for every role.
const allQueues = "*"

// add compiles a feature's columns.
func (s *Set) add(f *feature) error {
	e := Entry{Event: f.Event, Base: len(s.columns)}
	if w := f.Where; w != nil {
		e.WhereField, e.Where, e.WhereNot = w.Field, w.Is, len(w.Not) > 0
		if e.WhereNot {
			e.Where = w.Not
		}
	}
	if err := e.addRoles(f); err != nil {
		return err
	}
	e.addBuckets(f)
	if v := f.Values; v != nil {
		e.ValueField = v.Field
		for _, x := range v.List {
			e.Values = append(e.Values, x.Prefix)
		}
	}
	base := f.Event
	if f.Name != "" {
		base = f.Name
	}
	for r := range max(len(e.Roles), 1) {
		name, queue := base, ""
		if e.Roles != nil {
			name += ":" + e.Roles[r].String()
			queue = roles[e.Roles[r]].words
		}
		if err := s.addValues(f, &e, name, queue); err != nil {
			return err
		}
	}
	s.entries = append(s.entries, e)
	return nil
}

func (e *Entry) addRoles(f *feature) error {
	if len(f.Queues) == 0 {
		if strings.Contains(f.Words, "{queue}") {
			return errors.New("words have {queue}, but queues are not told apart")
		}
		return nil
	}
	if queueField[f.Event] == "" {
		return errors.New("queues: the event does not name a queue")
	}
	if len(f.Queues) == 1 && f.Queues[0] == allQueues {
		for r := range roleCount {
			e.Roles = append(e.Roles, r)
		}
	} else {
		for _, name := range f.Queues {
			r, ok := roleNamed(name)
			if !ok {
				return fmt.Errorf("queues: %.80q is no role of a queue", name)
			}
			e.Roles = append(e.Roles, r)
		}
	}
	if len(e.Roles) > 1 && strings.Count(f.Words, "{queue}") != 1 {
		return errors.New("words need {queue}, which tells the columns apart")
	}
	return nil
}

// queueField is the field with a queue's address, in the events that have one.
var queueField = map[string]string{
	"virtqueue_fill": "vq", "virtqueue_flush": "vq", "virtqueue_pop": "vq",
	"virtio_queue_notify": "vq", "virtio_notify": "vq", "virtio_notify_irqfd": "vq",
}

// QueueField returns the name of the field in which an event names a virtqueue by its address, "" if it names none.
func QueueField(event string) string { return queueField[event] }

// settleRest finds what Rest stands for in each entry, when all are known.
func (s *Set) settleRest() {
	named := make(map[string]map[Role]bool)
	for i := range s.entries {
		e := &s.entries[i]
		if named[e.Event] == nil {
			named[e.Event] = make(map[Role]bool)
		}
		for _, r := range e.Roles {
			named[e.Event][r] = true
		}
	}
	for i := range s.entries {
		e := &s.entries[i]
		for r := range roleCount {
			e.roles[r] = slices.Index(e.Roles, r)
			if e.roles[r] < 0 && !named[e.Event][r] {
				e.roles[r] = slices.Index(e.Roles, Rest)
			}
		}
	}
}

func (e *Entry) addBuckets(f *feature) {
	spec := f.Buckets
	if f.Gap != nil {
		spec, e.Gap = f.Gap, true
	}
	if spec != nil {
		e.BucketField = spec.Field
		e.Buckets = &Buckets{Unit: spec.Unit, PerOctave: spec.PerOctave, Min: spec.Min, Max: spec.Max}
	}
}

func (s *Set) addValues(f *feature, e *Entry, name, queue string) error {
	if f.Values == nil {
		return s.addSizes(f, e, name, queue, "")
	}
	for _, v := range f.Values.List {
		if err := s.addSizes(f, e, name+":"+v.Prefix, queue, v.Words); err != nil {
			return err
		}
	}
	return s.addSizes(f, e, name+":other", queue, f.Values.Others)
}

func (s *Set) addSizes(f *feature, e *Entry, name, queue, value string) error {
	if e.Buckets == nil {
		return s.column(Column{name, name, f.Subsystem, template(f.Words, queue, value, "")})
	}
	what := e.BucketField
	if e.Gap {
		what = "gap"
	}
	for i := range e.Buckets.Count() {
		c := Column{name + ":" + what + e.Buckets.Label(i), name, f.Subsystem, template(f.Words, queue, value, e.Buckets.Words(i))}
		if err := s.column(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) addPairs(p *pairs) error {
	if p == nil {
		return nil
	}
	s.pairs = &Pairs{Events: p.Events, Base: len(s.columns)}
	for _, a := range p.Events {
		for _, b := range p.Events {
			if err := s.column(Column{"pair:" + a + ">" + b, "pair:" + a + ">" + b, p.Subsystem, a + " followed by " + b}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Set) column(c Column) error {
	if len(s.columns) >= MaxColumns {
		return fmt.Errorf("more than %d columns", MaxColumns)
	}
	if _, ok := s.index[c.Name]; ok {
		return fmt.Errorf("a second column %.80q: give one of the features a name of its own", c.Name)
	}
	s.index[c.Name] = len(s.columns)
	s.columns, s.names = append(s.columns, c), append(s.names, c.Name)
	return nil
}
