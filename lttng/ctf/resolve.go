package ctf

import (
	"fmt"
	"sort"
	"strings"
)

// maxDense bounds the event ids that are looked up in a slice.
const maxDense = 1 << 16

// compact is below which ids events are looked up in slices: LTTng numbers from 0 without gaps, and no metadata shall make slices of mostly nothing.
func (s *StreamClass) compact() uint64 { return min(maxDense, 2*uint64(len(s.Events))+16) }

// finish settles everything that had to wait for the whole text.
func (p *parser) finish() error {
	md := p.md
	if md.ByteOrder == Native {
		return p.errorf("no trace block with a byte order")
	}
	for _, t := range p.integers {
		if t.Order == Native {
			t.Order = md.ByteOrder
		}
		if t.clockRef == "" {
			continue
		}
		if t.Clock = md.clocksByName[t.clockRef]; t.Clock == nil {
			return p.errorf("unknown clock '%.80s'", t.clockRef)
		}
	}
	for _, t := range p.floats {
		if t.Order == Native {
			t.Order = md.ByteOrder
		}
	}
	if err := p.attachEvents(); err != nil {
		return err
	}
	sort.Slice(md.Streams, func(i, j int) bool { return md.Streams[i].ID < md.Streams[j].ID })
	for i, s := range md.Streams {
		s.index = i
		sort.Slice(s.Events, func(i, j int) bool { return s.Events[i].ID < s.Events[j].ID })
		s.dense = make([]*EventClass, 0, min(len(s.Events), maxDense))
		for _, e := range s.Events {
			for e.ID < s.compact() && uint64(len(s.dense)) <= e.ID {
				s.dense = append(s.dense, nil)
			}
			if e.ID < s.compact() {
				s.dense[e.ID] = e
			}
			e.Index = len(md.Classes)
			md.Classes = append(md.Classes, e)
		}
	}
	if err := p.resolveAll(); err != nil {
		return err
	}
	return p.compileAll()
}

// attachEvents gives each event to its stream.
func (p *parser) attachEvents() error {
	md := p.md
	if len(md.Streams) == 0 && len(p.events) > 0 {
		s := &StreamClass{byID: make(map[uint64]*EventClass)}
		md.Streams, md.streamsByID[0] = append(md.Streams, s), s
	}
	for _, e := range p.events {
		if !e.hasStreamID && len(md.Streams) == 1 {
			e.streamID = md.Streams[0].ID
		}
		s := md.streamsByID[e.streamID]
		if s == nil {
			return p.errorf("event %.80q is of stream %d, which is not described", e.Name, e.streamID)
		}
		if s.byID[e.ID] != nil {
			return p.errorf("event %d of stream %d is described twice", e.ID, s.ID)
		}
		e.Stream = s
		s.byID[e.ID] = e
		s.Events = append(s.Events, e)
	}
	return nil
}

// dynScope is one of the structs that a packet or an event consists of.
type dynScope struct {
	prefix string
	root   *Struct
}

// frame is a struct being walked and the member the walk is in.
type frame struct {
	s   *Struct
	idx int
}

// resolver finds the fields that sequences and variants refer to and gives each a slot.
type resolver struct {
	md     *Metadata
	scopes []dynScope // read before and including the one being walked, in order
	stack  []frame
	refs   []int // by slot: how many refer to it
}

func (p *parser) resolveAll() error {
	r := &resolver{md: p.md}
	if err := r.scope("trace.packet.header", p.md.packetHeader); err != nil {
		return p.errorf("%v", err)
	}
	for _, s := range p.md.Streams {
		if err := r.stream(s); err != nil {
			return p.errorf("stream %d: %v", s.ID, err)
		}
	}
	for _, s := range p.md.Streams {
		s.header = shapeOf(s.EventHeader, r.refs)
	}
	return nil
}

func (r *resolver) stream(s *StreamClass) error {
	before := len(r.scopes)
	defer func() { r.scopes = r.scopes[:before] }()
	if err := r.scope("stream.packet.context", s.PacketContext); err != nil {
		return err
	}
	if err := r.scope("stream.event.header", s.EventHeader); err != nil {
		return err
	}
	if err := r.scope("stream.event.context", s.EventContext); err != nil {
		return err
	}
	common := len(r.scopes)
	for _, e := range s.Events {
		r.scopes = r.scopes[:common]
		if err := r.scope("event.context", e.Context); err != nil {
			return fmt.Errorf("event %.80q: %w", e.Name, err)
		}
		if err := r.scope("event.fields", e.Fields); err != nil {
			return fmt.Errorf("event %.80q: %w", e.Name, err)
		}
	}
	return nil
}

