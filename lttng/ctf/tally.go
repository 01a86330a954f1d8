package ctf

import "encoding/binary"

const (
	largeHeader = 6                 // bytes of LTTng's large event header, when it is not extended
	largeMask   = uint64(1)<<32 - 1 // of the time stamp in it
)

// quick is what Tally needs to know of the events of an id.
type quick struct {
	class *EventClass // nil: there is none
	size  uint32      // of an event with its header, bytes; 0: it depends on the data
}

// makeQuick says how the events of a stream whose headers are LTTng's large ones are passed over.
func (s *StreamClass) makeQuick() {
	const extended, most = 0xffff, 1 << 30
	if s.header != headerLargeLE {
		return
	}
	for _, e := range s.Events {
		if e.ID >= extended {
			continue
		}
		if n := int(e.ID) + 1; n > len(s.quick) {
			s.quick = append(s.quick, make([]quick, n-len(s.quick))...)
		}
		q := quick{class: e}
		if size, align, ok := e.body.fixed(); ok && align <= 8 && size%8 == 0 && size/8 < most {
			q.size = largeHeader + uint32(size/8)
		}
		s.quick[e.ID] = q
	}
}

// Tally goes on over the packet's next events for as long as they are plain ones before a time, in nanoseconds from the clock's origin, and adds
// each to counts, at the place that columns has for its class's Index: -1 stops it there, and under that the event is passed over. It is what Next and Time
// do, some times faster, for events whose layout lets it; where it stops, Next goes on. Time is then that of the last event; there is no current class.
func (r *Reader) Tally(until int64, columns []int32, counts []uint64) {
	list, clock := r.Packet.Class.quick, r.clock
	if len(list) == 0 || r.err != nil || clock == nil || clock.Frequency != nsPerSecond || r.pos%8 != 0 || until <= clock.offsetNS || clock.offsetNS < 0 {
		return
	}
	limit := uint64(until - clock.offsetNS)
	buf, cycles := r.win.buf[r.pos/8:max(r.pos, r.win.end)/8], r.head.cycles
	begin := len(buf)
	for len(buf) >= largeHeader {
		id := int(binary.LittleEndian.Uint16(buf))
		if id >= len(list) {
			break
		}
		q := &list[id]
		now := cycles&^largeMask | uint64(binary.LittleEndian.Uint32(buf[2:]))
		if now < cycles {
			now += largeMask + 1
		}
		if now >= limit || now < cycles || q.class == nil || q.class.Index >= len(columns) {
			break
		}
		column := columns[q.class.Index]
		if column == -1 || int(column) >= len(counts) {
			break
		}
		size := int(q.size)
		if size == 0 {
			at := r.pos + uint64(begin-len(buf))*8
			end, msg := r.win.skip(q.class.body, at+largeHeader*8)
			if msg != "" || end%8 != 0 {
				break // Next says what is wrong
			}
			size = int(end-at) / 8
		}
		if size > len(buf) {
			break
		}
		if column >= 0 {
			counts[column]++
		}
		cycles, buf = now, buf[size:]
	}
	if len(buf) < begin {
		r.pos += uint64(begin-len(buf)) * 8
		r.head.cycles, r.Cycles, r.Class = cycles, cycles, nil
	}
}
