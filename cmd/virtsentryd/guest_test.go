//go:build integration

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/model"
)

// guest is one guest of the lab.
type guest struct {
	*stack
	name, uuid string
}

func (s *stack) guest(t *testing.T, name string) *guest {
	t.Helper()
	d, err := s.raw.LookupDomainByName(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	uuid, err := d.GetUUIDString()
	if err != nil {
		t.Fatal(err)
	}
	return &guest{s, name, uuid}
}

// domain does something to the guest by means of libvirt.
func (g *guest) domain(t *testing.T, f func(*golibvirt.Domain) error) {
	t.Helper()
	d, err := g.raw.LookupDomainByUUIDString(g.uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	if err := f(d); err != nil {
		t.Fatal(err)
	}
}

func (g *guest) runs(t *testing.T) (active bool) {
	t.Helper()
	g.domain(t, func(d *golibvirt.Domain) (err error) {
		active, err = d.IsActive()
		return err
	})
	return active
}

// pid is that of the guest's QEMU.
func (g *guest) pid(t *testing.T) int {
	t.Helper()
	pid, err := g.lab.GuestPID(g.name)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// status asks the daemon through its control socket.
func (g *guest) status(t *testing.T) (d control.DomainStatus, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // one that never answers is not waited for
	defer cancel()
	d, err := g.control().Domain(ctx, g.uuid)
	return d, err == nil
}

// await waits until the guest's metadata shows a state.
func (g *guest) await(t *testing.T, value string) *libvirt.State {
	t.Helper()
	var state *libvirt.State
	g.within(t, "state "+value+" of "+g.name, func() bool {
		var err error
		state, err = g.client.State(g.uuid)
		return err == nil && state != nil && state.Value == value
	})
	return state
}

// judgedAfter waits for a unit that began after a time and was judged.
func (g *guest) judgedAfter(t *testing.T, after time.Time) {
	t.Helper()
	g.within(t, g.name+" is judged", func() bool {
		d, ok := g.status(t)
		return ok && d.State != "paused" && d.Last != nil && d.Last.Judged && d.Last.Start.After(after)
	})
}

// judged makes sure that the guest and the daemon run, and that the guest is judged by a profile. It does nothing where this is so.
func (g *guest) judged(t *testing.T) {
	t.Helper()
	if !g.runs(t) {
		g.domain(t, (*golibvirt.Domain).Create)
	}
	if g.daemon == nil {
		g.startDaemon(t)
	}
	g.judgedAfter(t, time.Time{})
}

// mostUnits is how many units of the guest may be reported between an event and the right state.
const mostUnits = 2

// changes waits for a change of state after an event.
func (g *guest) changes(t *testing.T, event time.Time, what string, right func(hooks.Change) bool) (change hooks.Change) {
	t.Helper()
	g.within(t, what, func() (found bool) {
		change, found = g.heard.change(g.uuid, event, right)
		return found
	})
	return change
}

// becomes waits for the change of state that an event leads to. Between the two, no more than two whole units of the guest may have passed; the one in which it is
// attached to is not whole.
func (g *guest) becomes(t *testing.T, event time.Time, what string, right func(hooks.Change) bool) hooks.Change {
	t.Helper()
	change := g.changes(t, event, what, right)
	units := slices.DeleteFunc(g.heard.between(g.uuid, event, change.Since), func(u control.UnitReport) bool { return u.Duration < 2 })
	t.Logf("%s: %v and %d units after the event", what, change.Since.Sub(event).Round(time.Millisecond), len(units))
	g.took(len(units), change.Since.Sub(event))
	if len(units) > mostUnits {
		t.Errorf("%s: only after %d units of the guest; want at most %d: %+v", what, len(units), mostUnits, units)
	}
	return change
}

// is says whether a change led to a state.
func is(state string) func(hooks.Change) bool {
	return func(c hooks.Change) bool { return c.State == state }
}

// sessions are the daemon's recording sessions of the guest.
func (g *guest) sessions(t *testing.T) (names []string) {
	t.Helper()
	for _, x := range g.stack.sessions(t) {
		if strings.Contains(x, g.uuid) {
			names = append(names, x)
		}
	}
	return names
}

// attached waits until the guest has one session, on the QEMU process that it has now.
func (g *guest) attached(t *testing.T) {
	t.Helper()
	g.within(t, "one session on the QEMU of "+g.name, func() bool {
		names := g.sessions(t)
		return len(names) == 1 && strings.Contains(names[0], g.uuid+"-"+strconv.Itoa(g.pid(t))+"-")
	})
	g.within(t, "the daemon shows the QEMU of "+g.name, func() bool {
		d, ok := g.status(t)
		return ok && d.PID == g.pid(t)
	})
}

// watched waits until the daemon is attached to the guest, and has seen a unit.
func (g *guest) watched(t *testing.T) {
	t.Helper()
	g.within(t, "the daemon has a unit of "+g.name, func() bool {
		d, ok := g.status(t)
		return ok && d.PID == g.pid(t) && d.Units.Seen > 0
	})
}

// restart ends the guest's QEMU and starts another one. It returns when that was asked for.
func (g *guest) restart(t *testing.T) (asked time.Time) {
	t.Helper()
	g.domain(t, (*golibvirt.Domain).Destroy)
	asked = time.Now()
	g.domain(t, (*golibvirt.Domain).Create)
	return asked
}

// stopped makes sure that the guest has a profile and does not run, and that the daemon does.
func (g *guest) stopped(t *testing.T) {
	t.Helper()
	if _, err := model.NewStore(g.file("profiles")).Load(g.uuid); g.daemon == nil || err != nil {
		g.judged(t)
	}
	if g.runs(t) {
		g.domain(t, (*golibvirt.Domain).Destroy)
	}
	g.gone(t)
}

// ping has the guest send packets to the host, as fast as that answers.
func (g *guest) ping(t *testing.T, packets int) {
	t.Helper()
	r, err := g.lab.Exec(t.Context(), g.name, "ping", "-f", "-q", "-c", strconv.Itoa(packets), lab.HostAddr.String())
	if err != nil || r.Code != 0 {
		t.Fatalf("ping in guest %s: %v, %s", g.name, err, r.Stderr)
	}
}

// received is how many packets the guest has received in its units since a time, and most in one of them.
func (g *guest) received(since time.Time) (all, most uint64) {
	for _, u := range g.heard.since(g.uuid, since) {
		n := uint64(0)
		for feature, count := range u.Counts {
			if strings.HasPrefix(feature, "virtqueue_fill:net.rx:") {
				n += count
			}
		}
		all, most = all+n, max(most, n)
	}
	return all, most
}

// gone waits until the daemon has let go of the guest.
func (g *guest) gone(t *testing.T) {
	t.Helper()
	g.within(t, "the daemon lets go of "+g.name, func() bool {
		_, ok := g.status(t)
		return !ok && len(g.sessions(t)) == 0
	})
}

// sessions are the recording sessions of the test's daemon.
func (s *stack) sessions(t *testing.T) (names []string) {
	t.Helper()
	sessions, err := lttng.Sessions()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range sessions {
		if strings.HasPrefix(x.Path, s.dir) {
			names = append(names, x.Name)
		}
	}
	return names
}

// noSession waits until no session of the daemon's is left, and no file of one.
func (s *stack) noSession(t *testing.T) {
	t.Helper()
	s.within(t, "no session is left", func() bool {
		left, err := filepath.Glob(s.file("traces/virtsentryd-*"))
		return err == nil && len(left) == 0 && len(s.sessions(t)) == 0
	})
}

// disk makes an empty disk that the guests' QEMU may use.
func (s *stack) disk(t *testing.T, name string) string {
	t.Helper()
	path, err := s.lab.MakeDisk(t.Context(), name, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	return path
}
