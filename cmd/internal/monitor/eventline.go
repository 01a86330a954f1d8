package monitor

import (
	"context"
	"sync"

	"github.com/virtsentry/virtsentry/libvirt"
)

// timed is an event and when it came: CLOCK_MONOTONIC, nanoseconds.
type timed struct {
	libvirt.Event
	at int64
}

// eventQueue bounds the events whose time is known and that wait, as libvirt may answer no question for long.
const eventQueue = 256

// eventLine is events that wait to be handled. Of a domain that is stopped and let run again and again, as by a debugger, the first and the last of these events wait: so
// libvirt is always listened to, and no other event is lost. It is safe for concurrent use.
type eventLine struct {
	more chan struct{} // some wait; holds one
	room chan struct{} // one was taken; holds one

	mu      sync.Mutex // guards waiting
	waiting []timed
}

func newEventLine() *eventLine {
	return &eventLine{more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// signal wakes whoever waits, or will.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds an event. It says false where there is no room.
func (l *eventLine) put(e timed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.again(e); last >= 0 {
		l.waiting[last] = e
		return true
	}
	if len(l.waiting) >= eventQueue {
		return false
	}
	l.waiting = append(l.waiting, e)
	signal(l.more)
	return true
}

// again finds the event that another one takes the place of: the second of two or more of a kind that nothing else of the domain has followed; -1: there is none.
func (l *eventLine) again(e timed) int {
	if !standsOrRuns(e.Kind) {
		return -1
	}
	last := -1
	for i := len(l.waiting) - 1; i >= 0; i-- {
		switch x := l.waiting[i]; {
		case x.Domain.UUID != e.Domain.UUID:
		case !standsOrRuns(x.Kind):
			return -1
		case last >= 0:
			return last
		default:
			last = i
		}
	}
	return -1
}

// standsOrRuns says whether a kind of event is that of a guest whose CPUs were stopped, or let run.
func standsOrRuns(k libvirt.EventKind) bool { return k == libvirt.Suspended || k == libvirt.Resumed }

// take takes the first event, if there is one.
func (l *eventLine) take() (e timed, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return e, false
	}
	e, l.waiting = l.waiting[0], l.waiting[1:]
	if len(l.waiting) > 0 {
		signal(l.more)
	}
	signal(l.room)
	return e, true
}

// clock notes when events come, until ctx ends.
func clock(ctx context.Context, events <-chan libvirt.Event, out *eventLine) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			for at := now(); !out.put(timed{e, at}); {
				select {
				case <-out.room:
				case <-ctx.Done():
					return
				}
			}
		}
	}
}
