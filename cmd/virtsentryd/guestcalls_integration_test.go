//go:build integration

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/keeper"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// TestIntegrationGuestCalls looks at the system calls of a guest with a web service: by an action of the daemon, and by somebody else. The service answers throughout, the
// guest is never said to be paused but when an operator does that, and whatever happens to the daemon, the guest is let go.
func TestIntegrationGuestCalls(t *testing.T) {
	if err := lab.CheckRoot(); err != nil {
		t.Fatal(err)
	}
	s := newStack(t, lab.Config{Dir: "/run/virtsentry-lab-calls", Guest: "web", Variant: "smp2"})
	s.web = s.guest(t, "web")
	k := &guestKeeper{stack: s}
	s.sources = fmt.Sprintf("[actions]\nguest_syscalls = true\nkeeper_socket = %q\n", s.file("keeper.sock"))
	s.startDaemon(t)
	s.web.watched(t)
	if why := k.obstacle(t); !strings.Contains(why, "virtsentry-keeper.socket") {
		t.Errorf("with no keeper, the obstacle is %q", why)
	}
	k.start(t, false)
	if why := k.obstacle(t); !strings.Contains(why, "guest_syscalls = true in /etc/virtsentry/keeper.toml") {
		t.Errorf("where the keeper may not, the obstacle is %q", why)
	}
	k.start(t, true)
	if why := k.obstacle(t); why != "" {
		t.Fatalf("the obstacle is %q", why)
	}
	visits := k.visit(t)
	begin := time.Now()
	t.Run("look", k.testLook)
	t.Run("somebody else", k.testSomebodyElse)
	t.Run("kill", k.testKill)
	visits.end(t)
	for _, c := range s.heard.changes() {
		if c.UUID == s.web.uuid && c.Since.After(begin) && c.State == "paused" {
			t.Errorf("the guest was said to be paused: %+v", c)
		}
	}
	t.Run("pause", k.testPause)
	s.uncrashed(t)
}

// guestKeeper is a keeper of the lab's guest.
type guestKeeper struct {
	*stack
	keeper *exec.Cmd
}

