package ctf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"sync"

	"github.com/virtsentry/virtsentry/lttng/internal/plainfile"
)

const (
	packetMagic = 0xC1FC1FC1
	peekSize    = 4 << 10   // bytes read at once to see a packet's header
	readSize    = 256 << 10 // bytes read at once at least, several packets
	maxPacket   = 64 << 20  // bytes of content of a packet that is read
)

// Reader goes through the packets of one data stream and through their events:
//
//	r := stream.Reader()
//	defer r.Close()
//	for r.NextPacket() {
//		for r.Next() {
//			// r.Class, r.Time()
//		}
//	}
//	err := r.Err()
//
// It reads the file in large pieces into one buffer, which grows to the largest packet
// at most. Next does not allocate.
type Reader struct {
	Packet Packet      // the current packet
	Class  *EventClass // the current event's class
	Cycles uint64      // the current event's clock value

	trace *Trace
	files []string // still to be read, after the current one
	path  string
	file  dataFile
	size  int64 // of the current file
	next  int64 // offset of the next packet in the current file

	maps     bool   // files are mapped and not copied
	view     view   // of the current file
	block    int    // bytes to read at once
	buf      []byte // holds the file's bytes from bufOff on
	bufOff   int64
	win      window
	content  []byte // the window's whole bytes
	pos      uint64 // bit where the next event starts
	body     uint64 // bit where the current event's body starts
	clock    *Clock
	tallies  bool // Tally has something to do in this packet
	head     header
	follower []uint16 // by an event's id, that of the one that came after one of it last, among those that Tally goes over
	values   arena    // of the current event
	context  arena    // of the current packet
	room     *room    // that buf, values and context came from; nil: none
	err      error
}

// dataFile is what a Reader needs of an open file.
type dataFile interface {
	io.ReaderAt
	io.Closer
}

func newReader(t *Trace, files []string, block int) *Reader {
	r := &Reader{trace: t, files: files, block: block, maps: t.maps && block >= readSize,
		win: window{slots: make([]uint64, t.Metadata.slots)}}
	if r.maps {
		t.mapped = append(t.mapped, r)
		return r
	}
	r.room, _ = rooms.Get().(*room)
	if r.room == nil {
		r.room = &room{}
	}
	r.buf, r.values, r.context = r.room.buf[:0], r.room.values, r.room.context
	return r
}

// room is the memory of a reader that was closed, for others: of a trace that is being written little is read at once, and often.
type room struct {
	buf             []byte
	values, context arena
}

var rooms sync.Pool // of *room

// Of a room's memory, larger pieces than these are not kept: bytes, and values.
const (
	keptBuffer = 1 << 20
	keptValues = 1 << 10
)

// leave gives back the memory that the reader has from a room.
func (r *Reader) leave() {
	if r.room == nil {
		return
	}
	if r.room.buf = r.buf[:0]; cap(r.buf) > keptBuffer {
		r.room.buf = nil
	}
	r.room.values, r.room.context = r.values.kept(), r.context.kept()
	rooms.Put(r.room)
	r.room, r.values, r.context = nil, arena{}, arena{}
}

// Err returns what ended the reading, nil at the stream's end.
func (r *Reader) Err() error { return r.err }

// Close closes the file that is open. What was decoded, the packet's context too, is not valid any more.
func (r *Reader) Close() error {
	r.unmap()
	r.leave()
	r.buf, r.content, r.win.buf, r.win.end, r.pos = nil, nil, nil, 0, 0
	return r.closeFile()
}

// leastBuffer is the size of the smallest buffer.
const leastBuffer = 64 << 10

