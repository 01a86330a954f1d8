//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/dashboard/chromium"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// closerLook says, in the environment, that TestCloserLook is to run: make closer-look does.
const closerLook = "VIRTSENTRY_CLOSER_LOOK"

const (
	// closerUnits are learnt: some minutes of visitors.
	closerUnits = 90
	// closerSlow bounds the attack, which ends with the test.
	closerSlow = 10 * time.Minute
)

// TestCloserLook is what an operator does: a guest with a web service is attacked by slow HTTP, which raises an incident; from its page, a closer look is begun with the
// host's and the guest's own system calls for half a minute, by a price that is told before. All of it ends by itself, and the web service answers throughout.
func TestCloserLook(t *testing.T) {
	if os.Getenv(closerLook) == "" {
		t.Skipf("%s is not set: make closer-look runs it", closerLook)
	}
	s := newStack(t, lab.Config{Dir: "/run/virtsentry-lab-closer", Guest: "web", Variant: "smp2"})
	s.web, s.units, s.flags = s.guest(t, "web"), closerUnits, []string{}
	h := &probeHelper{stack: s}
	h.start(t)
	defer h.end()
	k := &guestKeeper{stack: s}
	k.start(t, true)
	address := freeAddress(t)
	s.sources = fmt.Sprintf("[actions]\noverhead_percent = 90.0\nguest_syscalls = true\nkeeper_socket = %q\n[dashboard]\nlisten = %q\nlocal_changes = true\n", s.file("keeper.sock"), address)
	s.prices = s.file("cost.json")
	calibrate(t, s.prices)

	ctx, end := context.WithCancel(t.Context())
	var going sync.WaitGroup
	defer func() { end(); going.Wait() }()
	going.Go(func() {
		if _, err := s.lab.Load(ctx, lab.Load{Guest: "web"}); err != nil {
			t.Errorf("normal load: %v", err)
		}
	})
	visits := k.visit(t)
	s.startDaemon(t)
	for range 4 { // patience is for 90 units not enough
		if d, ok := s.web.status(t); ok && d.Profile {
			break
		}
		time.Sleep(closerUnits * time.Second / 2)
	}
	s.web.await(t, "normal")
	b := chromium.Open(t, "http://"+address)
	b.Visit("#/", "light")
	b.Until(`document.getElementById("live").className === "on" && /normal/.test(document.querySelector("#domains tbody .state").textContent)`)

	begin := time.Now()
	going.Go(func() {
		_ = s.lab.Attack(ctx, lab.Attack{Name: "slowhttp", Guest: "web", Side: lab.Target, For: closerSlow}) // it is cut short
	})
	var incident control.IncidentRecord
	s.within(t, "the attack raises an incident", func() bool {
		list, err := s.control().ListIncidents(t.Context(), control.IncidentFilter{Domain: s.web.uuid, Kind: "anomaly", From: begin})
		if err == nil && len(list) > 0 {
			incident = list[0]
		}
		return incident.ID != ""
	})
	t.Logf("%.1f s after the attack was begun: %s", time.Since(begin).Seconds(), incident.Text)

	b.Visit("#/incidents", "light")
	listed := `#incidents a[href="#/incident/` + incident.ID + `"]`
	b.Until("document.querySelector('" + listed + "') !== null")
	b.Click(listed)
	b.Until(`document.getElementById("look-closer") !== null`)
	b.Shot("closer-incident", true)
	b.Click("#look-closer")
	names := []string{actions.Syscalls, actions.GuestCalls}
	for _, name := range names {
		box := `#offers input[value="` + name + `"]`
		b.Until(`document.querySelector('` + box + `') !== null`)
		b.Click(box)
	}
	b.JS(`(document.getElementById("look-length").value = "30", document.getElementById("look-length").dispatchEvent(new Event("change")))`)
	b.Until(`document.querySelector("#quote.allowed") !== null && document.querySelector("#quote.allowed").textContent.includes("for 30 s") && !document.getElementById("start-look").disabled`)
	t.Logf("before the click: %s", b.Text("#quote"))
	b.Shot("closer-price", true)
	b.Click("#start-look")
	b.Until(`document.querySelector(".run") !== null && /\d s left/.test(document.querySelector(".run").textContent)`)
	b.Until(`document.querySelectorAll(".look-result tbody tr").length > 0`)
	t.Logf("while it runs: %s", b.Text(".run"))
	b.Shot("closer-running", true)
	b.Until(`document.querySelector(".run") === null && document.querySelector("#past tbody tr").textContent.includes("time was up")`)
	b.Until(`document.querySelector(".look-result .facts").textContent.includes("ended (time-up)")`)
	t.Logf("it ended: %s", b.Text("#past tbody tr"))
	b.Shot("closer-result", true)
	b.Fine()

	list, err := s.control().ListActions(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	a, err := s.control().Action(t.Context(), list[0].ID) // a list has no totals
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("predicted %.1f %% (%.1f to %.1f), measured %.1f %% (%.1f to %.1f); %d units", 100*a.Price.Slowdown, 100*a.Price.Low, 100*a.Price.High,
		100*a.Measured.Slowdown, 100*a.Measured.Low, 100*a.Measured.High, a.Units)
	kinds := map[string]uint64{}
	for _, total := range a.Totals {
		kinds[strings.SplitN(total.Feature, ":", 2)[0]] += total.Hits
	}
	t.Logf("hits: %v", kinds)
	if a.Code != control.EndedTime || !a.Price.Known || !a.Measured.Known || slices.ContainsFunc(names, func(n string) bool { return kinds[n] == 0 }) {
		t.Errorf("%+v", a)
	}
	k.letGo(t)
	if looks := s.looks(t); len(looks) > 0 {
		t.Errorf("sessions of actions are left: %v", looks)
	}
	end()
	going.Wait()
	visits.end(t)
	s.uncrashed(t)
}

// TestCloserLookKilled kills the daemon during each action that this host can run. Within five seconds nothing of the action is left: no session, no eBPF link and no
// socket of the helper, no stub and no note of the keeper. The guest runs on.
func TestCloserLookKilled(t *testing.T) {
	if os.Getenv(closerLook) == "" {
		t.Skipf("%s is not set: make closer-look runs it", closerLook)
	}
	s := newStack(t, lab.Config{Dir: "/run/virtsentry-lab-closer", Guest: "web", Variant: "smp2"})
	s.web, s.flags = s.guest(t, "web"), []string{}
	h := &probeHelper{stack: s}
	h.start(t)
	defer h.end()
	k := &guestKeeper{stack: s}
	k.start(t, true)
	s.sources = fmt.Sprintf("[actions]\nguest_syscalls = true\nkeeper_socket = %q\n", s.file("keeper.sock"))
	visits := k.visit(t)
	idle := h.open(t)
	s.startDaemon(t)
	s.web.watched(t)
	options, err := s.control().ActionOptions(t.Context(), s.web.uuid)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options.Options {
		if o.WhyNot != "" {
			t.Logf("%s cannot be run here: %s", o.Name, o.WhyNot)
			continue
		}
		t.Run(o.Name, func(t *testing.T) { k.killDuring(t, h, o.Name, idle) })
	}
	visits.end(t)
	s.uncrashed(t)
}

// killDuring kills the daemon during an action. idle is how many files the helper has open when it does nothing.
func (k *guestKeeper) killDuring(t *testing.T, h *probeHelper, name string, idle int) {
	pid := k.web.pid(t)
	stubs := func() int {
		list, err := k.client.Stubs(k.web.uuid)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	a := k.web.lookAt(t, 300, name)
	k.within(t, "the action sees something", func() bool {
		seen, err := k.control().Action(t.Context(), a.ID)
		return err == nil && seen.Units > 0
	})
	if sessions, files, stubs := len(k.looks(t)), h.open(t)-idle, stubs(); sessions+files+stubs == 0 {
		t.Error("nothing is seen of the action while it runs")
	} else {
		t.Logf("while it runs: sessions %d, files of the helper %d, stubs %d", sessions, files, stubs)
	}
	_ = k.daemon.Process.Kill()
	_ = k.daemon.Wait()
	k.daemon = nil
	killed := time.Now()
	k.within(t, "nothing of the action is left", func() bool {
		left, err := filepath.Glob(k.file("traces/virtsentryd-look-*"))
		return err == nil && len(left) == 0 && len(k.looks(t)) == 0 && h.open(t) <= idle
	})
	k.letGo(t)
	took := time.Since(killed)
	t.Logf("nothing is left after %v", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("that took %v", took)
	}
	if k.web.pid(t) != pid {
		t.Error("the guest does not run on")
	}
	k.startDaemon(t)
	k.web.watched(t)
}
