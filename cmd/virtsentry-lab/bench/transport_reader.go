package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// readers rotate sessions and count what is in them, as little as that takes.
type readers struct {
	sessions []*rotated

	mu        sync.Mutex // guards the rest
	events    uint64
	lost      uint64
	late      uint64
	rotations []time.Duration
}

// rotated is one session and what reads it.
type rotated struct {
	name    string
	output  string
	timer   time.Duration   // lttng.Config.SwitchTimer
	session *lttng.Session  // nil: made by the command
	follow  *lttng.Follower // nil: it is rotated for each unit
	offset  time.Duration   // after the end of a unit
	set     *catalogue.Set
	cutters map[string]*unit.Cutter // by the base name of a trace's directory
	late    uint64                  // events that came after their unit, of all cutters so far
}

func newReaders(ctx context.Context, dir string, set *catalogue.Set, g *generator, way string) (*readers, error) {
	r := &readers{}
	var err error
	switch way {
	case WayOwn, WayPlace:
		for i, p := range g.players {
			s := &rotated{name: fmt.Sprintf("bench-own-%d", p.pid), offset: unit.Width * time.Duration(i) / time.Duration(len(g.players))}
			if way == WayPlace {
				s.timer = placeTimer
			}
			if err = s.open(dir, set, p.pid); err != nil {
				break
			}
			r.sessions = append(r.sessions, s)
		}
	case WayShared:
		s := &rotated{name: "bench-shared"}
		if err = s.open(dir, set, g.players[0].pid); err != nil {
			break
		}
		r.sessions = append(r.sessions, s)
		for _, p := range g.players[1:] {
			if err = command(ctx, "track", "--userspace", "--session="+s.name, fmt.Sprintf("--vpid=%d", p.pid)); err != nil {
				break
			}
		}
	case WayUser:
		s := &rotated{name: "bench-user", output: filepath.Join(dir, "bench-user"), set: set, cutters: map[string]*unit.Cutter{}}
		r.sessions = append(r.sessions, s)
		for _, args := range [][]string{
			{"create", s.name, "--output=" + s.output},
			{"enable-channel", "--userspace", "--session=" + s.name, "--buffers-uid", fmt.Sprintf("--subbuf-size=%d", lttng.DefaultSubBufferBytes),
				fmt.Sprintf("--num-subbuf=%d", lttng.DefaultSubBuffers), "virtsentry"},
			{"enable-event", "--userspace", "--session=" + s.name, "--channel=virtsentry", strings.Join(set.TracePoints(), ",")},
		} {
			if err == nil {
				err = command(ctx, args...)
			}
		}
	}
	for _, s := range r.sessions {
		if err == nil {
			err = s.start(ctx)
		}
	}
	if err == nil && way == WayPlace {
		err = r.place(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

const (
	placeTimer = time.Second // as virtsentryd has it
	placeLag   = placeTimer + 300*time.Millisecond
	// placeTries is how often a session may be rotated until there is something to follow.
	placeTries = 5
)

// place begins to read all sessions in place, each after a rotation.
func (r *readers) place(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, len(r.sessions))
	for i, s := range r.sessions {
		all.Go(func() { errs[i] = s.place(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (s *rotated) place(ctx context.Context) error {
	follow := s.session.Follower()
	for try := 1; ; try++ {
		chunk, err := s.session.Rotate(ctx)
		if err == nil {
			err = os.RemoveAll(chunk)
		}
		if err == nil {
			err = follow.Begin()
		}
		if err == nil {
			s.follow = follow
			return nil
		}
		if try == placeTries || !errors.Is(err, lttng.ErrNothingToFollow) {
			return err
		}
	}
}

// command runs the lttng command.
func command(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "lttng", append([]string{"--no-sessiond"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("lttng %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (s *rotated) open(dir string, set *catalogue.Set, pid int) (err error) {
	s.output, s.set, s.cutters = filepath.Join(dir, s.name), set, map[string]*unit.Cutter{}
	s.session, err = lttng.NewSession(lttng.Config{Name: s.name, Output: s.output, RemoveOutput: true, PID: pid, Events: set.TracePoints(), SwitchTimer: s.timer})
	return err
}

func (s *rotated) start(ctx context.Context) error {
	if s.session != nil {
		return s.session.Start()
	}
	return command(ctx, "start", s.name)
}

// rotate returns the directory of what was recorded since the last time.
func (s *rotated) rotate(ctx context.Context) (string, error) {
	if s.session != nil {
		return s.session.Rotate(ctx)
	}
	if err := command(ctx, "rotate", s.name); err != nil {
		return "", err
	}
	chunks, err := filepath.Glob(filepath.Join(s.output, "archives", "*"))
	if err != nil || len(chunks) != 1 {
		return "", fmt.Errorf("rotate: chunks %v, %w", chunks, err)
	}
	return chunks[0], nil
}

// end ends all sessions.
func (r *readers) end() error {
	var err error
	for _, s := range r.sessions {
		if s.session != nil {
			err = errors.Join(err, s.session.Destroy())
		} else {
			err = errors.Join(err, lttng.DestroySession(s.name), os.RemoveAll(s.output))
		}
	}
	return err
}

// run rotates and reads all sessions after each unit, until ctx ends.
func (r *readers) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	errs := make([]error, len(r.sessions))
	for i, s := range r.sessions {
		all.Go(func() {
			defer cancel()
			for errs[i] == nil {
				now := time.Now().Add(-s.offset)
				if sleep(ctx, unit.Width-now.Sub(now.Truncate(unit.Width))) != nil {
					return
				}
				errs[i] = r.once(s)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// once rotates a session and reads the chunk. A rotation that has begun is waited for.
func (r *readers) once(s *rotated) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	begin := time.Now() // all that happened before is in the chunk
	if s.follow != nil {
		events, lost, err := s.readPlace(begin.Add(-placeLag).UnixNano())
		r.add(s, events, lost)
		return err
	}
	chunk, err := s.rotate(ctx)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	events, lost, err := s.read(chunk, begin.UnixNano())
	r.add(s, events, lost, took)
	return errors.Join(err, os.RemoveAll(chunk))
}

// add adds what a session had.
func (r *readers) add(s *rotated, events, lost uint64, rotations ...time.Duration) {
	late := uint64(0)
	for _, c := range s.cutters {
		late += c.Late()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.lost, r.late, r.rotations = r.events+events, r.lost+lost, r.late+late-s.late, append(r.rotations, rotations...)
	s.late = late
}

// read counts what is in a chunk, in which everything before until is, each application by itself.
func (s *rotated) read(chunk string, until int64) (events, lost uint64, err error) {
	traces, err := filepath.Glob(filepath.Join(chunk, "ust", "*", "*"))
	if err != nil {
		return 0, 0, err
	}
	if s.session == nil {
		if traces, err = filepath.Glob(filepath.Join(chunk, "ust", "uid", "*", "*")); err != nil {
			return 0, 0, err
		}
	}
	for _, dir := range traces {
		c := s.cutter(dir, until)
		if err := c.ReadTrace(dir); err != nil {
			return events, lost, err
		}
		e, l := sum(c.Advance(until))
		events, lost = events+e, lost+l
	}
	return events, lost, nil
}

// readPlace counts what was written since the last time, in which everything before until is.
func (s *rotated) readPlace(until int64) (events, lost uint64, err error) {
	dir, parts, err := s.follow.New()
	if err != nil || len(parts) == 0 {
		return 0, 0, err
	}
	c := s.cutter(dir, until)
	if err := errors.Join(c.ReadParts(dir, parts), s.follow.Free(dir, parts)); err != nil {
		return 0, 0, err
	}
	events, lost = sum(c.Advance(until))
	return events, lost, nil
}

// cutter is that of one application, by its trace's directory. The first unit of a new one ends at until.
func (s *rotated) cutter(dir string, until int64) *unit.Cutter {
	c := s.cutters[filepath.Base(dir)]
	if c == nil {
		c = unit.NewSetCutter(s.set)
		c.Begin(until - int64(unit.Width))
		s.cutters[filepath.Base(dir)] = c
	}
	return c
}

// sum is how many events units have, and have lost.
func sum(units []unit.Unit) (events, lost uint64) {
	for _, u := range units {
		lost += u.Lost
		for _, n := range u.Counts {
			events += n
		}
	}
	return events, lost
}

// reset forgets what was found so far.
func (r *readers) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.lost, r.late, r.rotations = 0, 0, 0, nil
}

// found fills in what was found since the last reset.
func (r *readers) found(run *TransportRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run.Events, run.Lost, run.Late, run.Rotations = r.events, r.lost, r.late, spreadOf(r.rotations)
}

// both is the CPU time of session daemon and consumer daemons so far.
func (t *tracer) both() (time.Duration, error) {
	s, c, err := t.usage()
	return s.CPU + c.CPU, err
}

// measure is what the daemons and this process have taken so far.
func measure(daemon *tracer) (sessiond, consumerd, reader Usage, err error) {
	if sessiond, consumerd, err = daemon.usage(); err != nil {
		return sessiond, consumerd, reader, err
	}
	reader, err = usage(os.Getpid())
	return sessiond, consumerd, reader, err
}