func (r *resolver) scope(prefix string, s *Struct) error {
	r.scopes = append(r.scopes, dynScope{prefix, s})
	if s == nil {
		return nil
	}
	r.stack = r.stack[:0]
	return r.walk(s)
}

func (r *resolver) walk(t Type) error {
	switch t := t.(type) {
	case *Struct:
		r.stack = append(r.stack, frame{s: t})
		top := len(r.stack) - 1
		for i := range t.Fields {
			r.stack[top].idx = i
			if err := r.walk(t.Fields[i].Type); err != nil {
				return err
			}
		}
		r.stack = r.stack[:top]
	case *Array:
		return r.walk(t.Elem)
	case *Sequence:
		f, err := r.find(t.path)
		if err != nil {
			return err
		}
		i, ok := f.Type.(*Integer)
		if !ok || i.Signed {
			return fmt.Errorf("sequence's length '%s' is no unsigned integer", strings.Join(t.path, "."))
		}
		t.slot = r.slot(f)
		return r.walk(t.Elem)
	case *Variant:
		if t.path == nil {
			return fmt.Errorf("variant without a tag")
		}
		f, err := r.find(t.path)
		if err != nil {
			return err
		}
		e, ok := f.Type.(*Enum)
		if !ok {
			return fmt.Errorf("variant's tag '%s' is no enumeration", strings.Join(t.path, "."))
		}
		t.tag, t.slot = e, r.slot(f)
		t.choose()
		for i := range t.Options {
			if err := r.walk(t.Options[i].Type); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *resolver) slot(f *Field) int32 {
	if f.slot < 0 {
		f.slot = int32(r.md.slots)
		r.md.slots++
		r.refs = append(r.refs, 0)
	}
	r.refs[f.slot]++
	return f.slot
}

// choose lists which tag values select which option.
func (t *Variant) choose() {
	byName := make(map[string]int, len(t.Options))
	for i, o := range t.Options {
		byName[o.Name] = i
	}
	for _, m := range t.tag.Mappings {
		if i, ok := byName[strings.TrimPrefix(m.Label, "_")]; ok {
			t.choice = append(t.choice, choice{m.Lo, m.Hi, i})
		}
	}
}

// find resolves a reference: absolute with a dynamic scope's name in front, otherwise
// looked for among the members already read of the enclosing structs, from the inside
// out, and then in the scopes read before.
func (r *resolver) find(path []string) (*Field, error) {
	dotted := strings.Join(path, ".") + "."
	for i := len(r.scopes) - 1; i >= 0; i-- {
		sc := r.scopes[i]
		rest, ok := strings.CutPrefix(dotted, sc.prefix+".")
		if !ok {
			continue
		}
		names := strings.Split(strings.TrimSuffix(rest, "."), ".")
		if sc.root != nil {
			limit := len(sc.root.Fields)
			if i == len(r.scopes)-1 {
				limit = r.stack[0].idx
			}
			if f := descend(sc.root, names, limit); f != nil {
				return f, nil
			}
		}
		return nil, fmt.Errorf("reference '%.120s' leads to no field read before", strings.TrimSuffix(dotted, "."))
	}
	for i := len(r.stack) - 1; i >= 0; i-- {
		if f := descend(r.stack[i].s, path, r.stack[i].idx); f != nil {
			return f, nil
		}
	}
	for i := len(r.scopes) - 2; i >= 0; i-- {
		if root := r.scopes[i].root; root != nil {
			if f := descend(root, path, len(root.Fields)); f != nil {
				return f, nil
			}
		}
	}
	return nil, fmt.Errorf("reference '%.120s' leads to no field read before", strings.TrimSuffix(dotted, "."))
}

// descend follows names from s through nested structs, using of s itself only the
// first limit members. It returns nil where they lead nowhere.
func descend(s *Struct, names []string, limit int) *Field {
	for n, name := range names {
		name = strings.TrimPrefix(name, "_")
		var f *Field
		for i := limit - 1; i >= 0; i-- {
			if s.Fields[i].Name == name {
				f = &s.Fields[i]
				break
			}
		}
		if f == nil || n == len(names)-1 {
			return f
		}
		next, ok := f.Type.(*Struct)
		if !ok {
			return nil
		}
		s, limit = next, len(next.Fields)
	}
	return nil
}
