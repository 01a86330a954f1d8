package guestcalls

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/gdb"
)

// Errors that end a trace.
var (
	// ErrPaused says that somebody else has stopped the guest, and it is not ours to resume.
	ErrPaused = errors.New("somebody else has paused the guest")
	// ErrGuest says that the guest has done something that a kernel does not.
	ErrGuest = errors.New("the guest is not what it seemed to be")
)

// Times of the loop.
const (
	glance = 50 * time.Millisecond  // the longest time between looks at whether to end
	period = 100 * time.Millisecond // after which the calls seen are scaled
	halt   = 3 * time.Second        // that the stub may take to stop the guest
)

// Stub is what a tracer needs of a connection to a stub; gdb.Conn does.
type Stub interface {
	Memory
	Describe() (gdb.Target, error)
	SetBreak(address uint64) error
	ClearBreak(address uint64) error
	Select(thread string) error
	Registers() ([]byte, error)
	SetRegisters(list ...gdb.Write) error
	Continue() error
	Interrupt() error
	Stopped() bool
	Wait(until time.Time) (gdb.Stop, error)
}

// Tracer counts the calls of one guest. It is not safe for concurrent use.
type Tracer struct {
	stub   Stub
	entry  uint64
	target gdb.Target
	clock  func(time.Time) int64 // the caller's, nanoseconds
	budget *budget
	tally  *tally

	armed bool
	ran   time.Time // since when the guest has run, of what is not accounted for yet
	turns turns

	started time.Time // when it was last let run
	// Of the present period: how long the guest ran, and ran with the break armed, in one window or more; and whether the break was taken away after a call.
	began, running, window time.Duration
	cut                    bool
	inWindow               uint64
}

// needed are the registers that a break is read and left with.
var needed = []string{"rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rip", "cs", "gs_base", "k_gs_base"}

// NewTracer takes a stub that has just stopped the guest (gdb.Conn.Hello), and finds the entry. clock turns times into nanoseconds of the clock on whose multiples of two
// seconds units begin. The guest is stopped all the time, and left so. Errors: ErrNoEntry; ErrGuest; those of the stub.
func NewTracer(s Stub, t Table, l Limits, clock func(time.Time) int64) (*Tracer, error) {
	if !(l.Share > 0 && l.Share <= 1) || !(l.Stops > 0) {
		return nil, fmt.Errorf("guest system calls: limits of %g of the time and %g stops a second: want a share above 0 and up to 1, and stops above 0", l.Share, l.Stops)
	}
	x := &Tracer{stub: s, clock: clock}
	var err error
	if x.target, err = s.Describe(); err != nil {
		return nil, fmt.Errorf("guest system calls: ask for registers: %w", err)
	}
	for _, name := range needed {
		if _, has := x.target.Registers[name]; !has {
			return nil, fmt.Errorf("guest system calls: the stub of a %.40q does not know register %s: QEMU 4.1 or later is wanted, of a guest of x86_64", x.target.Architecture, name)
		}
	}
	if x.entry, err = FindEntry(s, t); err != nil {
		return nil, fmt.Errorf("guest system calls: %w", err)
	}
	if err := x.probe(); err != nil {
		return nil, fmt.Errorf("guest system calls: the stub does not let registers be set: %w", err)
	}
	now := time.Now()
	x.budget, x.tally = newBudget(l, now), newTally(clock(now))
	return x, nil
}

// Entry is the address of the system-call entry.
func (x *Tracer) Entry() uint64 { return x.entry }

// probe sets the registers that a break changes to what they are, so that a stub that cannot do it is found out before the guest depends on it.
func (x *Tracer) probe() error {
	block, err := x.stub.Registers()
	if err != nil {
		return err
	}
	var same []gdb.Write
	for _, name := range []string{"gs_base", "k_gs_base", "rip"} {
		v, has := x.target.Value(block, name)
		if !has {
			return fmt.Errorf("%w: registers of %d bytes", gdb.ErrProtocol, len(block))
		}
		same = append(same, gdb.Write{Register: x.target.Registers[name].Number, Value: v})
	}
	return x.stub.SetRegisters(same...)
}

// Run lets the guest run and counts its calls until ctx ends, and hands units on. When it returns without an error, the guest is stopped and the break may be armed:
// detach. Errors: ErrPaused, with which the guest is to be left as it is, but for the break; ErrGuest; those of the stub.
func (x *Tracer) Run(ctx context.Context, emit func(Unit) error) error {
	if err := x.arm(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := x.turn(emit); err != nil {
			return err
		}
	}
	_, err := x.stop()
	if err != nil {
		return err
	}
	x.close(time.Now(), 1)
	return emit(x.tally.end(x.clock(time.Now())))
}

