package keeper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/gdb"
	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/libvirt"
)

// Keeper looks at guests.
type Keeper struct {
	Config Config
	RunDir string // DefaultRunDir
	Log    logrus.FieldLogger
}

// Sink takes what a trace yields. An error ends the trace: the client has gone. It may take its time: the guest is not stopped for it.
type Sink struct {
	Begin func(Begin) error
	Unit  func(guestcalls.Unit) error
}

// newID is the id of a stub.
func newID() string { return libvirt.StubPrefix + rand.Text()[:8] }

// errEnd carries the reason of an end through a context.
type errEnd string

func (e errEnd) Error() string { return string(e) }

// Trace counts a domain's system calls until its time is over or ctx ends, whose cause is the reason then. When it returns, the stub is closed and the guest runs, unless somebody
// else has paused it, or End says in its error that this could not be done.
func (k *Keeper) Trace(ctx context.Context, r Request, to Sink) End {
	reason, err := k.trace(ctx, r, to)
	end := End{Reason: reason}
	log := k.Log.WithField("domain", r.UUID)
	if r.Dry { // a question is no news
		if err != nil {
			end.Error = err.Error()
		}
		log.WithField("error", end.Error).Debug("keeper: a trace was asked about")
		return end
	}
	if err != nil {
		end.Error = err.Error()
		log.WithError(err).Error("keeper: a trace has ended with an error")
	} else {
		log.Infof("keeper: a trace has ended: %s", reason)
	}
	return end
}

func (k *Keeper) trace(ctx context.Context, r Request, to Sink) (reason string, err error) {
	if err := k.Config.admit(&r); err != nil {
		return "", err
	}
	c, err := libvirt.Connect(k.Config.URI)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := ready(c, r.UUID); err != nil || r.Dry {
		return ReasonDry, err
	}
	x := note{URI: k.Config.URI, UUID: r.UUID, ID: newID()}
	notes := notes(k.RunDir)
	if err := notes.write(x); err != nil {
		return "", err
	}
	line, err := guardLine(k.RunDir)
	if err != nil {
		return "", errors.Join(err, notes.remove(x.UUID))
	}
	g, err := startGuard(ctx, line, x)
	if err != nil {
		return "", errors.Join(err, notes.remove(x.UUID))
	}
	t := &trace{Keeper: k, conn: c, guard: g, note: x, request: r}
	reason, err = t.run(ctx, to)
	if t.clean {
		g.dismiss()
		return reason, errors.Join(err, notes.remove(x.UUID))
	}
	// What could not be done by way of the stub is done as for a keeper that has died.
	return reason, errors.Join(err, g.call())
}

// ready checks that a domain can be looked at, and that its operator has nothing against it.
func ready(c *libvirt.Connection, uuid string) error {
	p, err := c.Policy(uuid)
	if err != nil {
		return err
	}
	if p != nil && p.GuestSyscalls != nil && !*p.GuestSyscalls {
		return fmt.Errorf("keeper: domain %s: its policy forbids it (guest-syscalls=\"no\")", uuid)
	}
	state, err := c.RunState(uuid)
	if err != nil {
		return err
	}
	if state != "running" {
		return fmt.Errorf("keeper: domain %s does not run (QEMU: %.40q)", uuid, state)
	}
	leaving, err := c.Leaving(uuid)
	if err == nil && leaving {
		err = fmt.Errorf("keeper: domain %s: %s", uuid, ReasonLeaves)
	}
	return err
}

// trace is one trace, with its stub.
type trace struct {
	*Keeper
	conn    *libvirt.Connection
	guard   *guard
	note    note
	request Request
	clean   bool // the stub is closed, and the guest as it should be

	watching sync.WaitGroup // whoever waits for it does so when the guest runs: libvirt and the client may take their time
}

// run opens the stub, counts, and closes it.
func (t *trace) run(ctx context.Context, to Sink) (reason string, err error) {
	table := guestcalls.Table{}
	if table.Base, table.Limit, err = t.conn.DescriptorTable(t.note.UUID); err != nil {
		t.clean = true
		return "", err
	}
	raw, err := t.conn.OpenStub(t.note.UUID, t.note.ID)
	if err != nil {
		t.clean = errors.Is(err, libvirt.ErrStubTaken)
		return "", err
	}
	stub := gdb.NewConn(raw)
	defer func() { err = errors.Join(err, stub.Close()) }()
	begun := time.Now()
	reason, err = t.count(ctx, stub, table, to)
	t.Log.WithFields(logrus.Fields{"domain": t.note.UUID, "took": time.Since(begun)}).Debug("keeper: counted")
	defer t.watching.Wait()
	cause := err
	if errors.Is(err, guestcalls.ErrPaused) {
		reason, err = ReasonPaused, nil
	}
	closeErr := t.close(stub, errors.Is(cause, guestcalls.ErrPaused))
	switch {
	case closeErr == nil:
	case errors.Is(closeErr, libvirt.ErrNoDomain):
		return ReasonGone, nil
	default:
		t.Log.WithError(closeErr).WithField("domain", t.note.UUID).Warn("keeper: the stub could not be left as usual; the guard does it")
	}
	return reason, err
}

