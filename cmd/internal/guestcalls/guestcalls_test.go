package guestcalls

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/cmd/internal/gdb"
	"github.com/virtsentry/virtsentry/cmd/internal/gdb/gdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	text    = 0xffffffff81c00000
	idt     = 0xfffffe0000000000
	handler = text + 0x800
	syscall = text + 0x80
)

// gate is an interrupt gate to a handler.
func gate(to uint64, kind byte) []byte {
	b := make([]byte, 16)
	binary.LittleEndian.PutUint16(b, uint16(to))
	binary.LittleEndian.PutUint16(b[2:], 0x10)
	b[5] = kind
	binary.LittleEndian.PutUint16(b[6:], uint16(to>>16))
	binary.LittleEndian.PutUint32(b[8:], uint32(to>>32))
	return b
}

// guest is memory in pages.
type guest map[uint64][]byte

func (g guest) put(address uint64, b []byte) {
	for i, c := range b {
		at := address + uint64(i)
		if g[at/page] == nil {
			g[at/page] = make([]byte, page)
		}
		g[at/page][at%page] = c
	}
}

func (g guest) read(address uint64, size int) ([]byte, bool) {
	var all []byte
	for i := range uint64(size) {
		p := g[(address+i)/page]
		if p == nil {
			return nil, false
		}
		all = append(all, p[(address+i)%page])
	}
	return all, true
}

func (g guest) Memory(address uint64, size int) ([]byte, error) {
	b, mapped := g.read(address, size)
	if !mapped {
		return nil, &gdb.Error{Command: "m", Code: "E14"}
	}
	return b, nil
}

// linux is a guest with the tables of a Linux.
func linux(start []byte) guest {
	g := guest{}
	g.put(idt, gate(handler, 0x8e))
	g.put(handler, []byte{0x90})
	g.put(syscall, start)
	return g
}

var table = Table{Base: idt, Limit: 0xfff}

func TestFindEntry(t *testing.T) {
	for name, start := range map[string][]byte{"absolute": absolute, "relative": relative} {
		if at, err := FindEntry(linux(start), table); err != nil || at != syscall {
			t.Errorf("%s: %#x, %v", name, at, err)
		}
	}
	across := linux(nil) // over the edge of two reads
	across.put(text+2*piece-4, relative)
	if at, err := FindEntry(across, table); err != nil || at != text+2*piece-4 {
		t.Errorf("across two reads: %#x, %v", at, err)
	}
	twice := linux(absolute)
	twice.put(text+0x200, relative)
	other, absent, low := linux(absolute), linux(absolute), linux(absolute)
	other.put(idt, gate(handler, 0x8c))
	absent.put(idt, gate(handler, 0x0e))
	low.put(idt, gate(0x400000, 0x8e))
	for name, x := range map[string]struct {
		guest guest
		table Table
	}{
		"no entry":      {linux([]byte{0x0f, 0x01, 0xf8, 0x90}), table},
		"two":           {twice, table},
		"a call gate":   {other, table},
		"not present":   {absent, table},
		"in user space": {low, table},
		"not booted":    {linux(absolute), Table{Base: 0, Limit: 0x3ff}},
		"no gate":       {linux(absolute), Table{Base: idt, Limit: 7}},
		"not mapped":    {guest{}, table},
	} {
		if at, err := FindEntry(x.guest, x.table); !errors.Is(err, ErrNoEntry) {
			t.Errorf("%s: %#x, %v", name, at, err)
		}
	}
}

// FuzzFindEntry: whatever a guest has in its memory, what is found is an address in the kernel's half at which a swapgs is.
func FuzzFindEntry(f *testing.F) {
	f.Add(gate(handler, 0x8e), relative, uint16(0x80))
	f.Add(gate(0xffffffffffffffff, 0x8e), absolute, uint16(0))
	f.Fuzz(func(t *testing.T, first, code []byte, at uint16) {
		if len(first) > 64 || len(code) > 4096 {
			return
		}
		g := guest{}
		g.put(idt, append(first, make([]byte, 16)...))
		g.put(text, nil)
		g.put(text+uint64(at), code)
		found, err := FindEntry(g, table)
		if err != nil {
			return
		}
		b, mapped := g.read(found, 3)
		if found < kernel || !mapped || string(b) != string(swapgs) {
			t.Errorf("found %#x, %x", found, b)
		}
	})
}