// turn waits for the next thing that happens, and does what follows from it.
func (x *Tracer) turn(emit func(Unit) error) error {
	now := time.Now()
	x.budget.fill(now)
	end := x.tally.unit.Start/int64(Length)*int64(Length) + int64(Length)
	if left := end - x.clock(now); left <= 0 {
		x.close(now, 2)
		if err := emit(x.tally.end(x.clock(now))); err != nil {
			return err
		}
		return nil
	}
	until := now.Add(min(glance, time.Duration(end-x.clock(now))))
	if !x.armed {
		wait := x.budget.wait()
		if rest := period - x.began - x.since(now); rest > wait {
			wait = rest
		}
		if wait <= 0 {
			x.close(now, leastStops)
			return x.rearm()
		}
		until = earlier(until, now.Add(wait))
	} else if x.began+x.since(now) >= period {
		x.close(now, leastStops)
	}
	s, err := x.stub.Wait(until)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		return err
	}
	return x.hit(s, time.Now())
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// since is how long the guest has run since it was last let.
func (x *Tracer) since(now time.Time) time.Duration {
	if x.stub.Stopped() {
		return 0
	}
	return now.Sub(x.ran)
}

// pass adds the time that the guest has run to the unit and the period.
func (x *Tracer) pass(now time.Time) {
	d := now.Sub(x.ran)
	x.ran = now
	x.began += d
	x.running += d
	x.tally.unit.Running += int64(d)
	if x.armed {
		x.window += d
		x.tally.unit.Armed += int64(d)
	}
}

// close ends the period: what was seen in the windows stands for all of it. Where they have ended with fewer than so many calls, it goes on: one call that came soon says
// nearly nothing of how many there are.
func (x *Tracer) close(now time.Time, calls uint64) {
	if !x.stub.Stopped() {
		x.pass(now)
	}
	cut := x.cut && !x.armed
	if x.window == 0 && x.inWindow == 0 || cut && x.inWindow < calls { // the break was not armed in it, or too little
		return
	}
	weight, least := weigh(x.inWindow, x.window, x.running, x.turns.least(), cut)
	x.tally.unit.AtLeast = x.tally.unit.AtLeast || least
	x.tally.close(weight)
	x.began, x.running, x.window, x.cut, x.inWindow = 0, 0, 0, false, 0
}

// weigh says for how many calls each of n stands that were seen in a window of the time for which the guest ran, and whether that is the least: there were more. A window that
// was cut has ended with a call, which is one more than its time accounts for. least is what a stop takes that tells of a call; calls that follow each other faster cannot be told.
func weigh(n uint64, window, running, least time.Duration, cut bool) (weight float64, atLeast bool) {
	if !cut {
		return max(1, running.Seconds()/max(window, 1).Seconds()), false
	}
	shortest := max(time.Duration(n)*least/2, 1)
	weight = running.Seconds() / max(window, shortest).Seconds() * float64(n-1) / float64(n)
	return max(1, weight), window < shortest || n == 1
}

// hit reads a call at the break, has the guest execute the instruction there, and lets it run.
func (x *Tracer) hit(s gdb.Stop, at time.Time) error {
	x.turns.add(at.Sub(x.started))
	hidden := min(at.Sub(x.ran), x.turns.least())
	x.pass(at.Add(-hidden))
	if s.Signal == gdb.SignalTrap && !x.armed {
		// Nobody but us sets breaks, so nobody wants the guest stopped by this: another virtual CPU was at the break when it was taken away, should QEMU tell of it so late.
		return x.release(at.Add(-hidden))
	}
	if s.Signal != gdb.SignalTrap {
		if x.armed { // for when it is resumed
			if err := x.stub.ClearBreak(x.entry); err != nil {
				return err
			}
		}
		return fmt.Errorf("guest system calls: %w (signal %d)", ErrPaused, s.Signal)
	}
	if s.Thread != "" {
		if err := x.stub.Select(s.Thread); err != nil {
			return err
		}
	}
	block, err := x.stub.Registers()
	if err != nil {
		return err
	}
	v := map[string]uint64{}
	for _, name := range needed {
		value, has := x.target.Value(block, name)
		if !has {
			return fmt.Errorf("%w: registers of %d bytes", gdb.ErrProtocol, len(block))
		}
		v[name] = value
	}
	const ring = 3
	behind := x.entry + uint64(len(swapgs))
	if v["rip"] == behind && v["cs"]&ring == 0 {
		// Should QEMU tell late of one that was at the break together with another, it does so by the name of the one that was let go. The other one is at the break again at once.
		return x.release(at.Add(-hidden))
	}
	if v["rip"] != x.entry || v["cs"]&ring != 0 {
		return fmt.Errorf("%w: it stopped at %#x in ring %d, and not at its entry %#x", ErrGuest, v["rip"], v["cs"]&ring, x.entry)
	}
	x.tally.add(x.clock(at), v["rax"], s.CPU(), [6]uint64{v["rdi"], v["rsi"], v["rdx"], v["r10"], v["r8"], v["r9"]})
	x.inWindow++
	if err := x.execute(v); err != nil {
		return err
	}
	return x.release(at.Add(-hidden))
}

