package ctf

import (
	"encoding/binary"
	"math/bits"
)

const (
	largeHeader = 6 // bytes of LTTng's large event header, when it is not extended
	largeWord   = 8 // bytes that are there where it is looked at quickly

	maxQuickID = 1 << 13 // ids that are counted quickly, more than QEMU has trace points
)

// Columns of [Tally.Set] that are none.
const (
	Stop = -1 // do not go over events of this class
	Pass = -2 // go over them, and count them nowhere
)

// Tally says which counter the events of each class are counted in, for [Reader.Tally]. Readers may share it while nobody calls Set.
type Tally struct {
	streams    [][]action // by StreamClass.index, then by the event's id
	sized      [][]action // the same of those whose events have one size whatever the data; nil where there are none
	most       int        // the largest of these sizes, bytes
	conditions []condition
}

// action is what is done with the events of an id.
type action struct {
	size   uint16 // quick.size
	one    uint8  // what is added to the counter, 0 or 1
	varies bool   // the event is larger than that, as quick.steps say
	column uint32 // noColumn: none, it stops there
}

func (q *quick) action(column uint32, one uint8) action {
	return action{size: q.size, one: one, varies: q.steps != nil, column: column}
}

const (
	noColumn    = 1<<32 - 1
	conditional = 2 // in place of one: column is the index of a condition
)

// condition is one under which an event is stopped at, else passed over: that a text at a place that the data does not change begins so.
type condition struct {
	at     int // from the fields' begin, bytes
	prefix string
}

// NewTally returns a Tally for the traces of these metadata that stops at events of all classes.
func (m *Metadata) NewTally() *Tally {
	t := &Tally{streams: make([][]action, len(m.Streams)), sized: make([][]action, len(m.Streams))}
	for i, s := range m.Streams {
		t.streams[i] = make([]action, len(s.quick))
		for id, q := range s.quick {
			t.streams[i][id] = q.action(noColumn, 0)
		}
	}
	return t
}

// Set says that events of a class are counted in column, or that they are passed over (Pass) or stopped at (Stop).
func (t *Tally) Set(class *EventClass, column int) {
	s, id := class.Stream, class.ID
	if id >= uint64(len(s.quick)) {
		return // only Next reads it
	}
	q := &s.quick[id]
	switch {
	case q.class != class || column == Stop || column >= noColumn:
		t.set(s, id, q.action(noColumn, 0))
	case column < 0:
		t.set(s, id, q.action(0, 0))
	default:
		t.set(s, id, q.action(uint32(column), 1))
	}
}

// StopWhere says that events of a class are stopped at where the text in a field begins with prefix, and else passed over. Where fields in front of it have
// sizes that the data tells, they are always stopped at. The prefix is not empty and has no zero bytes.
func (t *Tally) StopWhere(class *EventClass, field, prefix string) {
	t.Set(class, Stop)
	sel, err := class.Select(field)
	quicks := class.Stream.quick
	if err != nil || len(sel.picks) != 1 || sel.picks[0].kind != pickText || class.ID >= uint64(len(quicks)) || quicks[class.ID].class != class {
		return
	}
	t.conditions = append(t.conditions, condition{sel.picks[0].at, prefix})
	t.set(class.Stream, class.ID, quicks[class.ID].action(uint32(len(t.conditions)-1), conditional))
}

func (t *Tally) set(s *StreamClass, id uint64, a action) {
	t.streams[s.index][id] = a
	if id >= maxQuickID {
		return
	}
	if t.sized[s.index] == nil {
		t.sized[s.index] = make([]action, min(len(s.quick), maxQuickID))
		for i := range t.sized[s.index] {
			t.sized[s.index][i].column = noColumn
		}
	}
	if a.varies {
		a.column = noColumn
	}
	t.sized[s.index][id] = a
	t.most = max(t.most, int(a.size))
}

// Tally goes on over the packet's next events for as long as they are plain ones before a time, in nanoseconds from the clock's origin, adds each to counts
// as t says, and returns how many they were. It is what Next and Time do, many times faster, for events whose layout lets it.
//
// Where it stops at an event of a class to stop at, it moves on to that as Next does, and at is true. Else Next goes on; where events is not 0, Time is that of
// the last one, and there is no current class.
func (r *Reader) Tally(t *Tally, until int64, counts []uint64) (events int, at bool) {
	if !r.tallies || until <= r.clock.offsetNS || r.pos%8 != 0 || r.err != nil {
		return 0, false
	}
	limit := uint64(until - r.clock.offsetNS)
	if r.head.cycles >= limit { // a time that is reckoned is thus far from 64 bits' end
		return 0, false
	}
	sized := t.sized[r.Packet.Class.index]
	for {
		n, next := r.varied(t, counts, limit, sized != nil)
		if events += n; next != regular {
			at = next == stopped
			break
		}
		events += r.sized(sized, counts, t.most, limit)
	}
	if !at && events > 0 {
		r.Cycles, r.Class = r.head.cycles, nil
	}
	return events, at
}

// outcome is why Reader.varied ends.
type outcome uint8

const (
	failed  outcome = iota // Next sees to the next event
	regular                // the next event is one that Reader.sized goes over
	stopped                // it has moved on to an event at which Tally stops
)

