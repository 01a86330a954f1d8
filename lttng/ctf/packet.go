package ctf

// Packet is what a packet's header and context say.
type Packet struct {
	Class       *StreamClass
	Offset      int64  // of the packet in its file, bytes
	ContentBits uint64 // used bits from the packet's start
	PacketBits  uint64 // the packet's whole size
	Instance    uint64 // stream_instance_id
	Begin, End  uint64 // clock values; End is that of the last event or later
	BeginNS     int64  // Begin in nanoseconds from the clock's origin
	EndNS       int64
	Seq         uint64 // packet_seq_num, from 0 on in a stream
	Discarded   uint64 // events_discarded, in all since the stream began
	CPU         uint64

	DiscardedBits uint8 // size of the counter, after which it wraps
	HasInstance   bool
	HasBegin      bool
	HasEnd        bool
	HasSeq        bool
	HasDiscarded  bool
	HasCPU        bool

	Context  Value  // the packet context as it is; no type if there is none
	headBits uint64 // where the events start

	hasContent, hasSize bool
}

// packetHead decodes the packet's header and context at offset off. retry says that
// more bytes could help.
func (r *Reader) packetHead(off int64) (retry, ok bool) {
	r.Packet = Packet{Offset: off}
	p := &r.Packet
	r.head = header{}
	r.context.reset()
	r.win.steps = maxSteps
	md := r.trace.Metadata
	pos := uint64(0)
	if md.packetHeader != nil {
		var v Value
		var msg string
		if pos, msg = r.win.decode(&r.context, md.packetHeader, -1, 0, &v); msg != "" {
			return true, r.failBit(pos, "packet header: "+msg)
		}
		if !r.checkHeader(&v) {
			return false, false
		}
	} else if !r.classOf(0, false) {
		return false, false
	}
	if p.Class.PacketContext != nil {
		var msg string
		if pos, msg = r.win.decode(&r.context, p.Class.PacketContext, -1, pos, &p.Context); msg != "" {
			return true, r.failBit(pos, "packet context: "+msg)
		}
		r.readContext(&p.Context)
	}
	if !p.hasSize {
		p.PacketBits = uint64(r.size-off) * 8
	}
	if !p.hasContent {
		p.ContentBits = p.PacketBits
	}
	p.headBits = pos
	return false, r.checkSizes()
}

// checkHeader verifies magic number and UUID and finds the stream class.
func (r *Reader) checkHeader(v *Value) bool {
	p, md := &r.Packet, r.trace.Metadata
	id, hasID := uint64(0), false
	for i := range v.Elems {
		f := &v.Elems[i]
		switch f.Name {
		case "magic":
			if f.Uint != packetMagic {
				return r.fail(p.Offset, "packet header: wrong magic number %#x", f.Uint)
			}
		case "uuid":
			var u UUID
			if len(f.Elems) != len(u) {
				return r.fail(p.Offset, "packet header: UUID of %d bytes", len(f.Elems))
			}
			for i := range u {
				u[i] = byte(f.Elems[i].Uint)
			}
			if md.HasUUID && u != md.UUID {
				return r.fail(p.Offset, "packet of another trace: UUID %s, metadata has %s", u, md.UUID)
			}
		case "stream_id":
			id, hasID = f.Uint, true
		case "stream_instance_id":
			p.Instance, p.HasInstance = f.Uint, true
		}
	}
	return r.classOf(id, hasID)
}

func (r *Reader) classOf(id uint64, hasID bool) bool {
	md := r.trace.Metadata
	if !hasID && len(md.Streams) == 1 {
		r.Packet.Class = md.Streams[0]
		return true
	}
	if r.Packet.Class = md.Stream(id); r.Packet.Class == nil {
		return r.fail(r.Packet.Offset, "packet of stream %d, which the metadata does not describe", id)
	}
	return true
}

// readContext picks the members of the packet context that have a meaning.
func (r *Reader) readContext(v *Value) {
	p := &r.Packet
	for i := range v.Elems {
		f := &v.Elems[i]
		t, ok := f.Type.(*Integer)
		if !ok {
			continue
		}
		switch f.Name {
		case "timestamp_begin":
			p.Begin, p.HasBegin = f.Uint, true
			r.head.cycles = f.Uint
		case "timestamp_end":
			p.End, p.HasEnd = f.Uint, true
		case "content_size":
			p.ContentBits, p.hasContent = f.Uint, true
		case "packet_size":
			p.PacketBits, p.hasSize = f.Uint, true
		case "packet_seq_num":
			p.Seq, p.HasSeq = f.Uint, true
		case "events_discarded":
			p.Discarded, p.HasDiscarded, p.DiscardedBits = f.Uint, true, t.Size
		case "cpu_id":
			p.CPU, p.HasCPU = f.Uint, true
		}
	}
	if c := p.Class.Clock; c != nil {
		p.BeginNS, p.EndNS = c.NS(p.Begin), c.NS(p.End)
	}
}

// checkSizes verifies the sizes against each other and the file.
func (r *Reader) checkSizes() bool {
	p := &r.Packet
	left := uint64(r.size-p.Offset) * 8
	switch {
	case p.PacketBits%8 != 0 || p.PacketBits == 0:
		return r.fail(p.Offset, "packet of %d bits", p.PacketBits)
	case p.PacketBits > left:
		return r.fail(p.Offset, "packet of %d bytes, but the file ends after %d", p.PacketBits/8, left/8)
	case p.ContentBits > p.PacketBits:
		return r.fail(p.Offset, "content of %d bits in a packet of %d bits", p.ContentBits, p.PacketBits)
	case p.ContentBits < p.headBits:
		return r.fail(p.Offset, "content of %d bits, less than header and context", p.ContentBits)
	case p.ContentBits > maxPacket*8:
		return r.fail(p.Offset, "packet with %d bytes of content: more than %d are not read", p.ContentBits/8, maxPacket)
	}
	return true
}