// execute does for the guest what the instruction at the break would: swapgs, which exchanges two registers and changes nothing else. So the break need not be taken
// away and the guest not be run for one instruction, which would be another stop, and no other virtual CPU slips by meanwhile.
func (x *Tracer) execute(v map[string]uint64) error {
	number := func(name string) int { return x.target.Registers[name].Number }
	return x.stub.SetRegisters(
		gdb.Write{Register: number("gs_base"), Value: v["k_gs_base"]},
		gdb.Write{Register: number("k_gs_base"), Value: v["gs_base"]},
		gdb.Write{Register: number("rip"), Value: v["rip"] + uint64(len(swapgs))},
	)
}

// release accounts for a stop that has begun at a time and lets the guest run, without the break where no more stops can be afforded.
func (x *Tracer) release(at time.Time) error {
	now := time.Now()
	x.budget.fill(now)
	x.budget.spend(now.Sub(at))
	if x.armed && x.budget.spent() {
		if err := x.stub.ClearBreak(x.entry); err != nil {
			return err
		}
		x.armed, x.cut, x.tally.unit.Sampled = false, true, true
	}
	if err := x.stub.Continue(); err != nil {
		return err
	}
	x.ran = time.Now()
	x.started = x.ran
	x.tally.unit.Stops++
	x.tally.unit.Stopped += int64(x.ran.Sub(at))
	return nil
}

// arm sets the break in a stopped guest and lets it run.
func (x *Tracer) arm() error {
	if err := x.stub.SetBreak(x.entry); err != nil {
		return fmt.Errorf("guest system calls: set the break: %w", err)
	}
	x.armed = true
	if err := x.stub.Continue(); err != nil {
		return err
	}
	x.ran = time.Now()
	x.started = x.ran
	return nil
}

// rearm stops the guest to set the break again.
func (x *Tracer) rearm() error {
	at, err := x.stop()
	if err != nil {
		return err
	}
	if err := x.arm(); err != nil {
		return err
	}
	d := x.ran.Sub(at)
	x.budget.spend(d)
	x.tally.unit.Stops++
	x.tally.unit.Stopped += int64(d)
	return nil
}

// stop stops the guest, wherever it is, and says since when it was asked to.
func (x *Tracer) stop() (time.Time, error) {
	at := time.Now()
	x.pass(at)
	if err := x.stub.Interrupt(); err != nil {
		return at, err
	}
	s, err := x.stub.Wait(at.Add(halt))
	if err != nil {
		return at, fmt.Errorf("guest system calls: stop the guest: %w", err)
	}
	if s.Signal != gdb.SignalInterrupt && s.Signal != gdb.SignalTrap { // its disk failed, say, at the same moment
		return at, fmt.Errorf("guest system calls: %w (signal %d)", ErrPaused, s.Signal)
	}
	return at, nil
}

// turns are the last times from letting the guest run to hearing that it has stopped at the break. The least of them is what QEMU takes for it even if the guest comes there at
// once: to start virtual CPUs, to stop them, and to flush disks. That is time in which the guest is held up, too.
type turns struct {
	last [64]time.Duration
	next int
}

func (t *turns) add(d time.Duration) {
	t.last[t.next%len(t.last)] = d
	t.next++
}

// least is 0 before there is any.
func (t *turns) least() (least time.Duration) {
	for i := range min(t.next, len(t.last)) {
		if least == 0 || t.last[i] < least {
			least = t.last[i]
		}
	}
	return least
}
