package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/cmd/internal/keeper"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// guestCallsWords is what the action guest-syscalls counts.
const guestCallsWords = "the guest's own system calls, by number and virtual CPU: virtsentry-keeper stops the guest at them, and where they are many, at some"

const (
	// checkTime bounds the question whether a keeper would do it.
	checkTime = 5 * time.Second
	// unitsKept bounds the units that wait to be collected: what an action that is not asked for long leaves.
	unitsKept = 64
)

// guestCalls is the source of the action guest-syscalls, a monitor.ActionSource.
type guestCalls struct {
	config func() config.Actions // that is in force
}

var errGuestCallsOff = errors.New("the operator has not allowed it to this daemon: guest_syscalls = true in [actions] of its configuration does, and " +
	"guest_syscalls = true in " + keeper.DefaultConfig + " allows it to virtsentry-keeper")

// request is what is asked for of a keeper, by limits that prices know.
func (s guestCalls) request(d libvirt.Domain, length time.Duration) keeper.Request {
	return keeper.Request{UUID: d.UUID, Seconds: length.Seconds(), Share: guestcalls.DefaultLimits.Share, Stops: guestcalls.DefaultLimits.Stops}
}

// Obstacle says why a domain's system calls cannot be counted, monitor.ActionSource.
func (s guestCalls) Obstacle(ctx context.Context, d libvirt.Domain, _ qemu.Process) error {
	c := s.config()
	if !c.GuestSyscalls {
		return errGuestCallsOff
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return keeper.Check(ctx, c.KeeperSocket, s.request(d, actions.Shortest))
}

// Attach begins to count, monitor.ActionSource.
func (s guestCalls) Attach(ctx context.Context, d libvirt.Domain, _ qemu.Process, length time.Duration) (actions.Observation, error) {
	c := s.config()
	if !c.GuestSyscalls {
		return nil, errGuestCallsOff
	}
	r := s.request(d, length)
	var err error
	if r.Offset, err = keeper.WallClock(); err != nil {
		return nil, err
	}
	t, err := keeper.Ask(ctx, c.KeeperSocket, r)
	if err != nil {
		return nil, err
	}
	o := &guestLook{trace: t, begin: t.Begin, ended: make(chan struct{}), seen: map[string]*guestSeen{}}
	go o.read()
	return o, nil
}

// Disturbs says that the guest is stopped for moments, monitor.ActionSource.
func (s guestCalls) Disturbs() bool { return true }

// keptTrace is what is needed of a keeper.Trace.
type keptTrace interface {
	Next() (guestcalls.Unit, error)
	End() keeper.End
	Stop() error
	Close() error
}

// guestLook is a guest whose system calls are counted. A goroutine of its own reads them, until it ends by Finish at the latest.
type guestLook struct {
	trace keptTrace
	begin keeper.Begin
	ended chan struct{} // closed when nothing more comes

	mu    sync.Mutex // guards the fields below
	units []guestcalls.Unit
	err   error // why nothing more comes; io.EOF: it ended as it should

	seen map[string]*guestSeen // by feature, for words; owned by whoever collects
}

// guestCall is a system call on a virtual CPU.
type guestCall struct{ number, cpu int }

// guestSeen is what was seen of one.
type guestSeen struct {
	call   guestCall
	seen   uint64
	shapes map[string]uint64 // of arguments
	last   *guestcalls.Call  // the newest
}

// read reads units until there are no more.
func (o *guestLook) read() {
	defer close(o.ended)
	for {
		u, err := o.trace.Next()
		o.mu.Lock()
		if err != nil {
			o.err = err
			o.mu.Unlock()
			return
		}
		o.units = append(o.units, u)
		o.units = o.units[max(0, len(o.units)-unitsKept):]
		o.mu.Unlock()
	}
}

// Collect returns the units that have come, actions.Observation.
func (o *guestLook) Collect(context.Context) ([]actions.Unit, error) {
	o.mu.Lock()
	came, err := o.units, o.err
	o.units = nil
	o.mu.Unlock()
	var units []actions.Unit
	for _, u := range came {
		units = append(units, o.unit(u))
	}
	return units, o.why(err)
}

// why is the error of an observation whose trace has ended.
func (o *guestLook) why(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	switch reason := o.trace.End().Reason; reason {
	case keeper.ReasonTime, keeper.ReasonClient: // as was asked for
		return nil
	case keeper.ReasonGone:
		return actions.ErrGone
	default:
		return fmt.Errorf("virtsentry-keeper has ended it: %s", reason)
	}
}

// Finish has the keeper let the guest go, and returns when it has, actions.Observation.
func (o *guestLook) Finish(ctx context.Context) ([]actions.Unit, error) {
	err := o.trace.Stop()
	select {
	case <-o.ended:
	case <-ctx.Done():
		err = errors.Join(err, errors.New("virtsentry-keeper does not say that it has let the guest go; it does so now, or its guard does"))
	}
	err = errors.Join(err, o.trace.Close())
	<-o.ended // its connection has been closed
	units, ended := o.Collect(ctx)
	if err == nil {
		err = ended
	}
	return units, err
}

// unit is a unit by the names of calls.
func (o *guestLook) unit(u guestcalls.Unit) actions.Unit {
	counts := make(map[string]uint64, len(u.Calls))
	for _, c := range u.Calls {
		call := guestCall{c.Number, c.CPU}
		feature := call.feature()
		s := o.seen[feature]
		if s == nil {
			s = &guestSeen{call: call, shapes: map[string]uint64{}}
			o.seen[feature] = s
		}
		s.seen += c.Seen
		for _, h := range c.Shapes {
			s.shapes[h.Text] += h.Seen
		}
		if n := max(float64(c.Seen), math.Round(c.Count)); n >= 1 && n < math.MaxInt64 {
			counts[feature] += uint64(n)
		}
	}
	events := make([]control.ActionEvent, 0, len(u.Each))
	for _, c := range u.Each {
		if s := o.seen[guestCall{c.Number, c.CPU}.feature()]; s != nil {
			s.last = &c
		}
		events = append(events, control.ActionEvent{At: time.Unix(0, c.At).UTC(), What: c.String()})
	}
	return actions.Unit{Start: u.Start, Duration: u.Duration, Held: u.Stopped, Counts: counts, Events: events}
}

// feature is the name of what counts a call: guest-syscalls:vcpu0:openat.
func (c guestCall) feature() string {
	return fmt.Sprintf("%s:vcpu%d:%s", actions.GuestCalls, c.cpu, guestcalls.Name(c.number))
}

// Describe says what a feature is and what its arguments looked like so far, actions.Observation.
func (o *guestLook) Describe(feature string) string {
	s := o.seen[feature]
	if s == nil {
		return ""
	}
	return s.words()
}

// mostShapes are told of a call.
const mostShapes = 3

func (s *guestSeen) words() string {
	c := s.call
	number := fmt.Sprintf("number %d", c.number)
	if c.number == guestcalls.Unknown {
		number = "numbers that no call of Linux has"
	}
	text := fmt.Sprintf("%s of the guest (%s) on its virtual CPU %d, %d seen", guestcalls.Name(c.number), number, c.cpu, s.seen)
	type shape struct {
		text string
		n    uint64
	}
	var shapes []shape
	for t, n := range s.shapes {
		shapes = append(shapes, shape{t, n})
	}
	slices.SortFunc(shapes, func(a, b shape) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.text, b.text)) })
	for i, x := range shapes[:min(len(shapes), mostShapes)] {
		if i == 0 {
			text += "; arguments"
		}
		text += fmt.Sprintf(" (%s) %d", x.text, x.n)
	}
	if s.last != nil {
		text += "; of the last " + guestcalls.Arguments(s.last.Arguments)
	}
	return text
}

// Remark says what there is to know of it, actions.Observation.
func (o *guestLook) Remark() string {
	return fmt.Sprintf("the guest is stopped for at most %.0f %% of the time and %.0f times a second; where it makes more calls, counts are estimates; the domain is not judged meanwhile",
		100*o.begin.Share, o.begin.Stops)
}
