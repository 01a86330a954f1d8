package ctf

import (
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"strings"
)

// Merger goes through the events of many data streams in the order of time. Events of
// one time come in the order of their traces' UUIDs and host names, stream classes and
// stream instances, which is babeltrace2's order.
type Merger struct {
	heap    readerHeap
	current *Reader
	all     []*Reader
	err     error
}

// NewMerger opens all streams of the traces. Close it after use.
func NewMerger(traces ...*Trace) (*Merger, error) {
	m := &Merger{}
	for _, t := range traces {
		for _, s := range t.Streams {
			r := s.Reader()
			m.all = append(m.all, r)
			if err := m.push(s, r); err != nil {
				return nil, errors.Join(err, m.Close())
			}
		}
	}
	return m, nil
}

// push puts the stream's next event in its place; a stream at its end drops out.
func (m *Merger) push(s *Stream, r *Reader) error {
	if !r.nextEvent() {
		return r.Err()
	}
	heap.Push(&m.heap, source{r, s, r.Time()})
	return nil
}

// nextEvent moves on to the next event in this packet or a later one.
func (r *Reader) nextEvent() bool {
	for !r.Next() {
		if !r.NextPacket() {
			return false
		}
	}
	return true
}

// Next moves on to the next event; it returns false at the end and on errors.
func (m *Merger) Next() bool {
	if m.err != nil {
		return false
	}
	if m.current != nil {
		top := &m.heap[0]
		if m.current.nextEvent() {
			top.time = m.current.Time()
			heap.Fix(&m.heap, 0)
		} else if m.err = m.current.Err(); m.err != nil {
			return false
		} else {
			heap.Pop(&m.heap)
		}
		m.current = nil
	}
	if len(m.heap) == 0 {
		return false
	}
	m.current = m.heap[0].r
	return true
}

// Event returns the reader that is at the current event, for its class, time, packet
// and fields. The caller must not move it.
func (m *Merger) Event() *Reader { return m.current }

// Err returns what ended the reading, nil at the end of all streams.
func (m *Merger) Err() error { return m.err }

// Close closes all files.
func (m *Merger) Close() error {
	var errs []error
	for _, r := range m.all {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

type source struct {
	r    *Reader
	s    *Stream
	time int64
}

func (a source) compare(b source) int {
	if c := cmp.Compare(a.time, b.time); c != 0 {
		return c
	}
	ma, mb := a.r.trace.Metadata, b.r.trace.Metadata
	return cmp.Or(bytes.Compare(ma.UUID[:], mb.UUID[:]),
		strings.Compare(ma.EnvText("hostname"), mb.EnvText("hostname")),
		cmp.Compare(a.s.Class.ID, b.s.Class.ID), cmp.Compare(a.s.Instance, b.s.Instance))
}

type readerHeap []source

func (h readerHeap) Len() int           { return len(h) }
func (h readerHeap) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h readerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *readerHeap) Push(x any)        { *h = append(*h, x.(source)) }
func (h *readerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
