package monitor

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	// switchTimer is how often the consumer daemon writes what the ring buffers hold: once for each unit, as each packet costs it, and who reads it, the same. So that a unit need not wait long for
	// it, recording begins shortly after a unit's end ([starts.begin]): a timer's phase is when it was made.
	switchTimer = unit.Width
	// switchSooner is that of a guest that does not run yet, and of whose start nothing is to be missed, where recording begins at another time.
	switchSooner = switchTimer / 2
	// writeTime is how long after the switch timer has gone off what it has flushed is taken to be written; graceLeast and graceMost are what is added where events come later
	// than that, and half of it is taken off each time that none has for calm.
	writeTime  = 100 * time.Millisecond
	graceLeast = 250 * time.Millisecond
	graceMost  = 3 * time.Second
	calm       = time.Minute
	// sharp is how far from one another packets' ends may be that the same timer has ended.
	sharp = 20 * time.Millisecond
	// rotateEach is how often what is followed is archived and removed; a part that differs from domain to domain, up to a quarter, is taken off.
	rotateEach = 10 * time.Minute
	// quietMost is how long a trace may have nothing new before a rotation tells whether that is so.
	quietMost = 30 * time.Second
	// steadyLeast is how many reads in a row have something new of a process that is then not believed to have fallen silent: the consumer daemon is seen to work
	// for other domains, or else a rotation tells whether it hangs, before a unit is given out; and for the second unit in a row, whether it has given up these streams.
	steadyLeast = 8
)

// So often, and so long each time, is waited for what shows whether such a process is silent, before a rotation, which takes longer.
const (
	silentMost = 2
	silentEach = 100 * time.Millisecond
)

// errSilence says that there is nothing new where there always was, or that nobody knows whether anything is written.
var errSilence = errors.New("nothing new of a process that was never silent, or of any")

// following reads a domain's trace where it is being written, for as long as nothing speaks against it. A nil one never does.
type following struct {
	*lttng.Follower
	alive    func(since int64) error // whether the session has recorded until then
	recorded func() bool             // somebody wants whole chunks
	pid      int
	each     time.Duration // between rotations

	timer time.Duration // the switch timer
	began span          // recording
	phase time.Duration // after a unit's end, when the switch timer first goes off; that of the newest packet's end
	times int           // as often that was so in a row
	base  time.Duration // how long after a unit's end it is complete, by the timer
	knows bool          // when the switch timer goes off
	grace time.Duration // what is added, as events came late

	consumer *os.Process // the consumer daemon; nil: not known yet
	pulse    *pulse      // of the consumer daemons
	looked   int64       // CLOCK_MONOTONIC, nanoseconds: what was written before is known
	rotated  time.Time   // the last rotation
	news     time.Time   // when something new was last there
	late     time.Time   // when events last came after their unit was given out, or the grace was last halved
	steady   int         // reads in a row with something new, but for a silent one
	silent   bool        // the last read of them had nothing
	wrong    bool        // a rotation is to tell what is so
}

func (m *Monitor) newFollowing(d libvirt.Domain, s *lttng.Session, pid int, timer time.Duration, began span) *following {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.UUID))
	return &following{
		Follower: s.Follower(), pid: pid, timer: timer, began: began, base: timer + writeTime, each: rotateEach - time.Duration(h.Sum32())%(rotateEach/4),
		pulse: &m.pulse, alive: func(since int64) error { return m.sessions.check(s.Name(), since) }, recorded: func() bool { return m.tees.wants(d.UUID) },
	}
}

func (f *following) following() bool { return f != nil && f.Following() }

// begin begins to follow after a rotation that was asked for at a time, CLOCK_MONOTONIC in nanoseconds. Where that cannot be, there will be another rotation.
func (f *following) begin(asked int64) {
	if f == nil || f.recorded() {
		return
	}
	if f.consumer == nil {
		var err error
		if f.consumer, err = lttng.Consumer(f.pid); err != nil {
			return
		}
	}
	f.pulse.beat(f.consumer.Pid, asked) // it has answered since
	if err := f.Begin(); err != nil {
		return
	}
	f.looked = asked
	f.rotated, f.news, f.wrong = time.Now(), time.Now(), false
}

// may says whether the next units may be read without a rotation.
func (f *following) may() bool {
	return f.following() && !f.wrong && !f.recorded() && time.Since(f.rotated) < f.each && time.Since(f.news) < quietMost
}

// heard notes whether a read had something new; seen: if there had been something, it would have. Errors: errSilence.
func (f *following) heard(something, seen bool) error {
	was := f.steady
	switch {
	case something:
		f.steady, f.silent = was+1, false
	case was >= steadyLeast && seen && !f.silent:
		f.silent = true
	default:
		if f.steady, f.silent = 0, false; was >= steadyLeast {
			return errSilence
		}
	}
	return nil
}

// flushed is when the switch timer goes off that flushes the end of a unit, and a little before; CLOCK_MONOTONIC in nanoseconds, as the unit's end.
func (f *following) flushed(end int64) int64 { return end + int64(f.base-writeTime-sharp) }

