package main

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/cmd/internal/keeper"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// keeps serves requests by a keeper that does what it is told, and returns its socket.
func keeps(t *testing.T, trace func(context.Context, keeper.Request, keeper.Sink) keeper.End) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "keeper.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	s := keeper.Server{Trace: trace, Domains: 2, Log: log}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	return socket
}

func allowing(socket string) guestCalls {
	return guestCalls{func() config.Actions { return config.Actions{GuestSyscalls: true, KeeperSocket: socket} }}
}

func TestGuestCallsObstacles(t *testing.T) {
	d := libvirt.Domain{Name: "web", UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809"}
	refusing := keeps(t, func(_ context.Context, r keeper.Request, _ keeper.Sink) keeper.End {
		return keeper.End{Error: "domain " + r.UUID + ": its policy forbids it"}
	})
	willing := keeps(t, func(_ context.Context, r keeper.Request, _ keeper.Sink) keeper.End {
		if !r.Dry || r.Share != guestcalls.DefaultLimits.Share || r.Stops != guestcalls.DefaultLimits.Stops {
			t.Errorf("asked for %+v", r)
		}
		return keeper.End{Reason: keeper.ReasonDry}
	})
	for name, x := range map[string]struct {
		source guestCalls
		want   string
	}{
		"not allowed to the daemon": {guestCalls{func() config.Actions { return config.Default().Actions }}, "guest_syscalls = true in [actions]"},
		"no keeper":                 {allowing(filepath.Join(t.TempDir(), "none")), "virtsentry-keeper.socket"},
		"refused by the keeper":     {allowing(refusing), "its policy forbids it"},
		"none":                      {allowing(willing), ""},
	} {
		err := x.source.Obstacle(t.Context(), d, qemu.Process{})
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s: %v; want %q", name, err, x.want)
		}
		if x.want == "" {
			continue
		}
		if _, err := x.source.Attach(t.Context(), d, qemu.Process{}, time.Second); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: Attach: %v; want %q", name, err, x.want)
		}
	}
}

// someCalls is a unit of a guest that makes two kinds of calls.
var someCalls = guestcalls.Unit{
	Start: 4e9, Duration: 2e9, Stops: 5, Stopped: 1e8, Sampled: true, Calls: []guestcalls.Calls{
		{Number: guestcalls.Unknown, CPU: 0, Seen: 1, Count: 1e30},
		{Number: 257, CPU: 1, Seen: 3, Count: 12.6, Shapes: []guestcalls.Shape{{Text: "- p n", Seen: 2}, {Text: "n p n", Seen: 1}}},
		{Number: 257, CPU: 2, Seen: 2, Count: 0.5},
		{Number: 1000, CPU: 0, Count: 0.1},
	}, Each: []guestcalls.Call{
		{At: 4e9 + 1, Number: 257, CPU: 1, Arguments: [6]uint64{1}}, {At: 4e9 + 2, Number: 257, CPU: 1, Arguments: [6]uint64{3, 1 << 40, 0, 0600}}, {At: 4e9 + 3, Number: guestcalls.Unknown},
	},
}