// start starts a keeper anew that may, or may not, look at guests.
func (k *guestKeeper) start(t *testing.T, allowed bool) {
	t.Helper()
	if k.keeper == nil {
		k.build(t, "virtsentry-keeper", "-race")
		t.Cleanup(func() { k.stop(t) })
	} else {
		k.stop(t)
	}
	config := "guest_syscalls = " + strconv.FormatBool(allowed) + "\nuri = " + strconv.Quote(k.lab.URI()) + "\n"
	if err := os.WriteFile(k.file("keeper.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(k.file("keeper.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	k.keeper = exec.Command(k.file("virtsentry-keeper"), "--socket", k.file("keeper.sock"), "--config", k.file("keeper.toml"), "--run-dir", k.file("notes"))
	k.keeper.Stderr = log
	if err := k.keeper.Start(); err != nil {
		t.Fatal(err)
	}
	k.within(t, "the keeper serves", func() bool {
		_, err := keeper.Ask(t.Context(), k.file("keeper.sock"), keeper.Request{})
		return errors.Is(err, keeper.ErrRefused)
	})
}

func (k *guestKeeper) stop(t *testing.T) {
	if k.keeper == nil {
		return
	}
	_ = k.keeper.Process.Signal(syscall.SIGTERM)
	_ = k.keeper.Wait()
	k.keeper = nil
	if text, _ := os.ReadFile(k.file("keeper.log")); t.Failed() || strings.Contains(string(text), "DATA RACE") {
		t.Errorf("the keeper's log:\n%s", text)
	}
}

// obstacle is why the guest's system calls cannot be looked at.
func (k *guestKeeper) obstacle(t *testing.T) string {
	t.Helper()
	o, err := k.control().ActionOptions(t.Context(), k.web.uuid)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range o.Options {
		if x.Name == actions.GuestCalls {
			t.Logf("%s: %s; why not: %q; price %+v", x.Name, x.Words, x.WhyNot, x.Price)
			return x.WhyNot
		}
	}
	t.Fatalf("there is no action %s", actions.GuestCalls)
	return ""
}

// visits are requests to the guest's web service, one each fifth of a second.
type visits struct {
	stop    context.CancelFunc
	going   sync.WaitGroup
	all     int
	failed  []error
	slowest time.Duration
}

func (k *guestKeeper) visit(t *testing.T) *visits {
	t.Helper()
	g, err := k.lab.Guest("web")
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: k.lab.DialContext, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	ctx, stop := context.WithCancel(t.Context())
	v := &visits{stop: stop}
	v.going.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			begin := time.Now()
			answer, err := client.Get("http://" + g.Addr.String() + "/") //nolint:noctx // it has a limit of its own, and is to come to its end
			if err == nil {
				if answer.StatusCode != http.StatusOK {
					err = errors.New(answer.Status)
				}
				_ = answer.Body.Close()
			}
			if v.all++; err != nil {
				v.failed = append(v.failed, err)
			}
			v.slowest = max(v.slowest, time.Since(begin))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { stop(); v.going.Wait() })
	return v
}

func (v *visits) end(t *testing.T) {
	t.Helper()
	v.stop()
	v.going.Wait()
	t.Logf("%d requests to the web service, the slowest took %v", v.all, v.slowest.Round(time.Millisecond))
	if v.all < 20 || len(v.failed) > 0 {
		t.Errorf("%d of %d requests have failed: %v", len(v.failed), v.all, v.failed)
	}
}

// letGo waits until the guest has no stub and runs, and no note is left; it checks that this comes soon.
func (k *guestKeeper) letGo(t *testing.T) {
	t.Helper()
	begin := time.Now()
	k.within(t, "the guest is let go", func() bool {
		stubs, err := k.client.Stubs(k.web.uuid)
		state, stateErr := k.client.RunState(k.web.uuid)
		left, globErr := filepath.Glob(k.file("notes/*"))
		return errors.Join(err, stateErr, globErr) == nil && len(stubs) == 0 && state == "running" && len(left) == 0
	})
	took := time.Since(begin)
	t.Logf("the guest runs, with nothing left, after %v", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("that took %v", took)
	}
}

// testLook: the action counts known calls, its price is known before and measured, and what the guest does meanwhile is not judged.
func (k *guestKeeper) testLook(t *testing.T) {
	a := k.web.lookAt(t, 8, actions.GuestCalls)
	if !a.Price.Known || a.Price.High <= 0 || !strings.Contains(a.Why, "not judged meanwhile") {
		t.Errorf("%+v", a)
	}
	k.within(t, "it is said that the guest is held up", func() bool {
		d, ok := k.web.status(t)
		return ok && d.Reason != nil && d.Reason.Code == "held-up"
	})
	k.within(t, "the action has ended by itself", func() bool {
		got, err := k.control().Action(t.Context(), a.ID)
		if err == nil {
			a = got
		}
		return err == nil && a.Over()
	})
	t.Logf("%d units, %d calls of %d kinds; predicted %+v, measured %+v", a.Units, a.Hits, len(a.Totals), a.Price, a.Measured)
	for _, total := range a.Totals[:min(12, len(a.Totals))] {
		t.Logf("%d %s: %s", total.Hits, total.Feature, total.Words)
	}
	units, err := k.control().ActionUnits(t.Context(), a.ID)
	var events []control.ActionEvent
	for _, u := range units {
		events = append(events, u.Events...)
	}
	if err != nil || len(events) < 10 || events[0].At.Before(a.Started.Add(-2*time.Second)) || events[len(events)-1].At.After(a.Until.Add(time.Second)) {
		t.Errorf("%d calls one by one, %v", len(events), err)
	}
	for _, e := range events[:min(8, len(events))] {
		t.Logf("%s %s", e.At.Format(time.StampMicro), e.What)
	}
	// What a web service does all the time; of what it does rarely, samples may show nothing.
	usual := []string{"accept", "accept4", "clock_gettime", "close", "epoll_wait", "futex", "gettimeofday", "newfstatat", "openat", "poll", "read", "recvfrom", "sendto", "write", "writev"}
	known := map[string]bool{}
	for _, total := range a.Totals {
		name := total.Feature[strings.LastIndex(total.Feature, ":")+1:]
		if slices.Contains(usual, name) {
			known[name] = true
		}
		if _, err := strconv.Atoi(name); err == nil {
			t.Errorf("a call of Linux has no name: %+v", total)
		}
	}
	if a.Code != control.EndedTime || a.Units < 3 || !a.Measured.Known || len(known) < 3 {
		t.Errorf("%+v: calls %v", a, known)
	}
	k.letGo(t)
	for _, u := range k.heard.since(k.web.uuid, a.Started.Add(2*time.Second)) {
		if end(u).Before(a.Until) && u.Judged {
			t.Errorf("a unit was judged: %+v", u)
		}
	}
	d, _ := k.web.status(t)
	if d.Ledger.Reasons["held-up"] < 6 {
		t.Errorf("%v s are accounted for as held up", d.Ledger.Reasons["held-up"])
	}
}

// testSomebodyElse: a keeper that the daemon knows nothing of stops the guest. It is not paused, and its state changes twice at most.
func (k *guestKeeper) testSomebodyElse(t *testing.T) {
	k.within(t, "it is not held up any more", func() bool {
		d, ok := k.web.status(t)
		return ok && (d.Reason == nil || d.Reason.Code != "held-up")
	})
	begin := time.Now()
	trace, err := keeper.Ask(t.Context(), k.file("keeper.sock"), keeper.Request{UUID: k.web.uuid, Seconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = trace.Close() }()
	held := false
	for time.Since(begin) < 9*time.Second {
		if _, err := trace.Next(); err != nil {
			t.Fatal(err)
		}
		d, ok := k.web.status(t)
		held = held || ok && d.Reason != nil && d.Reason.Code == "held-up"
	}
	_ = trace.Close()
	if !held {
		t.Error("it is not said that the guest is held up")
	}
	changes := 0
	for _, c := range k.heard.changes() {
		if c.UUID == k.web.uuid && c.Since.After(begin) {
			changes++
		}
	}
	if changes > 2 {
		t.Errorf("the state has changed %d times", changes)
	}
	k.letGo(t)
}

// testKill: a daemon that is killed leaves a guest that runs.
func (k *guestKeeper) testKill(t *testing.T) {
	pid := k.web.pid(t)
	k.web.lookAt(t, 300, actions.GuestCalls)
	k.within(t, "the stub is open", func() bool {
		stubs, err := k.client.Stubs(k.web.uuid)
		return err == nil && len(stubs) == 1
	})
	_ = k.daemon.Process.Kill()
	_ = k.daemon.Wait()
	k.daemon = nil
	k.letGo(t)
	if k.web.pid(t) != pid {
		t.Error("the guest does not run on")
	}
	k.startDaemon(t)
	k.web.watched(t)
}

// testPause: an operator's pause during a look ends it, and is seen.
func (k *guestKeeper) testPause(t *testing.T) {
	a := k.web.lookAt(t, 300, actions.GuestCalls)
	// libvirt does nothing where it believes the guest to be paused already, as it is for moments: the operator tries again.
	k.within(t, "the guest is paused", func() (paused bool) {
		k.web.domain(t, func(d *golibvirt.Domain) error {
			if refused := d.Suspend(); refused == nil {
				state, reason, err := d.GetState()
				paused = state == golibvirt.DOMAIN_PAUSED && golibvirt.DomainPausedReason(reason) == golibvirt.DOMAIN_PAUSED_USER
				return err
			}
			return nil
		})
		return paused
	})
	event := time.Now()
	k.web.await(t, "paused")
	t.Logf("paused is said %v after that", time.Since(event).Round(time.Millisecond))
	k.within(t, "the action has ended", func() bool {
		got, err := k.control().Action(t.Context(), a.ID)
		if err == nil {
			a = got
		}
		return err == nil && a.Over()
	})
	if a.Code != control.EndedFailed || !strings.Contains(a.Why, keeper.ReasonPaused) {
		t.Errorf("it has ended by %s: %s", a.Code, a.Why)
	}
	k.web.domain(t, (*golibvirt.Domain).Resume)
	k.within(t, "it is not paused any more", func() bool {
		d, ok := k.web.status(t)
		return ok && d.State != "paused"
	})
	k.letGo(t)
}