// works says whether the consumer daemon is known to have worked after what the switch timer flushed at the end of a unit was written; CLOCK_MONOTONIC in nanoseconds.
func (f *following) works(end int64) bool {
	return f.pulse.beaten(f.consumer.Pid) >= end+int64(f.base)
}

// read counts what is new. Where a process always had something since the switch timer went off at the end of a unit, CLOCK_MONOTONIC in nanoseconds, it is waited for
// that, or for what shows that there is nothing. Errors: errUnreadable, and then the units that it concerns are lossy; errSilence; after any other one, nothing was read.
func (f *following) read(c *unit.Cutter, end int64) error {
	if err := f.alive(end); err != nil {
		return err
	}
	if lttng.Ended(f.consumer) {
		return fmt.Errorf("%w: its consumer daemon, process %d, has ended", lttng.ErrNoSessionDaemon, f.consumer.Pid)
	}
	for waits := silentMost; ; waits-- {
		seen := f.works(end)
		something, err := f.take(c, f.flushed(end))
		if err != nil {
			return err
		}
		if something || seen || f.steady < steadyLeast || waits == 0 {
			return f.heard(something, seen)
		}
		time.Sleep(silentEach)
	}
}

// take counts what is new, and says whether some of it was written since a time, CLOCK_MONOTONIC in nanoseconds. Errors: as those of read, but for errSilence.
func (f *following) take(c *unit.Cutter, since int64) (bool, error) {
	look := now()
	dir, parts, err := f.New()
	if err != nil {
		f.wrong = true // nothing was read, and no unit may be given out for complete
		return false, err
	}
	at := f.wrote(now() - int64(time.Since(f.Written())))
	if f.looked = look; len(parts) == 0 {
		return false, nil
	}
	f.pulse.beat(f.consumer.Pid, at)
	f.news = time.Now()
	if err := c.ReadParts(dir, parts); err != nil {
		f.wrong = true
		return false, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if f.Free(dir, parts) != nil {
		f.wrong = true // a rotation frees it
	}
	return at >= since, nil
}

// wrote is when the consumer daemon wrote what was found now: at a time, CLOCK_MONOTONIC in nanoseconds, that is wrong where the host's clock has been set since.
func (f *following) wrote(at int64) int64 {
	if at < f.looked || at > now() {
		return f.looked
	}
	return at
}

// settled is until when units may be given out, of those that have ended until a time; both are of CLOCK_MONOTONIC in nanoseconds. A unit in which a process was
// silent looks like one that a consumer daemon which hangs has not written yet. So it waits until that has been seen to work, for whichever domain, after the
// switch timer has gone off since the unit's end. Errors: errSilence: it has waited for as long as a unit; a rotation tells whether the consumer daemon answers,
// which then serves all domains. While another domain asks, it waits for one unit more. As long as nobody knows when the switch timer goes off, units wait for it as long
// as they possibly may already: then they do not wait for anything else. So it is with a process that has registered late, as all do with a new session daemon.
func (f *following) settled(until int64) (int64, error) {
	patience := unit.Width
	if !f.knows {
		patience = 0
	}
	known := f.pulse.beaten(f.consumer.Pid) - f.flushed(0)
	if waits := until - known; waits > 2*int64(unit.Width) || waits > int64(patience) && f.pulse.ask(f.consumer.Pid, now()) {
		return 0, errSilence
	}
	return max(0, min(until, known)), nil
}

// rest counts what was not read yet of the chunk that was followed, now that it is complete.
func (f *following) rest(c *unit.Cutter, chunk string) error {
	dir, parts, err := f.Rest(chunk)
	if err != nil {
		c.Fail()
		return err
	}
	return c.ReadParts(dir, parts)
}

// lag is how long after a unit's end it is taken for complete.
func (f *following) lag() time.Duration { return f.base + f.grace }

// tick learns from the end of a packet, in the units' time, when the switch timer goes off: as recording began, or, of a process that has registered later, as then. Packets
// that end because a sub-buffer is full end at any time.
func (f *following) tick(end int64) {
	phase := afterUnit(end) % f.timer
	apart := (phase - f.phase).Abs()
	if apart = min(apart, f.timer-apart); apart > sharp {
		f.phase, f.times = phase, 0
	} else {
		f.times++
	}
	if f.times < 3 && !f.began.has(phase, f.timer) {
		return
	}
	f.knows = true
	if f.base = f.phase + writeTime; f.phase < sharp { // it may go off just before a unit's end
		f.base += f.timer
	}
}

// punctual adapts the lag to whether events came after their unit was given out.
func (f *following) punctual(late uint64) {
	switch {
	case late > 0:
		f.grace, f.late = min(max(2*f.grace, graceLeast), graceMost), time.Now()
	case f.grace > 0 && time.Since(f.late) > calm:
		if f.grace, f.late = f.grace/2, time.Now(); f.grace < graceLeast {
			f.grace = 0
		}
	}
}

func (f *following) end() {
	if f != nil && f.consumer != nil {
		_ = f.consumer.Release()
		f.consumer = nil
	}
}

// followed collects without a rotation.
func (s *ustSource) followed() (b batch, err error) {
	until := now() - int64(s.follow.lag())
	// That the trace is the process's was verified when it was begun to be followed.
	switch alone, err := s.follow.Alone(); {
	case err != nil:
		s.follow.wrong = true
		return b, err
	case !alone:
		_, doubt := s.verify.Verify()
		if b.doubt = doubt; errors.Is(doubt, lttng.ErrIdentity) {
			return b, doubt
		}
	}
	b.registered = true
	if err = s.follow.read(s.cutter, until-int64(afterUnit(s.clock.NS(uint64(until))))); err != nil && !errors.Is(err, errUnreadable) {
		return b, err
	}
	if at := s.follow.Flushed(); at > 0 {
		s.follow.tick(s.clock.NS(at))
	}
	settled, silence := s.follow.settled(until)
	if silence != nil {
		return b, silence
	}
	b.late = s.tooLate()
	s.follow.punctual(b.late)
	b.units = s.cutter.Advance(s.clock.NS(uint64(settled)))
	return b, err
}

// starts begins recordings one after the other, so that each is followed by a switch timer that goes off soon after a unit's end. The zero value is ready; it may be used
// by several goroutines.
type starts struct {
	mu   sync.Mutex // guards the fields below
	unit int64      // in which a recording was last begun
	n    int        // recordings that have begun in it
}

// startFirst and startLast are how long after a unit's end a recording may begin: not so soon that its timer might go off before the end, and soon enough that a unit is given
// out well before the next one ends. startLate is what is still well where it cannot wait.
const (
	startFirst = 50 * time.Millisecond
	startLast  = 450 * time.Millisecond
	startLate  = 850 * time.Millisecond
	// startsMost is how many begin in a unit: each one's first rotation takes the consumer daemon 0.2 s, in which it begins nothing else.
	startsMost = 8
)

// begin calls start at such a time, and waits for it. It returns when that was.
func (s *starts) begin(start func() error) (span, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		wait := s.wait(time.Now())
		if wait == 0 {
			return started(start)
		}
		time.Sleep(wait)
	}
}