// varied goes over events of any size, at least one. Where two in a row are such that Reader.sized goes over, it leaves the second one to that if sized says so.
func (r *Reader) varied(t *Tally, counts []uint64, limit uint64, sized bool) (events int, next outcome) {
	s, content := r.Packet.Class, r.content
	list, quicks := t.streams[s.index], s.quick
	pos, cycles, row := int(r.pos/8), r.head.cycles, 0
	n := min(len(list), len(quicks))
	if len(r.follower) < n {
		r.follower = make([]uint16, n)
	}
	list, quicks = list[:n], quicks[:n]
	follower, last := r.follower[:n], 0
	if n == 0 {
		return 0, failed
	}
	for pos >= 0 && pos <= len(content)-largeHeader {
		low := uint32(content[pos+2]) | uint32(content[pos+3])<<8 | uint32(content[pos+4])<<16 | uint32(content[pos+5])<<24
		// Where an event ends depends on its id. Guessing this, and the branch being foreseen, the processor need not wait until it is there.
		id := int(follower[last])
		if read := int(content[pos]) | int(content[pos+1])<<8; read != id {
			follower[last], id = uint16(read), read
		}
		if id >= n {
			break
		}
		last = id
		a := list[id]
		if a.varies || a.column == noColumn {
			row = 0
		} else if row++; row > 1 && sized {
			next = regular
			break
		}
		now := cycles + uint64(low-uint32(cycles)) // the next time with these low bits
		q := &quicks[id]
		if now >= limit || q.class == nil {
			break
		}
		end, ok := pos+int(a.size), true
		if a.varies {
			// What quick.skip does, without a call and where there are bytes enough behind; else that says what is so.
			for i := range q.steps {
				s := &q.steps[i]
				if end += int(s.bytes); end < 0 || end > len(content)-largeWord {
					ok = false
					break
				}
				word := binary.LittleEndian.Uint64(content[end:])
				if s.kind == stepCounted {
					n := s.count(word)
					end += int(s.width)
					if left := uint64(len(content) - end); n > left || n*uint64(s.elem) > left {
						ok = false
						break
					}
					end += int(n * uint64(s.elem))
					continue
				}
				zeros := zeroBytes(word)
				for zeros == 0 && end <= len(content)-2*largeWord {
					end += largeWord
					zeros = zeroBytes(binary.LittleEndian.Uint64(content[end:]))
				}
				if zeros == 0 {
					ok = false
					break
				}
				end += bits.TrailingZeros64(zeros)/8 + 1
			}
			if end += int(q.tail); !ok {
				end, ok = q.skip(content, pos+int(a.size))
			}
		}
		if !ok || end > len(content) {
			break // Next says what is wrong
		}
		if a.one == conditional && t.conditions[a.column].met(content[pos+largeHeader:end]) || a.column == noColumn {
			r.pos, r.head.cycles, r.head.id, r.head.hasID = uint64(end)*8, now, q.class.ID, true
			r.Cycles, r.Class, r.body = now, q.class, uint64(pos+largeHeader)*8
			return events, stopped
		}
		if a.one != conditional {
			if uint64(a.column) >= uint64(len(counts)) {
				break
			}
			counts[a.column] += uint64(a.one)
		}
		pos, cycles = end, now
		events++
	}
	r.pos, r.head.cycles = uint64(pos)*8, cycles
	return events, next
}

// sized goes over events whose size does not depend on the data, for as long as one of the largest size would fit. It is what cutting a trace into units spends its
// time with: there is no call in it, the bytes below are read by two loads, and the compiler has proven that they are within the content.
func (r *Reader) sized(list []action, counts []uint64, most int, limit uint64) (events int) {
	buf := r.content[:max(len(r.content)-most, 0)]
	pos, cycles, last := int(r.pos/8), r.head.cycles, 0
	for pos >= 0 && pos < len(buf)-(largeWord-1) {
		id := int(buf[pos]) | int(buf[pos+1])<<8
		low := uint32(buf[pos+2]) | uint32(buf[pos+3])<<8 | uint32(buf[pos+4])<<16 | uint32(buf[pos+5])<<24
		if id >= len(list) {
			break
		}
		a := &list[id]
		now := cycles + uint64(low-uint32(cycles)) // the next time with these low bits
		column := uint64(a.column)
		if now >= limit || column >= uint64(len(counts)) {
			break
		}
		// Where the next event is depends on two loads. Events of one size often stand in a row: foreseeing the branch, the processor need not wait for these. That each
		// branch counts keeps the compiler from making one sum of them.
		if size := int(a.size); size == last {
			counts[column] += uint64(a.one)
			pos += last
		} else {
			counts[column] += uint64(a.one)
			pos += size
			last = size
		}
		cycles = now
		events++
	}
	r.pos, r.head.cycles = uint64(pos)*8, cycles
	return events
}

// met tells whether the event with these fields is to be stopped at.
func (c *condition) met(fields []byte) bool {
	return len(fields)-c.at >= len(c.prefix) && string(fields[c.at:c.at+len(c.prefix)]) == c.prefix
}
