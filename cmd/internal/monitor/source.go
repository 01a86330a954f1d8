package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/ctf"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// openUnits bounds how far ahead of the present a time stamp may lie: the traced process could write any.
const openUnits = 64

// errUnreadable says that a chunk of the trace could not be read as CTF.
var errUnreadable = errors.New("the trace cannot be read")

// source yields the units of one attached domain. One goroutine uses it.
type source interface {
	// collect takes in what was recorded up to now and returns the units that it completes. hurried: all those that have ended, whatever that costs; else those
	// that ended lag ago.
	collect(ctx context.Context, hurried bool) (batch, error)
	// finish ends the observation and returns the rest, the last, partial unit included.
	finish(ctx context.Context) (batch, error)
	// close lets go of everything, also without finish.
	close(ctx context.Context) error
	// at turns a time of the trace's clock into one of CLOCK_MONOTONIC, both in nanoseconds.
	at(t int64) int64
	// lag is how long after a unit's end it can be collected.
	lag() time.Duration
	// memory is what its ring buffers take, bytes.
	memory() uint64
	// counts says what is in its units, always the same.
	counts() *features
	// observed says of each of its parts what it sees.
	observed() []control.Source
}

// batch is what one collection yields.
type batch struct {
	units      []unit.Unit // one count for each event of the catalogue, in its order
	registered bool        // the QEMU has reported to the tracer so far
	late       uint64      // events that came after their unit had been given out
	over       string      // why some of these units do not have all events, though none was lost; empty: they have
	doubt      error       // why it is not known that the trace is of the very process; nil: it is

	spent time.Duration // CPU time of the collection
}

// sessionPrefix begins the names of all sessions of the daemon.
const sessionPrefix = "virtsentryd-"

// sessionName is the name of a domain's recording session: it tells whose it is, and one QEMU process from another with its PID.
func sessionName(d libvirt.Domain, p qemu.Process) string {
	return fmt.Sprintf("%s%s-%d-%d", sessionPrefix, d.UUID, p.PID, p.Start)
}

// ustSource is the QEMU's own trace points, by LTTng-UST.
type ustSource struct {
	session *lttng.Session
	verify  *lttng.Verifier
	cutter  *unit.Cutter
	clock   *ctf.Clock // nil: the QEMU has not registered yet
	started uint64     // CLOCK_MONOTONIC when recording had begun, nanoseconds
	until   uint64     // CLOCK_MONOTONIC before the rotation under way was asked for; 0: none is
	late    uint64
	release func(chunk string) error // lets go of a chunk that was read
	bytes   uint64                   // of its ring buffers
	counted *features
	follow  *following // nil: each unit takes a rotation
	budget  *budget
	dir     string      // lttng.output_dir
	least   uint64      // bytes that must be free there
	starved bool        // less was free when it was last looked
	streams int         // most that a chunk had
	lives   func() bool // the process
}

// errNoRoom says that LTTng cannot write what is recorded.
var errNoRoom = errors.New("no room left for the trace")

// errDropped says that LTTng records less than it was told to. What its consumer daemon (2.13) once could not write, it never writes again: the guest would seem to
// do nothing, for ever. Only another session helps.
var errDropped = errors.New("LTTng has given up recording what it could not write")

// whole makes sure that a chunk has as many streams as the session had at most. Errors: errDropped.
func (s *ustSource) whole(chunk string) error {
	traces, err := ctf.FindTraces(chunk)
	if err != nil || len(traces) != 1 { // another process has registered, or none
		return nil //nolint:nilerr // whoever reads it says so
	}
	entries, err := os.ReadDir(traces[0])
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	n := 0
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != "metadata" {
			n++
		}
	}
	if n < s.streams && s.lives() {
		return fmt.Errorf("%w: %d streams of %d are left in session %s", errDropped, n, s.streams, s.session.Name())
	}
	s.streams = max(s.streams, n)
	return nil
}

// room makes sure that the ring buffers, of which one part for each CPU is written at a time, can be written. What cannot be, LTTng drops, and tells only in
// the next packet that it can write: until then, the guest seems to do nothing.
func (s *ustSource) room() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err != nil {
		return fmt.Errorf("look for room in lttng.output_dir %s: %w", s.dir, err)
	}
	if free := fs.Bfree * uint64(fs.Bsize); free < s.least {
		return fmt.Errorf("%w: %d bytes are free in lttng.output_dir %s, want %d (make room, or set another directory)", errNoRoom, free, s.dir, s.least)
	}
	return nil
}