// wait is how long a recording waits at a time; 0: it is counted as one that begins.
func (s *starts) wait(t time.Time) time.Duration {
	if wait := untilStart(t); wait > 0 {
		return wait
	}
	switch u := gridUnit(t); {
	case u != s.unit:
		s.unit, s.n = u, 1
	case s.n < startsMost:
		s.n++
	default:
		return unit.Width + startFirst - afterUnit(t.UnixNano())
	}
	return 0
}

// started calls start, and returns when that was.
func started(start func() error) (span, error) {
	from := time.Now()
	err := start()
	return span{afterUnit(from.UnixNano()), afterUnit(from.UnixNano()) + time.Since(from)}, err
}

// timerAtOnce is the switch timer of a recording that begins at a time, without waiting.
func timerAtOnce(t time.Time) time.Duration {
	if after := afterUnit(t.UnixNano()); after < startFirst || after > startLate {
		return switchSooner
	}
	return switchTimer
}

// span is from when to when something happened, after a unit's end.
type span struct{ from, to time.Duration }

// has says whether a timer that was made then goes off at a phase of its period. The zero value has none.
func (s span) has(phase, period time.Duration) bool {
	return s.to > 0 && ((phase-s.from)%period+period)%period <= s.to-s.from+sharp
}

// afterUnit is how long after a unit's end a time is, in nanoseconds. The traced process may have written any.
func afterUnit(t int64) time.Duration {
	return (time.Duration(t)%unit.Width + unit.Width) % unit.Width
}

// untilStart is how long a recording waits at a time before it begins.
func untilStart(t time.Time) time.Duration {
	switch after := afterUnit(t.UnixNano()); {
	case after < startFirst:
		return startFirst - after
	case after > startLast:
		return unit.Width + startFirst - after
	}
	return 0
}

// sessions knows which recording sessions there are: one question to the session daemon serves all domains, once for each unit. The zero value is ready; it may be used by
// several goroutines.
type sessions struct {
	mu     sync.Mutex // guards the fields below
	asked  int64      // CLOCK_MONOTONIC, nanoseconds
	active map[string]bool
	err    error
}

// check says whether a session has recorded until a time, CLOCK_MONOTONIC in nanoseconds. Errors: lttng.ErrNoSessionDaemon, lttng.ErrNoSession.
func (s *sessions) check(name string, until int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.active[name]; !known || s.asked < until {
		s.asked = now()
		list, err := lttng.Sessions()
		s.err, s.active = err, map[string]bool{}
		for _, one := range list {
			s.active[one.Name] = one.Active
		}
	}
	active, known := s.active[name]
	switch {
	case s.err != nil:
		return s.err
	case !known:
		return fmt.Errorf("session %s: %w", name, lttng.ErrNoSession)
	case !active:
		return fmt.Errorf("session %s was stopped by somebody else (lttng start %[1]s)", name)
	}
	return nil
}
