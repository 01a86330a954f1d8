package ctf

import (
	"encoding/hex"
	"strings"
)

// UUID is a trace's or clock's identifier.
type UUID [16]byte

// String gives the usual form with hyphens.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func parseUUID(s string) (u UUID, ok bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) {
		return u, false
	}
	copy(u[:], b)
	return u, true
}

// EnvEntry is one fact of the trace's environment, a text or a number.
type EnvEntry struct {
	Name  string
	Text  string
	Int   int64
	IsInt bool
}

// Metadata describes a trace. It does not change once parsed.
type Metadata struct {
	UUID      UUID
	HasUUID   bool
	ByteOrder ByteOrder
	Env       []EnvEntry
	Clocks    []*Clock
	Streams   []*StreamClass // ordered by id
	Classes   []*EventClass  // all events of all streams; EventClass.Index counts here

	packetHeader *Struct
	slots        int // values kept while decoding, for what refers to them
	streamsByID  map[uint64]*StreamClass
	clocksByName map[string]*Clock
}

// EnvEntry returns the environment's entry of that name.
func (m *Metadata) EnvEntry(name string) (EnvEntry, bool) {
	for _, e := range m.Env {
		if e.Name == name {
			return e, true
		}
	}
	return EnvEntry{}, false
}

// EnvText returns the environment's text of that name, empty if there is none.
func (m *Metadata) EnvText(name string) string {
	e, _ := m.EnvEntry(name)
	return e.Text
}

// Stream returns the stream class with that id, nil if there is none.
func (m *Metadata) Stream(id uint64) *StreamClass { return m.streamsByID[id] }

// StreamClass describes the packets and events of a kind of data stream.
type StreamClass struct {
	ID            uint64
	PacketContext *Struct
	EventHeader   *Struct
	EventContext  *Struct // of every event
	Events        []*EventClass
	Clock         *Clock // that the event header's time stamps count, nil if none

	byID   map[uint64]*EventClass
	dense  []*EventClass // by id, for small ids
	header headerShape
}

// Event returns the class of events with that id, nil if there is none.
func (s *StreamClass) Event(id uint64) *EventClass {
	if id < uint64(len(s.dense)) {
		return s.dense[id]
	}
	return s.byID[id]
}

// EventClass describes the events of one name in one stream class.
type EventClass struct {
	Name     string
	ID       uint64
	Index    int // in Metadata.Classes
	LogLevel int // -1 where there is none
	EMFURI   string
	Stream   *StreamClass
	Context  *Struct // nil where there is none
	Fields   *Struct // nil where there is none

	streamID    uint64
	hasStreamID bool
	hasID       bool
	body        program // stream event context, event context and fields
}

// Clock turns cycles into nanoseconds from the clock's origin.
type Clock struct {
	Name          string
	UUID          UUID
	HasUUID       bool
	Frequency     uint64 // Hz
	Precision     uint64
	OffsetSeconds int64
	OffsetCycles  uint64 // an int64's bits where negative
	OffsetNeg     bool
	Absolute      bool
	offsetNS      int64
}