// attachUST makes and starts a session on a domain's QEMU. runs: of a guest that runs already.
func (m *Monitor) attachUST(d libvirt.Domain, p qemu.Process, runs bool) (*ustSource, error) {
	if !lttng.Alive() {
		return nil, fmt.Errorf("attach to domain %s: %w", d.UUID, lttng.ErrNoSessionDaemon)
	}
	size, bytes, err := m.buffers.reserve(m.cfg.LTTng.SubBufferBytes, m.cfg.LTTng.SubBuffers)
	if err != nil {
		return nil, fmt.Errorf("attach to domain %s: %w", d.UUID, err)
	}
	var s *ustSource
	if err = m.buffers.room(bytes); err == nil {
		s, err = m.record(d, p, size, runs)
	}
	if err != nil {
		m.buffers.release(bytes)
		return nil, fmt.Errorf("attach to domain %s: %w", d.UUID, err)
	}
	s.bytes, s.dir, s.least = bytes, m.cfg.LTTng.OutputDir, bytes/(m.cfg.LTTng.SubBuffers+1)
	return s, nil
}

// record makes and starts the session, with sub-buffers of that size.
func (m *Monitor) record(d libvirt.Domain, p qemu.Process, subBuffer uint64, runs bool) (*ustSource, error) {
	name := sessionName(d, p)
	cfg := lttng.Config{
		Name: name, Output: filepath.Join(m.cfg.LTTng.OutputDir, name), RemoveOutput: true,
		PID: p.PID, Events: m.set.TracePoints(),
		SubBufferBytes: subBuffer, SubBuffers: m.cfg.LTTng.SubBuffers,
	}
	follows := !m.set.Sequential()
	if follows {
		if cfg.SwitchTimer = switchTimer; !runs {
			cfg.SwitchTimer = timerAtOnce(time.Now())
		}
	}
	session, err := lttng.NewSession(cfg)
	if errors.Is(err, lttng.ErrSessionExists) { // one of ours, of this very process, that could not be ended in time
		if err = lttng.DestroySession(name); err == nil {
			session, err = lttng.NewSession(cfg)
		}
	}
	if err != nil {
		return nil, err
	}
	begin := started
	if follows && runs {
		begin = m.begins.begin
	}
	began, err := begin(session.Start)
	if err != nil {
		return nil, errors.Join(err, session.Destroy())
	}
	release := func(chunk string) error { return m.tees.take(d.UUID, chunk) }
	s := &ustSource{session: session, verify: session.Verifier(), cutter: unit.NewSetCutter(m.set), started: monotonic(), release: release, lives: func() bool { return m.processes.Alive(p) }, counted: m.traced}
	s.budget = newBudget(session, m.groups, m.cfg.LTTng.DomainEvents)
	if follows {
		s.follow = m.newFollowing(d, session, p.PID, cfg.SwitchTimer, began)
	}
	return s, nil
}

func (s *ustSource) collect(ctx context.Context, hurried bool) (batch, error) {
	if err := s.room(); err != nil {
		s.starved = true
		return batch{}, err
	}
	if s.starved {
		if s.clock != nil {
			s.cutter.Missed(s.now())
		}
		b, err := s.finish(ctx)
		return b, errors.Join(errDropped, err)
	}
	over := s.budget.over()
	b, err := s.gather(ctx, hurried)
	if s.clock != nil && err == nil {
		err = s.budget.observe(ctx, b.units, s.now)
	}
	b.over = cmp.Or(over, s.budget.over())
	return b, err
}

// now is the present on the trace's clock.
func (s *ustSource) now() int64 { return s.clock.NS(monotonic()) }

