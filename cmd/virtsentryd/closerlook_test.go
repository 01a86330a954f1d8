//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
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
	b.Click(`#incidents a[href="#/incident/` + incident.ID + `"]`)
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
	a := list[0]
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