// ParseMetadata reads metadata, plain or in packets as LTTng writes it. Errors are
// of type *Error, without a file's name.
func ParseMetadata(data []byte) (*Metadata, error) {
	text, uuid, err := unpackMetadata(data)
	if err != nil {
		return nil, err
	}
	p := &parser{lex: lexer{text: text}, md: &Metadata{
		streamsByID:  make(map[uint64]*StreamClass),
		clocksByName: make(map[string]*Clock),
	}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root := &scope{}
	for p.tok.kind != tokEOF {
		if err := p.topLevel(root); err != nil {
			return nil, err
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	if uuid != nil && p.md.HasUUID && *uuid != p.md.UUID {
		return nil, &Error{Msg: "metadata packets are of another trace: UUID " + uuid.String() + ", the trace block says " + p.md.UUID.String()}
	}
	return p.md, nil
}

func (p *parser) topLevel(root *scope) error {
	if ok, err := p.typeDeclaration(root); err != nil || ok {
		return err
	}
	if ok, err := p.accept(";"); err != nil || ok {
		return err
	}
	switch p.tok.text {
	case "struct", "variant", "enum":
		_, _, err := p.typeSpec(root)
		if err != nil {
			return err
		}
		return p.expect(";")
	case "trace":
		return p.block(root, p.traceAttribute())
	case "env":
		return p.block(root, p.envAttribute())
	case "clock":
		return p.clockBlock(root)
	case "stream":
		return p.streamBlock(root)
	case "event":
		return p.eventBlock(root)
	case "callsite":
		return p.block(root, attribute{})
	}
	return p.errorf("%s where a declaration or a block is needed", p.tok)
}

// attribute handles the two kinds of assignments in a block; what neither function
// knows is left out, as the specification asks of readers.
type attribute struct {
	value func(name string, v value) error
	typ   func(name string, t Type) error
}

// block reads "keyword { assignments };".
func (p *parser) block(parent *scope, a attribute) error {
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.expect("{"); err != nil {
		return err
	}
	sc := &scope{parent: parent}
	for !p.tok.is("}") {
		if err := p.assignment(sc, a); err != nil {
			return err
		}
	}
	if err := p.advance(); err != nil {
		return err
	}
	return p.expect(";")
}

func (p *parser) assignment(sc *scope, a attribute) error {
	if ok, err := p.typeDeclaration(sc); err != nil || ok {
		return err
	}
	if p.tok.is("struct") || p.tok.is("variant") || p.tok.is("enum") {
		if _, _, err := p.typeSpec(sc); err != nil {
			return err
		}
		return p.expect(";")
	}
	path, err := p.path()
	if err != nil {
		return err
	}
	name := strings.Join(path, ".")
	if ok, err := p.accept(":="); err != nil {
		return err
	} else if ok {
		t, err := p.fullType(sc)
		if err != nil {
			return err
		}
		if a.typ != nil {
			if err := a.typ(name, t); err != nil {
				return err
			}
		}
		return p.expect(";")
	}
	if err := p.expect("="); err != nil {
		return err
	}
	v, err := p.value()
	if err != nil {
		return err
	}
	if a.value != nil {
		if err := a.value(name, v); err != nil {
			return err
		}
	}
	return p.expect(";")
}

// scopeStruct stores a dynamic scope's type, which must be a struct.
func (p *parser) scopeStruct(dst **Struct, name string, t Type) error {
	s, ok := t.(*Struct)
	if !ok {
		return p.errorf("%s is no struct", name)
	}
	if *dst != nil {
		return p.errorf("%s is given twice", name)
	}
	*dst = s
	return nil
}

func (p *parser) traceAttribute() attribute {
	return attribute{
		value: func(name string, v value) (err error) {
			switch name {
			case "major":
				if !v.isNum || v.num != 1 {
					return p.errorf("CTF version is not 1")
				}
			case "uuid":
				if p.md.UUID, p.md.HasUUID = parseUUID(v.text); !p.md.HasUUID {
					return p.errorf("bad trace UUID %.80q", v.text)
				}
			case "byte_order":
				if p.md.ByteOrder, err = p.byteOrder(v); err == nil && p.md.ByteOrder == Native {
					err = p.errorf("the trace's byte order is neither le nor be")
				}
			}
			return err
		},
		typ: func(name string, t Type) error {
			if name == "packet.header" {
				return p.scopeStruct(&p.md.packetHeader, name, t)
			}
			return nil
		},
	}
}

func (p *parser) envAttribute() attribute {
	return attribute{value: func(name string, v value) error {
		p.md.Env = append(p.md.Env, EnvEntry{Name: name, Text: v.text, Int: int64(v.num), IsInt: v.isNum})
		return p.node(1)
	}}
}

func (p *parser) clockBlock(root *scope) error {
	c := &Clock{Frequency: 1e9}
	err := p.block(root, attribute{value: func(name string, v value) (err error) {
		switch name {
		case "name":
			c.Name = v.text
		case "uuid":
			if c.UUID, c.HasUUID = parseUUID(v.text); !c.HasUUID {
				return p.errorf("bad clock UUID %.80q", v.text)
			}
		case "freq":
			if !v.isNum || v.neg || v.num == 0 {
				return p.errorf("clock's frequency is no positive integer")
			}
			c.Frequency = v.num
		case "precision":
			c.Precision = v.num
		case "offset_s":
			if !v.isNum || !v.neg && v.num > 1<<63-1 {
				return p.errorf("clock's offset_s is no 64-bit integer")
			}
			c.OffsetSeconds = int64(v.num)
		case "offset":
			if !v.isNum {
				return p.errorf("clock's offset is no integer")
			}
			c.OffsetCycles, c.OffsetNeg = v.num, v.neg
		case "absolute":
			c.Absolute, err = p.boolean(v)
		}
		return err
	}})
	if err != nil {
		return err
	}
	if c.Name == "" || p.md.clocksByName[c.Name] != nil {
		return p.errorf("clock without a name of its own: %.80q", c.Name)
	}
	if err := c.settle(); err != nil {
		return p.errorf("clock %.80q: %v", c.Name, err)
	}
	p.md.clocksByName[c.Name] = c
	p.md.Clocks = append(p.md.Clocks, c)
	return p.node(1)
}

func (p *parser) streamBlock(root *scope) error {
	s := &StreamClass{byID: make(map[uint64]*EventClass)}
	err := p.block(root, attribute{
		value: func(name string, v value) error {
			if name == "id" {
				if !v.isNum || v.neg {
					return p.errorf("stream's id is no unsigned integer")
				}
				s.ID = v.num
			}
			return nil
		},
		typ: func(name string, t Type) error {
			switch name {
			case "packet.context":
				return p.scopeStruct(&s.PacketContext, name, t)
			case "event.header":
				return p.scopeStruct(&s.EventHeader, name, t)
			case "event.context":
				return p.scopeStruct(&s.EventContext, name, t)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if p.md.streamsByID[s.ID] != nil {
		return p.errorf("stream %d is described twice", s.ID)
	}
	p.md.streamsByID[s.ID] = s
	p.md.Streams = append(p.md.Streams, s)
	return p.node(1)
}

func (p *parser) eventBlock(root *scope) error {
	e := &EventClass{LogLevel: -1}
	err := p.block(root, attribute{
		value: func(name string, v value) error {
			switch name {
			case "name":
				e.Name = v.text
			case "id", "stream_id":
				if !v.isNum || v.neg {
					return p.errorf("event's %s is no unsigned integer", name)
				}
				if name == "id" {
					e.ID, e.hasID = v.num, true
				} else {
					e.streamID, e.hasStreamID = v.num, true
				}
			case "loglevel":
				if v.isNum && int64(v.num) >= 0 && v.num < 1<<15 {
					e.LogLevel = int(v.num)
				}
			case "model.emf.uri":
				e.EMFURI = v.text
			}
			return nil
		},
		typ: func(name string, t Type) error {
			switch name {
			case "context":
				return p.scopeStruct(&e.Context, name, t)
			case "fields":
				return p.scopeStruct(&e.Fields, name, t)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	p.events = append(p.events, e)
	return p.node(1)
}
