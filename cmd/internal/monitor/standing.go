package monitor

import (
	"cmp"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
)

// A guest that is introspected, or debugged, is stopped and let run again up to a hundred times a second, and libvirt tells of each. That is no pause of an operator's: of that,
// libvirt knows the reason, or it lasts.
const (
	// heldMost is how long a guest may stand still for no reason that libvirt knows of until it counts as paused.
	heldMost = 5 * time.Second
	// askEvery is how often libvirt is asked what a domain does that is stopped again and again; the first asksAtOnce events have it asked at once.
	askEvery   = 500 * time.Millisecond
	asksAtOnce = 4
)

// standing is what events have told of a domain's CPUs. Times are those of CLOCK_MONOTONIC, nanoseconds.
type standing struct {
	stopped int64   // since when they stand still; 0: they run
	at      int64   // of the last event
	asked   int64   // when an event was last a reason to ask libvirt
	left    float64 // how many may be so at once
	due     int64   // when it is to be asked again; 0: not
}

// standings are those of all domains. They are safe for concurrent use.
type standings struct {
	timer *time.Timer // goes off when libvirt is to be asked again

	mu sync.Mutex // guards of, and what is in it
	of map[string]*standing
}

func newStandings() *standings {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &standings{timer: t, of: map[string]*standing{}}
}

// domain is what is known of one. The caller holds the lock.
func (s *standings) domain(uuid string) *standing {
	d := s.of[uuid]
	if d == nil {
		d = &standing{left: asksAtOnce}
		s.of[uuid] = d
	}
	return d
}

func (s *standings) forget(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, uuid)
}

// event takes in that a domain's CPUs were stopped then, or let run, and says whether libvirt is to be asked at once. Where there were too many, it is asked somewhat later.
func (s *standings) event(uuid string, at int64, stopped bool, now int64) (ask bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.domain(uuid)
	if d.at, d.stopped = at, 0; stopped {
		d.stopped = at
	}
	d.left = min(asksAtOnce, d.left+float64(now-d.asked)/float64(askEvery))
	d.asked = now
	if d.left >= 1 {
		d.left--
		return true
	}
	if d.due == 0 {
		d.due = now + int64(askEvery)
		s.schedule(now)
	}
	return false
}

// schedule has the timer go off when the next domain is to be asked about. The caller holds the lock.
func (s *standings) schedule(now int64) {
	next := int64(0)
	for _, d := range s.of {
		if d.due != 0 && (next == 0 || d.due < next) {
			next = d.due
		}
	}
	if next != 0 {
		s.timer.Reset(time.Duration(max(0, next-now)))
	}
}

// due are the domains that it is time to ask about, and when their last events were.
func (s *standings) due(now int64) map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := map[string]int64{}
	for uuid, d := range s.of {
		if d.due != 0 && d.due <= now {
			list[uuid], d.due = d.at, 0
		}
	}
	s.schedule(now)
	return list
}

// answer takes in what a domain does now, asked on account of an event that came then. It returns whether it is paused, and since when; known is false where that is not
// known yet.
func (s *standings) answer(uuid string, doing libvirt.Activity, at, now int64) (paused bool, since int64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.domain(uuid)
	d.due = 0
	switch doing {
	case libvirt.Paused:
		return true, at, true
	case libvirt.Held:
		d.stopped = cmp.Or(d.stopped, now)
		if end := d.stopped + int64(heldMost); end > now {
			d.due = end
			s.schedule(now)
			return false, 0, false
		}
		return true, d.stopped, true
	case libvirt.Running:
		if d.stopped == at { // it has gone on since, of which an event is still to come
			at = now
		}
		d.stopped = 0
		return false, at, true
	}
	return false, 0, false
}

// moment takes an event of a guest whose CPUs were stopped then, or let run.
func (m *Monitor) moment(uuid string, at int64, stopped bool) {
	w := m.watcher(uuid)
	if w == nil {
		m.standings.forget(uuid)
		return
	}
	w.news.note(func(t *notice) { t.moments.note(at, stopped) }) // whatever it is, it has stood still
	if m.connection() == nil {                                   // nobody can be asked
		w.news.tell(func(t *notice) { t.act(stopped, at) })
		return
	}
	if m.standings.event(uuid, at, stopped, now()) {
		m.activity(uuid, at)
	}
}

// lookAgain asks about the domains that it is time for.
func (m *Monitor) lookAgain() {
	for uuid, at := range m.standings.due(now()) {
		m.activity(uuid, at)
	}
}

// activity tells a watcher whether its domain is paused, since then: read again, as the event may be old. A domain that stands still for no reason that libvirt knows of is
// looked at again before it counts as paused.
func (m *Monitor) activity(uuid string, at int64) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil {
		m.standings.forget(uuid)
		return
	}
	doing, err := conn.Activity(uuid)
	if err != nil {
		m.log.WithError(err).Warn("could not read whether a domain is paused")
		return
	}
	if paused, since, known := m.standings.answer(uuid, doing, at, now()); known {
		w.news.tell(func(t *notice) { t.act(paused, since) })
	}
}