func TestGuestCalls(t *testing.T) {
	asked := make(chan keeper.Request, 1)
	source := allowing(keeps(t, func(ctx context.Context, r keeper.Request, to keeper.Sink) keeper.End {
		asked <- r
		_ = to.Begin(keeper.Begin{Share: 0.05, Stops: 20})
		_ = to.Unit(someCalls)
		<-ctx.Done() // until it is stopped
		_ = to.Unit(guestcalls.Unit{Start: 6e9, Duration: 1e9})
		return keeper.End{Reason: keeper.ReasonClient}
	}))
	o, err := source.Attach(t.Context(), libvirt.Domain{UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809"}, qemu.Process{}, 8*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if r := <-asked; r.Seconds != 8 || r.Offset < int64(365*24*time.Hour) || r.Dry {
		t.Errorf("asked for %+v", r)
	}
	if !strings.Contains(o.Remark(), "at most 5 % of the time and 20 times a second") || !source.Disturbs() {
		t.Error(o.Remark())
	}
	var units []actions.Unit
	for end := time.Now().Add(20 * time.Second); len(units) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if units, err = o.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := []actions.Unit{{Start: 4e9, Duration: 2e9, Held: 1e8, Counts: map[string]uint64{"guest-syscalls:vcpu1:openat": 13, "guest-syscalls:vcpu2:openat": 2}, Events: []control.ActionEvent{
		{At: time.Unix(4, 1).UTC(), What: "vcpu1 openat(1, 0, 0, 0, 0, 0)"}, {At: time.Unix(4, 2).UTC(), What: "vcpu1 openat(3, 0x10000000000, 0, 384, 0, 0)"},
		{At: time.Unix(4, 3).UTC(), What: "vcpu0 unknown(0, 0, 0, 0, 0, 0)"},
	}}}
	if diff := cmp.Diff(want, units); diff != "" {
		t.Error(diff)
	}
	for feature, words := range map[string]string{
		"guest-syscalls:vcpu1:openat":  "openat of the guest (number 257) on its virtual CPU 1, 3 seen; arguments (- p n) 2 (n p n) 1; of the last (3, 0x10000000000, 0, 384, 0, 0)",
		"guest-syscalls:vcpu0:unknown": "unknown of the guest (numbers that no call of Linux has) on its virtual CPU 0, 1 seen; of the last (0, 0, 0, 0, 0, 0)",
		"syscalls:vcpu:ioctl":          "",
	} {
		if got := o.Describe(feature); got != words {
			t.Errorf("%s: %q, want %q", feature, got, words)
		}
	}
	units, err = o.Finish(t.Context())
	if err != nil || len(units) != 1 || units[0].Start != 6e9 {
		t.Errorf("Finish = %+v, %v", units, err)
	}
}

// endless is a trace that ends as it is told, and never by itself.
type endless struct {
	ended chan struct{}
	err   error
	end   keeper.End
	once  sync.Once
}

func (e *endless) Next() (guestcalls.Unit, error) { <-e.ended; return guestcalls.Unit{}, e.err }
func (e *endless) End() keeper.End                { return e.end }
func (e *endless) Stop() error                    { return nil }
func (e *endless) Close() error                   { e.once.Do(func() { close(e.ended) }); return nil }

// What an action hears of its end depends on how its trace has ended.
func TestGuestCallsEnd(t *testing.T) {
	lost := errors.New("lost")
	for name, x := range map[string]struct {
		err    error
		reason string
		want   string
	}{
		"its time is over":   {io.EOF, keeper.ReasonTime, ""},
		"stopped":            {io.EOF, keeper.ReasonClient, ""},
		"the guest has gone": {io.EOF, keeper.ReasonGone, actions.ErrGone.Error()},
		"somebody pauses it": {io.EOF, keeper.ReasonPaused, "somebody else has paused"},
		"no keeper any more": {lost, "", "lost"},
	} {
		trace := &endless{ended: make(chan struct{}), err: x.err, end: keeper.End{Reason: x.reason}}
		o := &guestLook{trace: trace, ended: make(chan struct{})}
		go o.read()
		_ = trace.Close()
		<-o.ended
		_, err := o.Collect(t.Context())
		if got, _ := o.Finish(t.Context()); len(got) > 0 || (x.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v; want %q", name, err, x.want)
		}
	}
	// A keeper that does not answer is not waited for.
	o := &guestLook{trace: &endless{ended: make(chan struct{}), err: lost}, ended: make(chan struct{})}
	go o.read()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := o.Finish(ctx); err == nil || !strings.Contains(err.Error(), "does not say") {
		t.Errorf("Finish = %v", err)
	}
}

func TestGuestCallsPrice(t *testing.T) {
	p := &prices{domains: busy(4000), file: filepath.Join(t.TempDir(), "cost.json")}
	d := actions.Subject{Name: "web"}
	quotes := p.Quotes(d)
	alone := quotes([]string{actions.GuestCalls}, nil)
	if !alone.Known || alone.Low != 0 || alone.Slowdown < guestcalls.DefaultLimits.Share || alone.High < alone.Slowdown || alone.High > 1 || alone.Why == "" {
		t.Errorf("with no calibration: %+v", alone)
	}
	both := []string{"probes:all", actions.GuestCalls}
	if got := quotes(both, nil); got.Known || got.Why == "" {
		t.Errorf("with no calibration, beside another one: %+v", got)
	}
	calibrate(t, p.file)
	quotes = p.Quotes(d)
	other := quotes([]string{"probes:all"}, []string{actions.GuestCalls})
	if got := quotes(both, nil); !got.Known || got.Slowdown <= alone.Slowdown || got.Slowdown >= alone.Slowdown+other.Slowdown || got.High > 1 || !other.Known {
		t.Errorf("both %+v; one %+v, the other %+v", got, alone, other)
	}
	evidence := func(second int, held float64, counts map[string]uint64) actions.Evidence {
		return actions.Evidence{Start: time.Unix(int64(second), 0), Seconds: 2, Held: held, Counts: counts}
	}
	calls, hits := map[string]uint64{"guest-syscalls:vcpu0:read": 9}, map[string]uint64{"virtio_blk_handle_read": 2_000_000}
	g := p.Appraise(d, []string{actions.GuestCalls}, nil)
	if got := g.Measure(evidence(0, 0.2, calls)); !got.Known || got.Low != 0.1 || got.Slowdown != guestCallsLoss*0.1 || !strings.Contains(got.Why, "200ms of 2s") {
		t.Errorf("a tenth of the time: %+v", got)
	}
	if got := g.Measure(evidence(2, 0, nil)); got.Low != 0.05 {
		t.Errorf("a twentieth of the time: %+v", got)
	}
	if got := g.Measure(evidence(4, 50, calls)); got.High != 1 || got.Low != 1 {
		t.Errorf("more than all of the time: %+v", got)
	}
	g.Close()
	// Each source has units of its own, and the time is counted once.
	g = p.Appraise(d, both, nil)
	first := g.Measure(evidence(0, 0, hits))
	if got := g.Measure(evidence(0, 0.2, calls)); !got.Known || got.Low < 0.09 || got.Slowdown <= first.Slowdown || got.Slowdown <= guestCallsLoss*0.1 || strings.Count(got.Why, "counted") != 1 {
		t.Errorf("both: %+v; at first %+v", got, first)
	}
	g.Close()
	if got := p.Appraise(d, []string{"probes:disk"}, []string{actions.GuestCalls}).Measure(evidence(0, 0, hits)); !got.Known || got.Slowdown <= 0 {
		t.Errorf("beside it: %+v", got)
	}
	unknown := control.ActionPrice{Why: "not known"}
	if together(unknown, alone) != unknown || together(alone, unknown) != unknown {
		t.Error("the price of two things is known though that of one is not")
	}
}