// count finds the entry, lets the guest run and counts, until something ends it.
func (t *trace) count(ctx context.Context, stub *gdb.Conn, table guestcalls.Table, to Sink) (reason string, err error) {
	if err := stub.Hello(); err != nil {
		return "", err
	}
	limits := guestcalls.Limits{Share: t.request.Share, Stops: t.request.Stops}
	tracer, err := guestcalls.NewTracer(stub, table, limits, clockOf(t.request.Offset))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(time.Duration(t.request.Seconds*float64(time.Second)), func() { cancel(errEnd(ReasonTime)) })
	defer limit.Stop()
	t.watching.Go(func() { t.watch(ctx, cancel) })
	units := make(chan guestcalls.Unit, unitsHeld)
	defer close(units)
	t.watching.Go(func() {
		deliver(to, Begin{Entry: tracer.Entry(), Share: limits.Share, Stops: limits.Stops}, units, cancel)
	})
	err = tracer.Run(ctx, func(u guestcalls.Unit) error {
		select {
		case units <- u:
		default:
			cancel(errEnd(ReasonSlow))
		}
		return nil
	})
	if ended(err) {
		return ReasonGone, nil
	}
	if err != nil {
		return "", err
	}
	var end errEnd
	if errors.As(context.Cause(ctx), &end) {
		return string(end), nil
	}
	return ReasonStop, nil
}

// unitsHeld are kept for a client that does not take them at once.
const unitsHeld = 4

// deliver hands on what a trace yields until there is no more. The tracer does not wait for it, so neither does the guest.
func deliver(to Sink, b Begin, units <-chan guestcalls.Unit, cancel context.CancelCauseFunc) {
	err := to.Begin(b)
	for u := range units {
		if err == nil {
			err = to.Unit(u)
		}
		if err != nil {
			cancel(errEnd(ReasonClient))
		}
	}
}

// ended says whether an error is that of a QEMU that is gone.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// watch ends the trace when the domain is about to leave, or when the guard has been killed, without which it may not go on.
func (t *trace) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.guard.gone:
			cancel(errEnd("the guard has been killed"))
			return
		case <-t.conn.Closed():
			cancel(errEnd("the connection to libvirt has ended"))
			return
		case <-tick.C:
		}
		if leaving, err := t.conn.Leaving(t.note.UUID); err == nil && leaving {
			cancel(errEnd(ReasonLeaves))
			return
		}
	}
}

// close leaves the guest without a break, running or as somebody else has paused it, and closes the stub.
func (t *trace) close(stub *gdb.Conn, paused bool) error {
	if !stub.Stopped() {
		if err := stub.Interrupt(); err != nil {
			return t.gone(err)
		}
		if _, err := stub.Wait(time.Now().Add(guardTime)); err != nil {
			return t.gone(err)
		}
	}
	if paused {
		return errors.New("the guest is paused") // the guard takes the break away by taking the stub over, without letting it run
	}
	if err := stub.Detach(); err != nil {
		return t.gone(err)
	}
	if err := t.conn.CloseStub(t.note.UUID, t.note.ID); err != nil {
		return err
	}
	if err := t.conn.ContinueDebugged(t.note.UUID); err != nil { // a stop that was under way when it was let run
		return err
	}
	t.clean = true
	return nil
}

// gone asks whether there is a domain any more.
func (t *trace) gone(err error) error {
	if _, stateErr := t.conn.RunState(t.note.UUID); errors.Is(stateErr, libvirt.ErrNoDomain) {
		t.clean = true
		return stateErr
	}
	return err
}

// WallClock is the Offset of a caller whose clock is CLOCK_REALTIME, nanoseconds since 1970.
func WallClock() (offset int64, err error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("read CLOCK_MONOTONIC: %w", err)
	}
	return time.Now().UnixNano() - ts.Nano(), nil
}

// clockOf is a clock that is ahead of CLOCK_MONOTONIC.
func clockOf(offset int64) func(time.Time) int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return func(at time.Time) int64 { return at.UnixNano() + offset } // no Linux is without
	}
	begin := time.Now()
	return func(at time.Time) int64 { return ts.Nano() + int64(at.Sub(begin)) + offset }
}
