// Package ctftest writes small traces as LTTng-UST 2.13 does, for tests: the same
// packet headers and contexts and the same event header, with events that have one
// unsigned 32-bit field "n", or the fields that a test declares.
package ctftest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Trace is one process's trace, or one rotated chunk of it.
type Trace struct {
	UUID    [16]byte
	Offset  int64    // the clock's offset from the epoch in nanoseconds
	Events  []string // names; the index is the event's id
	Fields  []string // by event: the fields in TSDL, such as "uint64_t _vq; string _name;"; "" or none for "n"
	Streams []Stream
}

// Stream is one ring buffer's packets.
type Stream struct {
	Instance uint64 // also the CPU
	Packets  []Packet
}

// Packet is a packet with its events in the order of time. Times are the clock's
// values, without its offset.
type Packet struct {
	Begin, End     uint64
	Seq, Discarded uint64
	Events         []Event
}

// Event is one event.
type Event struct {
	ID   uint16
	Time uint64
	N    uint32
	Body []byte // the fields' bytes where the trace declares them
}

const preamble = `/* CTF 1.8 */
typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
typealias integer { size = 16; align = 8; signed = false; } := uint16_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 32; align = 8; signed = true; } := int32_t;
typealias integer { size = 64; align = 8; signed = false; } := unsigned long;
trace {
	major = 1; minor = 8; uuid = "%s"; byte_order = le;
	packet.header := struct { uint32_t magic; uint8_t uuid[16]; uint32_t stream_id; uint64_t stream_instance_id; };
};
env { hostname = "test"; domain = "ust"; };
clock { name = "monotonic"; freq = 1000000000; offset = %d; };
typealias integer { size = 32; align = 8; signed = false; map = clock.monotonic.value; } := uint32_clock_monotonic_t;
typealias integer { size = 64; align = 8; signed = false; map = clock.monotonic.value; } := uint64_clock_monotonic_t;
struct packet_context {
	uint64_clock_monotonic_t timestamp_begin; uint64_clock_monotonic_t timestamp_end;
	uint64_t content_size; uint64_t packet_size; uint64_t packet_seq_num;
	unsigned long events_discarded; uint32_t cpu_id;
};
struct event_header_large {
	enum : uint16_t { compact = 0 ... 65534, extended = 65535 } id;
	variant <id> {
		struct { uint32_clock_monotonic_t timestamp; } compact;
		struct { uint32_t id; uint64_clock_monotonic_t timestamp; } extended;
	} v;
} align(8);
stream { id = 0; event.header := struct event_header_large; packet.context := struct packet_context; };
`

// Metadata returns the trace's metadata as plain text.
func (t *Trace) Metadata() string {
	var b strings.Builder
	h := hex.EncodeToString(t.UUID[:])
	fmt.Fprintf(&b, preamble, h[:8]+"-"+h[8:12]+"-"+h[12:16]+"-"+h[16:20]+"-"+h[20:], t.Offset)
	for id, name := range t.Events {
		fmt.Fprintf(&b, "event { name = %q; id = %d; stream_id = 0; loglevel = 13; fields := struct { %s }; };\n", name, id, t.fields(id))
	}
	return b.String()
}

// fields returns the declaration of an event's fields.
func (t *Trace) fields(id int) string {
	if id < len(t.Fields) && t.Fields[id] != "" {
		return t.Fields[id]
	}
	return plainField
}

const plainField = "uint32_t _n;"

// Write writes the trace into directory dir, which it makes.
func (t *Trace) Write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "index"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "metadata"), []byte(t.Metadata()), 0o644); err != nil {
		return err
	}
	for i := range t.Streams {
		s := &t.Streams[i]
		var data []byte
		for j := range s.Packets {
			data = t.AppendPacket(data, s.Instance, &s.Packets[j])
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("ch_%d", s.Instance)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// AppendPacket appends a packet, padded to a multiple of 512 bytes. An event that
// comes too long after the one before gets the extended header.
func (t *Trace) AppendPacket(dst []byte, instance uint64, p *Packet) []byte {
	le := binary.LittleEndian
	start := len(dst)
	dst = le.AppendUint32(dst, 0xC1FC1FC1)
	dst = append(dst, t.UUID[:]...)
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, instance)
	dst = le.AppendUint64(dst, p.Begin)
	dst = le.AppendUint64(dst, p.End)
	sizes := len(dst)
	dst = append(dst, make([]byte, 16)...)
	dst = le.AppendUint64(dst, p.Seq)
	dst = le.AppendUint64(dst, p.Discarded)
	dst = le.AppendUint32(dst, uint32(instance))
	last := p.Begin
	for _, e := range p.Events {
		if e.Time-last < 1<<32 {
			dst = le.AppendUint16(dst, e.ID)
			dst = le.AppendUint32(dst, uint32(e.Time))
		} else {
			dst = le.AppendUint16(dst, 0xffff)
			dst = le.AppendUint32(dst, uint32(e.ID))
			dst = le.AppendUint64(dst, e.Time)
		}
		if t.fields(int(e.ID)) == plainField {
			dst = le.AppendUint32(dst, e.N)
		} else {
			dst = append(dst, e.Body...)
		}
		last = e.Time
	}
	content := len(dst) - start
	for (len(dst)-start)%512 != 0 {
		dst = append(dst, 0)
	}
	le.PutUint64(dst[sizes:], uint64(content)*8)
	le.PutUint64(dst[sizes+8:], uint64(len(dst)-start)*8)
	return dst
}