// gather takes in what was recorded up to now. hurried: by a rotation.
func (s *ustSource) gather(ctx context.Context, hurried bool) (batch, error) {
	if s.until == 0 && !hurried && s.follow.may() {
		b, err := s.followed()
		if !errors.Is(err, lttng.ErrIdentity) && !errors.Is(err, errSilence) {
			return b, err
		}
		// A rotation has the other's metadata written, by which it can be named; or it tells whether there is silence.
		s.follow.wrong = true
	}
	if s.until == 0 {
		s.until = monotonic()
	}
	chunk, err := s.rotate(ctx)
	if err != nil {
		return batch{}, err
	}
	until := s.until
	s.until = 0
	b, err := s.read(chunk, until, false)
	if err == nil && s.clock != nil {
		s.follow.begin(int64(until))
	}
	return b, err
}

func (s *ustSource) finish(ctx context.Context) (batch, error) {
	var early batch
	if s.until != 0 { // an older rotation is still under way
		var err error
		if early, err = s.gather(ctx, true); err != nil {
			return early, err
		}
	}
	until := monotonic()
	if err := s.session.Stop(ctx); err != nil {
		return early, err
	}
	chunk, err := s.rotate(ctx)
	if err != nil {
		return early, err
	}
	b, err := s.read(chunk, until, true)
	b.units = append(early.units, b.units...)
	b.late += early.late
	for i := range b.units {
		s.budget.mark(&b.units[i])
	}
	b.over = s.budget.over()
	return b, err
}

// suspicious is how long a rotation may take before it is asked whether another process has registered: then it does not end.
const suspicious = time.Second

// rotate rotates the session. Errors: lttng.ErrIdentity, too.
func (s *ustSource) rotate(ctx context.Context) (string, error) {
	soon, cancel := context.WithTimeout(ctx, suspicious)
	defer cancel()
	chunk, err := s.session.Rotate(soon)
	if err == nil || soon.Err() == nil {
		return chunk, err
	}
	if _, err := s.verify.Verify(); errors.Is(err, lttng.ErrIdentity) {
		return "", err
	}
	return s.session.Rotate(ctx)
}