func TestShapeOf(t *testing.T) {
	for _, x := range []struct {
		arguments [3]uint64
		want      string
	}{
		{[3]uint64{0, 3, 0x7ffd12345678}, "0 n p"},
		{[3]uint64{0xffffff9c, ^uint64(0), 0x55aa00000000}, "- - p"},
		{[3]uint64{1 << 47, 65535, 65536}, "x n p"},
		{[3]uint64{0xdead000000000000, 0xfffff000, 1}, "x - n"},
	} {
		if got := shapeOf(x.arguments); got != x.want {
			t.Errorf("shapeOf(%x) = %q, want %q", x.arguments, got, x.want)
		}
	}
}

func TestArguments(t *testing.T) {
	for want, c := range map[string]Call{
		"vcpu1 openat(-100, 0x7ffd00000010, -1, 0xffffefff, 65535, 0x10000)": {Number: 257, CPU: 1, Arguments: [6]uint64{0xffffff9c, 0x7ffd00000010, ^uint64(0), 0xffffefff, 65535, 65536}},
		"vcpu0 unknown(0, 0, 0, 0, 0, 0)":                                    {Number: Unknown},
		"vcpu0 1000(0, 0, 0, 0, 0, 0)":                                       {Number: 1000},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTally(t *testing.T) {
	x := newTally(5)
	read, null, odd := [6]uint64{3, 1 << 20, 16}, [6]uint64{0, 1 << 20, 16, 0, 0, 1}, [6]uint64{1 << 50, 1 << 50, 1 << 50}
	x.add(6, 1, 0, read)
	x.add(7, 1, 0, read)
	x.add(8, 1, 0, null)
	x.add(9, 9999, 1, odd)
	x.close(2)
	x.add(10, 1, 0, read) // its period goes on in the next unit
	want := Unit{Start: 5, Duration: 95, Calls: []Calls{
		{Number: Unknown, CPU: 1, Seen: 1, Count: 2, Shapes: []Shape{{"x x x", 1}}},
		{Number: 1, CPU: 0, Seen: 4, Count: 6, Shapes: []Shape{{"n p n", 3}, {"0 p n", 1}}},
	}, Each: []Call{{6, 1, 0, read}, {7, 1, 0, read}, {8, 1, 0, null}, {9, Unknown, 1, odd}, {10, 1, 0, read}}}
	if diff := cmp.Diff(want, x.end(100)); diff != "" {
		t.Error(diff)
	}
	x.close(3)
	if u := x.end(200); u.Start != 100 || len(u.Calls) != 1 || u.Calls[0].Count != 3 || u.Calls[0].Seen != 0 || u.Each != nil {
		t.Errorf("the next unit: %+v", u)
	}
}

// TestTallyBounds: a guest that makes up numbers fills no memory, and no call gets lost.
func TestTallyBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newTally(0)
		n := rapid.IntRange(0, 3*mostKinds).Draw(t, "calls")
		stride := rapid.Uint64Range(1, 1<<40).Draw(t, "stride")
		for i := range n {
			x.add(int64(i), uint64(i)*stride%2000, i%64, [6]uint64{1 << (i % 64), uint64(i % 3), -uint64(i % 5)})
		}
		x.close(1)
		u := x.end(1)
		sum := uint64(0)
		for _, c := range u.Calls {
			sum += c.Seen
			if len(c.Shapes) > mostShapes {
				t.Fatalf("%d shapes", len(c.Shapes))
			}
		}
		if len(u.Each) != min(n, mostEach) {
			t.Fatalf("%d calls one by one, of %d", len(u.Each), n)
		}
		if sum != uint64(n) || len(u.Calls) > mostKinds+1 {
			t.Fatalf("%d calls of %d kinds, of %d", sum, len(u.Calls), n)
		}
	})
}

// TestBudget: however calls come, no more than the limits is spent in the long run.
func TestBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{Share: rapid.Float64Range(0.01, 0.9).Draw(t, "share"), Stops: rapid.Float64Range(1, 1000).Draw(t, "stops")}
		cost := time.Duration(rapid.Int64Range(1e5, 2e7).Draw(t, "cost"))
		between := time.Duration(rapid.Int64Range(0, 5e7).Draw(t, "between"))
		begin := time.Unix(0, 0)
		now, b := begin, newBudget(l, begin)
		stops, held := 0, time.Duration(0)
		for now.Sub(begin) < time.Minute {
			now = now.Add(between)
			b.fill(now)
			if b.spent() {
				now = now.Add(b.wait() + time.Microsecond)
				b.fill(now)
			}
			now = now.Add(cost)
			b.fill(now)
			b.spend(cost)
			stops, held = stops+1, held+cost
		}
		seconds := now.Sub(begin).Seconds()
		if float64(stops) > l.Stops*seconds+l.mostStops()+1 {
			t.Fatalf("%d stops in %.1f s", stops, seconds)
		}
		if most := l.Share*seconds + l.Share*burst.Seconds() + 2*leastStops*cost.Seconds() + cost.Seconds(); held.Seconds() > most {
			t.Fatalf("%v held in %.1f s, at most %.2f s is allowed", held, seconds, most)
		}
	})
}

