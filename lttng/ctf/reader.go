package ctf

import (
	"errors"
	"fmt"
	"io"
	"os"
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

	block   int    // bytes to read at once
	buf     []byte // holds the file's bytes from bufOff on
	bufOff  int64
	win     window
	pos     uint64 // bit where the next event starts
	body    uint64 // bit where the current event's body starts
	clock   *Clock
	head    header
	values  arena // of the current event
	context arena // of the current packet
	err     error
}

// dataFile is what a Reader needs of an open file.
type dataFile interface {
	io.ReaderAt
	io.Closer
}

func newReader(t *Trace, files []string, block int) *Reader {
	return &Reader{trace: t, files: files, block: block,
		win: window{slots: make([]uint64, t.Metadata.slots)}}
}

// Err returns what ended the reading, nil at the stream's end.
func (r *Reader) Err() error { return r.err }

// Close closes the file that is open.
func (r *Reader) Close() error {
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
		if err := r.Close(); err != nil {
			r.err = fmt.Errorf("read stream: %w", err)
			return false
		}
		r.path, r.files = r.files[0], r.files[1:]
		f, err := os.Open(r.path)
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
		if r.size > 0 {
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
	var kept []byte
	if have := off - r.bufOff; have >= 0 && have < int64(len(r.buf)) {
		kept = r.buf[have:]
	}
	want := int(min(max(int64(n), int64(r.block)), r.size-off))
	buf := r.buf[:0]
	if cap(buf) < want {
		buf = make([]byte, 0, want)
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
	p := &r.Packet
	if !r.fill(off, int((p.ContentBits+7)/8)) {
		return false
	}
	r.win.end = p.ContentBits
	r.win.steps = int(p.ContentBits) + maxSteps
	r.next = off + int64(p.PacketBits/8)
	r.pos, r.Class = p.headBits, nil
	r.clock = p.Class.Clock
	return true
}

// Next moves on to the packet's next event. It returns false at the packet's end and
// on errors.
func (r *Reader) Next() bool {
	if r.pos >= r.win.end || r.err != nil {
		r.Class = nil
		return false
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