func (r *Reader) closeFile() error {
	r.unmap()
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// fail records a defect at a byte offset of the current file.
func (r *Reader) fail(off int64, format string, args ...any) bool {
	if r.err == nil {
		r.err = &Error{File: r.path, Offset: off, Msg: fmt.Sprintf(format, args...)}
	}
	return false
}

// failBit records a defect at a bit of the current packet.
func (r *Reader) failBit(bit uint64, msg string) bool {
	return r.fail(r.Packet.Offset+int64(bit/8), "%s", msg)
}

// openNext goes on to the next file that is not empty.
func (r *Reader) openNext() bool {
	for len(r.files) > 0 {
		if err := r.closeFile(); err != nil {
			r.err = fmt.Errorf("read stream: %w", err)
			return false
		}
		r.path, r.files = r.files[0], r.files[1:]
		f, err := plainfile.Open(r.path, os.O_RDONLY)
		if err != nil {
			r.err = fmt.Errorf("read stream: %w", err)
			return false
		}
		r.file = f
		info, err := f.Stat()
		if err != nil {
			r.err = fmt.Errorf("read stream: %w", err)
			return false
		}
		if !info.Mode().IsRegular() {
			return r.fail(0, "no regular file")
		}
		r.size, r.next, r.buf, r.bufOff = info.Size(), 0, r.buf[:0], 0
		if r.trace.parts != nil {
			part := r.trace.parts[filepath.Base(r.path)]
			if part.From < 0 || part.To > r.size {
				return r.fail(r.size, "file ends before byte %d, up to which it is to be read", part.To)
			}
			r.next, r.size = part.From, part.To
		}
		if r.next < r.size {
			return true
		}
	}
	return false
}

// fill makes n bytes from offset off on available as the window's buffer. The file is
// known to hold them.
func (r *Reader) fill(off int64, n int) bool {
	have := off - r.bufOff
	if have < 0 || have+int64(n) > int64(len(r.buf)) {
		if !r.load(off, n) {
			return false
		}
		have = 0
	}
	r.win.buf = r.buf[have : have+int64(n)]
	r.win.end = uint64(n) * 8
	return true
}

// load moves the buffer to offset off and fills it with at least n bytes, of which it
// may hold the first already.
func (r *Reader) load(off int64, n int) bool {
	if r.maps {
		if r.mapPart(off, n) {
			return true
		}
		r.maps = false
	}
	var kept []byte
	if have := off - r.bufOff; have >= 0 && have < int64(len(r.buf)) {
		kept = r.buf[have:]
	}
	want := int(min(max(int64(n), int64(r.block)), r.size-off))
	buf := r.buf[:0]
	if cap(buf) < want {
		buf = make([]byte, 0, 1<<bits.Len(max(uint(want-1), leastBuffer-1))) // not one more for each packet that is a little larger than those before
	}
	buf = append(buf, kept...)
	got, err := r.file.ReadAt(buf[len(buf):want], off+int64(len(buf)))
	r.buf, r.bufOff = buf[:len(buf)+got], off
	if len(r.buf) >= n {
		return true
	}
	if err == nil || errors.Is(err, io.EOF) {
		return r.fail(off+int64(len(r.buf)), "file ends before byte %d: it was cut while being read", off+int64(n))
	}
	r.err = fmt.Errorf("read stream: %w", err)
	return false
}

// NextPacket moves on to the next packet, whether the current one was read to its
// end or not. It returns false at the stream's end and on errors.
func (r *Reader) NextPacket() bool {
	if !r.nextHead() {
		return false
	}
	p := &r.Packet
	if !r.fill(p.Offset, int((p.ContentBits+7)/8)) {
		return false
	}
	r.win.end = p.ContentBits
	r.content = r.win.buf[:p.ContentBits/8]
	r.win.steps = int(p.ContentBits) + maxSteps
	r.pos, r.Class = p.headBits, nil
	r.clock = p.Class.Clock
	r.tallies = len(p.Class.quick) > 0 && r.clock != nil && r.clock.Frequency == nsPerSecond && r.clock.offsetNS >= 0
	return true
}

// again goes back to before the first packet, whose header alone was read.
func (r *Reader) again(files []string) *Reader {
	r.files, r.next = files[1:], r.Packet.Offset
	r.win.buf, r.win.end, r.Packet = nil, 0, Packet{} // Next has nothing before NextPacket
	return r
}

// nextHead moves on to the next packet and reads its header and context only.
func (r *Reader) nextHead() bool {
	if r.err != nil {
		return false
	}
	if r.file == nil || r.next >= r.size {
		if !r.openNext() {
			return false
		}
	}
	off := r.next
	// The header's and context's size is known only after decoding them: try
	// with what is usual, then with all that may be content.
	all := min(maxPacket, r.size-off)
	n := min(peekSize, all)
	for {
		if !r.fill(off, int(n)) {
			return false
		}
		retry, ok := r.packetHead(off)
		if ok {
			break
		}
		if !retry || n == all {
			return false
		}
		n, r.err = all, nil
	}
	r.next = off + int64(r.Packet.PacketBits/8)
	return true
}

// Next moves on to the packet's next event. It returns false at the packet's end and
// on errors.
func (r *Reader) Next() bool {
	if r.pos >= r.win.end || r.err != nil {
		r.Class = nil
		return false
	}
	if r.nextQuick() {
		return true
	}
	s := r.Packet.Class
	pos, msg := r.win.readHeader(s, r.pos, &r.head)
	if msg != "" {
		return r.failBit(r.pos, "event header: "+msg)
	}
	var class *EventClass
	if r.head.hasID {
		class = s.Event(r.head.id)
	} else if len(s.Events) == 1 {
		class = s.Events[0]
	}
	if class == nil {
		return r.fail(r.Packet.Offset+int64(r.pos/8), "unknown event %d of stream %d", r.head.id, s.ID)
	}
	r.body, r.Class, r.Cycles = pos, class, r.head.cycles
	pos, msg = r.win.skip(class.body, pos)
	if msg != "" {
		return r.failBit(pos, "event "+class.Name+": "+msg)
	}
	if pos == r.pos {
		return r.failBit(pos, "event "+class.Name+" of no size")
	}
	r.pos = pos
	return true
}

// nextQuick is Next for events whose layout is known beforehand; where there is anything special about one, it leaves all as it is, and Next sees to it.
func (r *Reader) nextQuick() bool {
	s, at := r.Packet.Class, r.pos/8
	b := r.content[min(at, uint64(len(r.content))):]
	if r.pos%8 != 0 || len(b) < largeHeader {
		return false
	}
	id := uint64(binary.LittleEndian.Uint16(b))
	if id >= uint64(len(s.quick)) || s.quick[id].class == nil {
		return false
	}
	q := &s.quick[id]
	end := at + uint64(q.size)
	if q.steps != nil {
		behind, ok := q.skip(r.content, int(end))
		if !ok {
			return false
		}
		end = uint64(behind)
	}
	if end > uint64(len(r.content)) {
		return false
	}
	r.head.id, r.head.hasID = id, true
	r.head.cycles = wrap(r.head.cycles, uint64(binary.LittleEndian.Uint32(b[2:])), 32)
	r.body, r.pos, r.Class, r.Cycles = (at+largeHeader)*8, end*8, q.class, r.head.cycles
	return true
}

// Time returns the current event's time in nanoseconds from the clock's origin, 0 if
// the stream has no clock.
func (r *Reader) Time() int64 {
	if r.clock == nil {
		return 0
	}
	return r.clock.NS(r.Cycles)
}

// Trace returns the trace that is read.
func (r *Reader) Trace() *Trace { return r.trace }

// Event is a decoded event: one struct for each part, with no type where the event
// has no such part. It is valid until the reader moves on.
type Event struct {
	StreamContext Value // stream.event.context
	Context       Value // event.context
	Fields        Value // event.fields
}

// Decode decodes the current event's contexts and fields.
func (r *Reader) Decode(ev *Event) error {
	if r.err != nil {
		return r.err
	}
	*ev = Event{}
	r.values.reset()
	pos := r.body
	for _, part := range []struct {
		t *Struct
		v *Value
	}{{r.Class.Stream.EventContext, &ev.StreamContext}, {r.Class.Context, &ev.Context}, {r.Class.Fields, &ev.Fields}} {
		if part.t == nil {
			continue
		}
		var msg string
		if pos, msg = r.win.decode(&r.values, part.t, -1, pos, part.v); msg != "" {
			r.failBit(pos, "event "+r.Class.Name+": "+msg)
			return r.err
		}
	}
	return nil
}

// Path returns the name of the file that the current packet is in.
func (r *Reader) Path() string { return r.path }