// stub makes a tracer for a guest that makes calls.
func stub(t *testing.T, l Limits) (*gdbtest.Stub, *gdb.Conn, *Tracer) {
	t.Helper()
	s := &gdbtest.Stub{Memory: linux(absolute).read}
	c := gdb.NewConn(gdbtest.New(s))
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Hello(); err != nil {
		t.Fatal(err)
	}
	x, err := NewTracer(c, table, l, func(at time.Time) int64 { return at.UnixNano() })
	if err != nil {
		t.Fatal(err)
	}
	return s, c, x
}

// call has the guest come to its entry.
func call(s *gdbtest.Stub, number uint64) {
	<-s.Resumed()
	s.Set(gdbtest.RAX, number)
	s.Set(gdbtest.RIP, syscall)
	s.Set(gdbtest.CS, 0x10)
	s.Set(gdbtest.GSBase, 0x1000)
	s.Set(gdbtest.KernelGSBase, 0x2000)
	s.Stop(gdb.SignalTrap)
}

func TestTracer(t *testing.T) {
	s, c, x := stub(t, Limits{Share: 1, Stops: 1e6})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for i := range 50 {
			call(s, uint64(i%2)*59)
		}
		<-s.Resumed()
		cancel()
	}()
	seen := map[int]uint64{}
	err := x.Run(ctx, func(u Unit) error {
		for _, c := range u.Calls {
			seen[c.Number] += c.Seen
			if c.Count < float64(c.Seen) {
				t.Errorf("%+v: fewer than were seen", c)
			}
		}
		return nil
	})
	if err != nil || seen[0] != 25 || seen[59] != 25 {
		t.Errorf("Run: %v, %v", err, seen)
	}
	if rip, gs, kernelGS := s.Get(gdbtest.RIP), s.Get(gdbtest.GSBase), s.Get(gdbtest.KernelGSBase); rip != syscall+3 || gs != 0x2000 || kernelGS != 0x1000 {
		t.Errorf("after the last call: rip %#x, bases %#x and %#x; want what swapgs does", rip, gs, kernelGS)
	}
	if !c.Stopped() {
		t.Error("the guest runs after the end")
	}
	if err := c.Detach(); err != nil {
		t.Error(err)
	}
	if running, _, breaks := s.Running(); !running || breaks != 0 {
		t.Errorf("after detaching: running %v, %d breaks", running, breaks)
	}
}

// TestSamples: a guest with more calls than may be stopped for runs without the break meanwhile.
func TestSamples(t *testing.T) {
	s, _, x := stub(t, Limits{Share: 1, Stops: 20})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		without := 0
		for without < 3 { // windows that have ended
			<-s.Resumed()
			if _, _, breaks := s.Running(); breaks == 0 {
				without++
				continue
			}
			s.Set(gdbtest.RIP, syscall)
			s.Set(gdbtest.CS, 0x10)
			s.Stop(gdb.SignalTrap)
		}
		cancel()
	}()
	sampled := false
	if err := x.Run(ctx, func(u Unit) error { sampled = sampled || u.Sampled; return nil }); err != nil || !sampled {
		t.Errorf("Run: %v; sampled %v", err, sampled)
	}
	<-done
}

func TestWeigh(t *testing.T) {
	const least = 200 * time.Microsecond
	for name, x := range map[string]struct {
		calls           uint64
		window, running time.Duration
		cut             bool
		weight          float64
		atLeast         bool
	}{
		"all was seen":                     {10, time.Second, time.Second, false, 1, false},
		"half of the time":                 {10, time.Second, 2 * time.Second, false, 2, false},
		"the last call is one more":        {10, time.Second, 2 * time.Second, true, 1.8, false},
		"one call that came soon":          {1, time.Microsecond, time.Second, true, 1, true},
		"faster than can be told":          {4, time.Microsecond, time.Second, true, 1875, true},
		"none is seen, and it goes on":     {0, time.Second, 2 * time.Second, false, 2, false},
		"no time at all, and it is not so": {4, 0, 0, true, 1, true},
	} {
		if weight, atLeast := weigh(x.calls, x.window, x.running, least, x.cut); math.Abs(weight-x.weight) > 1e-9 || atLeast != x.atLeast {
			t.Errorf("%s: %v, %v; want %v, %v", name, weight, atLeast, x.weight, x.atLeast)
		}
	}
}

