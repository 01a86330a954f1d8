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
	Clock         *Clock // that the time stamps count, or the trace's only one; nil if none

	byID   map[uint64]*EventClass
	dense  []*EventClass // by id, for small ids
	header headerShape
	quick  []quick // by id: how they are gone over; none where the header is another one than LTTng's large one
	index  int     // in Metadata.Streams
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