// read takes in one chunk and removes it. Everything before until is complete then; last: and nothing comes after it.
func (s *ustSource) read(chunk string, until uint64, last bool) (b batch, err error) {
	followed := s.follow.following()
	defer func() {
		release := s.release
		if followed { // there are holes in it
			s.follow.End()
			release = os.RemoveAll
		}
		if releaseErr := release(chunk); releaseErr != nil {
			err = errors.Join(err, fmt.Errorf("let go of a chunk that was read: %w", releaseErr))
		}
	}()
	who, doubt := s.verify.Verify()
	if b.doubt = doubt; errors.Is(doubt, lttng.ErrIdentity) || doubt == nil && who.UUID == (ctf.UUID{}) {
		return b, doubt // another's trace, or nobody's so far
	}
	if s.clock == nil {
		if err := s.begin(chunk, until); err != nil || s.clock == nil {
			return b, err
		}
	}
	b.registered = true
	if followed {
		err = s.follow.rest(s.cutter, chunk)
	} else {
		err = s.cutter.ReadTrace(chunk)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if !last {
		if dropped := s.whole(chunk); dropped != nil {
			s.cutter.Missed(s.clock.NS(until))
			err = errors.Join(dropped, err)
		}
	}
	b.late = s.tooLate()
	end := s.clock.NS(until)
	if last {
		// A QEMU that has ended was seen until its last packet, and not longer.
		if seen, ok := s.cutter.LastTime(); ok {
			end = min(end, seen)
		}
		b.units = s.cutter.End(end)
	} else {
		b.units = s.cutter.Advance(end)
	}
	return b, err
}

// begin starts the observation with the first chunk in which the QEMU has a trace.
func (s *ustSource) begin(chunk string, until uint64) error {
	traces, err := ctf.FindTraces(chunk)
	if err != nil || len(traces) == 0 {
		return err
	}
	t, err := ctf.Open(traces[0])
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if len(t.Metadata.Clocks) == 0 {
		return fmt.Errorf("%w: %s: metadata without a clock", errUnreadable, traces[0])
	}
	if err := checkClock(t.Metadata.Clocks[0]); err != nil {
		return fmt.Errorf("%w: %s: %w", errUnreadable, traces[0], err)
	}
	s.clock = t.Metadata.Clocks[0]
	// The observation begins with the first packet: of a QEMU that registers later than recording began, when it does. One that was there
	// already is asked for one event after the other; where the unit changes meanwhile, only the next one is whole.
	from, whole := s.clock.NS(until), s.clock.NS(s.started)
	if first, ok := t.Span(); ok {
		// No packet is older than the session; what the process says of it may be anything.
		from = min(from, max(first, whole-int64(unit.Width)))
	}
	if from < whole && from/int64(unit.Width) < whole/int64(unit.Width) {
		from = whole
	}
	s.cutter.LimitOpen(openUnits)
	s.cutter.Begin(from)
	return nil
}

// checkClock refuses a clock that is not the one which LTTng-UST stamps events with, CLOCK_MONOTONIC in nanoseconds. The traced process has a say in its metadata:
// by one that runs faster, each collection would be of thousands of units.
func checkClock(c *ctf.Clock) error {
	const second, most = 1_000_000_000, 1 << 62 // nanoseconds: a clock of 146 years
	if zero := c.NS(0); c.Frequency != second || zero > most || zero < -most {
		return fmt.Errorf("its clock has %d Hz, and an offset of %d ns", c.Frequency, zero)
	}
	return nil
}

func (s *ustSource) at(t int64) int64 {
	if s.clock == nil {
		return t
	}
	return t - s.clock.NS(0)
}

// tooLate is how many events more have come after their unit was given out.
func (s *ustSource) tooLate() uint64 {
	n := s.cutter.Late() - s.late
	s.late = s.cutter.Late()
	return n
}

func (s *ustSource) lag() time.Duration {
	switch {
	case s.follow.following():
		return s.follow.lag()
	case s.follow != nil: // the first rotation is not to delay the beginning of others' recordings
		return startLast
	}
	return 0
}

func (s *ustSource) memory() uint64 { return s.bytes }

func (s *ustSource) counts() *features { return s.counted }

func (s *ustSource) observed() []control.Source {
	detail := fmt.Sprintf("trace points of feature set %s", s.counted.set.Name())
	if over := s.budget.over(); over != "" {
		detail += "; " + over
	}
	return []control.Source{{Name: ust, Detail: detail}}
}

func (s *ustSource) close(context.Context) error {
	s.follow.end()
	return s.session.Destroy()
}

// monotonicBase is a time of CLOCK_MONOTONIC, and of Go's clock, which is that less an offset, and is read without a system call.
var monotonicBase = func() (base struct {
	clock uint64
	local time.Time
}) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err == nil { // it cannot fail on Linux, clock_gettime(2)
		base.clock = uint64(t.Nano())
	}
	base.local = time.Now()
	return base
}()

// monotonic reads the clock that LTTng-UST stamps events with.
func monotonic() uint64 { return monotonicBase.clock + uint64(time.Since(monotonicBase.local)) }

// now reads CLOCK_MONOTONIC, nanoseconds.
func now() int64 { return int64(monotonic()) }

// clear ends the sessions that an earlier daemon with the same output directory left behind. Errors: errSilent, when the session daemon hangs; then
// nothing more is asked of it.
func (m *Monitor) clear() error {
	sessions, err := listSessions()
	if errors.Is(err, lttng.ErrNoSessionDaemon) {
		err = nil // sessions do not outlive their daemon; their files do
	}
	for _, s := range sessions {
		if !strings.HasPrefix(s.Name, sessionPrefix) || filepath.Dir(s.Path) != m.cfg.LTTng.OutputDir {
			continue
		}
		m.log.WithField("session", s.Name).Info("ending a session of an earlier daemon")
		destroyErr := within(closeLimit, func() error { return lttng.DestroySession(s.Name) })
		err = errors.Join(err, destroyErr)
		if errors.Is(destroyErr, errSilent) {
			break
		}
	}
	left, globErr := filepath.Glob(filepath.Join(m.cfg.LTTng.OutputDir, sessionPrefix+"*"))
	err = errors.Join(err, globErr)
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// listSessions lists the recording sessions of all programs. Errors: errSilent, too.
func listSessions() ([]lttng.SessionInfo, error) {
	list := make(chan []lttng.SessionInfo, 1)
	err := within(closeLimit, func() error {
		sessions, err := lttng.Sessions()
		list <- sessions
		return err
	})
	if errors.Is(err, errSilent) {
		return nil, err
	}
	return <-list, err
}