// TestWeighPoisson: windows that end with their fourth call or later tell the rate of a guest whose calls come at random, to a few hundredths.
func TestWeighPoisson(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const rate, windows = 5000.0, 20000
	estimate, truth := 0.0, 0.0
	for range windows {
		var window time.Duration
		for range leastStops {
			window += time.Duration(random.ExpFloat64() / rate * 1e9)
		}
		running := window + 100*time.Millisecond
		weight, _ := weigh(leastStops, window, running, 0, true)
		estimate += leastStops * weight
		truth += rate * running.Seconds()
	}
	if off := estimate/truth - 1; math.Abs(off) > 0.03 {
		t.Errorf("%.1f %% off", 100*off)
	}
}

// TestLateStops: a stop that was under way on another virtual CPU when the break was taken away, or that is told by the name of the one that was let go, ends nothing.
func TestLateStops(t *testing.T) {
	s, _, x := stub(t, Limits{Share: 1, Stops: 20})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for without := 0; without < 2; {
			<-s.Resumed()
			if _, _, breaks := s.Running(); breaks == 0 {
				without++
				s.Stop(gdb.SignalTrap) // with the break gone
				<-s.Resumed()
				continue
			}
			s.Set(gdbtest.RIP, syscall)
			s.Set(gdbtest.CS, 0x10)
			s.Stop(gdb.SignalTrap)
			<-s.Resumed()
			if _, _, breaks := s.Running(); breaks > 0 {
				s.Stop(gdb.SignalTrap) // behind the break, which it was let go over
				continue
			}
			without++
		}
		cancel()
	}()
	seen, stops := uint64(0), uint64(0)
	err := x.Run(ctx, func(u Unit) error {
		stops += u.Stops
		for _, c := range u.Calls {
			seen += c.Seen
		}
		return nil
	})
	<-done
	if err != nil || seen == 0 || stops <= seen {
		t.Errorf("Run: %v; %d stops, %d calls", err, stops, seen)
	}
}

func TestTracerEnds(t *testing.T) {
	for name, x := range map[string]struct {
		stop func(*gdbtest.Stub)
		want error
	}{
		"paused by somebody": {func(s *gdbtest.Stub) { s.Stop(gdb.SignalInterrupt) }, ErrPaused},
		"elsewhere":          {func(s *gdbtest.Stub) { s.Set(gdbtest.RIP, 0x1234); s.Stop(gdb.SignalTrap) }, ErrGuest},
		"in a program": {func(s *gdbtest.Stub) {
			s.Set(gdbtest.RIP, syscall)
			s.Set(gdbtest.CS, 0x33)
			s.Stop(gdb.SignalTrap)
		}, ErrGuest},
	} {
		s, _, tracer := stub(t, DefaultLimits)
		go func() { <-s.Resumed(); x.stop(s) }()
		if err := tracer.Run(t.Context(), func(Unit) error { return nil }); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
}

func TestNewTracerRefuses(t *testing.T) {
	for _, l := range []Limits{{}, {Share: 2, Stops: 1}, {Share: 0.1}, {Share: -1, Stops: 1}} {
		if _, err := NewTracer(nil, table, l, nil); err == nil {
			t.Errorf("%+v: no error", l)
		}
	}
	for name, answers := range map[string]map[string]string{
		"no description":        {"qX": ""},
		"registers are refused": {"P": "E22"},
		"of another processor":  {"qX": "l<target><architecture>aarch64</architecture></target>"},
	} {
		s := &gdbtest.Stub{Memory: linux(absolute).read, Answer: func(c string) (string, bool) {
			for prefix, answer := range answers {
				if len(c) >= len(prefix) && c[:len(prefix)] == prefix {
					return answer, true
				}
			}
			return "", false
		}}
		c := gdb.NewConn(gdbtest.New(s))
		if err := c.Hello(); err != nil {
			t.Fatal(err)
		}
		if _, err := NewTracer(c, table, DefaultLimits, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
		_ = c.Close()
	}
}

func TestTurns(t *testing.T) {
	var x turns
	if x.least() != 0 {
		t.Error("there is one before the first")
	}
	for i := range 200 {
		x.add(time.Duration(1000 + i))
	}
	if got := x.least(); got != 1136 { // of the last 64
		t.Errorf("least = %d", got)
	}
}
