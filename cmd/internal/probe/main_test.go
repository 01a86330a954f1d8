package probe

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	webUUID = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"
	dbUUID  = "11111111-cdaf-9455-926a-d65c16db1809"
)

// domains is a Finder of made-up domains.
type domains struct {
	mu   sync.Mutex
	list map[string]Target
	dead map[qemu.Process]bool
}

func someDomains() *domains {
	target := func(uuid, name string, pid int, taps ...Device) Target {
		return Target{UUID: uuid, Name: name, Process: qemu.Process{PID: pid, Start: 99}, Executable: "/bin/qemu", Taps: taps}
	}
	return &domains{dead: map[qemu.Process]bool{}, list: map[string]Target{
		webUUID: target(webUUID, "web", 4711, Device{"vnet0", 7}),
		dbUUID:  target(dbUUID, "db", 4712),
	}}
}

func (d *domains) Find(uuid string) (Target, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, there := d.list[uuid]
	if !there {
		return Target{}, fmt.Errorf("domain %s: %w", uuid, ErrNoDomain)
	}
	return t, nil
}

func (d *domains) Alive(t Target) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.dead[t.Process]
}

func (d *domains) end(uuid string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead[d.list[uuid].Process] = true
}

func (d *domains) replug(uuid string, taps ...Device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.list[uuid]
	t.Taps = taps
	d.list[uuid] = t
}

// counters makes counters, and knows which are open.
type counters struct {
	mu      sync.Mutex
	open    map[*counter]bool
	made    int
	refuse  map[Source]error // to attach
	attach  func()           // called meanwhile
	changed chan struct{}    // gets something after each close
}

func newCounters() *counters {
	return &counters{open: map[*counter]bool{}, refuse: map[Source]error{}, changed: make(chan struct{}, 10000)}
}

// counter has a unit in each interval, of which n hits are in its first column.
type counter struct {
	of     *counters
	source Source
	target Target
	next   int64
	broken error
	units  int // for each Collect
}

func (c *counters) Attach(s Source, t Target, _ Options) (Counter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attach != nil {
		c.attach()
	}
	if err := c.refuse[s]; err != nil {
		return nil, err
	}
	n := &counter{of: c, source: s, target: t, units: 1}
	c.open[n] = true
	c.made++
	return n, nil
}

func (c *counters) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// each does something with all open counters.
func (c *counters) each(f func(*counter)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.open {
		f(n)
	}
}

func (c *counter) Collect(last bool) ([]unit.Unit, error) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	var list []unit.Unit
	add := func(duration time.Duration) {
		u := unit.Unit{Start: c.next, Duration: int64(duration), Counts: make([]uint64, len(c.source.Columns()))}
		if len(u.Counts) > 0 {
			u.Counts[0] = uint64(c.target.Process.PID)
		}
		c.next += int64(unit.Width)
		list = append(list, u)
	}
	for range c.units {
		add(unit.Width)
	}
	if last {
		add(unit.Width / 2)
	}
	return list, c.broken
}

func (c *counter) Stats() (hits, ns uint64) { return 3, 900 }
func (c *counter) Detail() string           { return fmt.Sprint(c.target.Taps) }

func (c *counter) Close() error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if !c.of.open[c] {
		return errors.New("closed twice")
	}
	delete(c.of.open, c)
	c.of.changed <- struct{}{}
	return nil
}

func silent() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// listener hands over connections of its own making, so that time can be made up, too.
type listener struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
	until time.Time
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), ended: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	var late <-chan time.Time
	if !l.until.IsZero() {
		t := time.NewTimer(time.Until(l.until))
		defer t.Stop()
		late = t.C
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-late:
		return nil, os.ErrDeadlineExceeded
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error                      { l.once.Do(func() { close(l.ended) }); return nil }
func (l *listener) Addr() net.Addr                    { return &net.UnixAddr{Net: "unix"} }
func (l *listener) SetDeadline(until time.Time) error { l.until = until; return nil }

// connect is the other end of a new connection.
func (l *listener) connect() net.Conn {
	here, there := net.Pipe()
	l.conns <- there
	return here
}

func (l *listener) client() *Client {
	return &Client{wire: newWire(l.connect(), maxAnswer), socket: "pipe"}
}
