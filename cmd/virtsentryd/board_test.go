//go:build integration

package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/dashboard/chromium"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// TestIntegrationDashboard looks at a guest under load through the page of the real daemon, in a real Chromium: its state, the price of a closer look before it
// starts, the look itself, started and stopped by clicks, and what it has seen.
func TestIntegrationDashboard(t *testing.T) {
	if err := lab.CheckRoot(); err != nil {
		t.Fatal(err)
	}
	s := newStack(t, lab.Config{Dir: filepath.Join("/run", "virtsentry-lab-board"), Guest: "web", DefineOnly: true})
	tiny, err := s.lab.DefineTiny(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.web, s.tiny = s.guest(t, tiny.Name), tiny
	h := &probeHelper{stack: s}
	h.start(t)
	defer h.end()
	address := freeAddress(t)
	s.sources = fmt.Sprintf("[actions]\noverhead_percent = 90.0\nallow_unpriced = true\n[dashboard]\nlisten = %q\nlocal_changes = true\n", address)
	s.prices = s.file("cost.json")
	calibrate(t, s.prices)
	s.web.domain(t, (*golibvirt.Domain).Create)
	s.startDaemon(t)
	s.web.attached(t)
	ctx, unload := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() { s.fetch(ctx, t, tiny, 2, patience, 10*time.Millisecond) })
	defer load.Wait()
	defer unload()

	name := s.priced(t)
	b := chromium.Open(t, "http://"+address)
	b.Visit("#/", "light")
	b.Until(`document.querySelector("#domains tbody th a").textContent === "` + tiny.Name + `" && document.getElementById("live").className === "on"`)
	b.Until(`/starting|learning|normal/.test(document.querySelector("#domains tbody .state").textContent)`)
	b.Shot("real-list", false)
	b.Click("#domains tbody th a")
	b.Until(`document.querySelectorAll(".plot canvas").length === 2`)
	b.Click("#open-look")
	box := `#offers input[value="` + name + `"]`
	b.Until(`document.querySelector('` + box + `') !== null`)
	b.Click(box)
	b.Until(`document.querySelector("#quote.allowed") !== null && !document.getElementById("start-look").disabled`)
	b.JS(`(document.getElementById("look-length").value = "10", document.getElementById("look-length").dispatchEvent(new Event("change")))`)
	b.Until(`document.querySelector("#quote.allowed").textContent.includes("for 10 s")`)
	t.Logf("before the click: %s", b.Text("#quote"))
	if quote := b.Text("#quote"); !strings.Contains(quote, "%) of its speed") || !strings.Contains(quote, "budget 90.0 %") {
		t.Errorf("the page says %q", quote)
	}
	b.Click("#start-look")
	b.Until(`document.querySelector(".run") !== null && document.querySelector(".run").textContent.includes("` + name + `")`)
	b.Until(`/\d s left/.test(document.querySelector(".run").textContent)`)
	b.Until(`document.querySelectorAll(".look-result tbody tr").length > 0`)
	t.Logf("while it runs: %s", b.Text(".run"))
	b.Shot("real-running", true)
	// It ends by itself, and its result is there.
	b.Until(`document.querySelector(".run") === null && document.querySelector("#past tbody tr").textContent.includes("time was up")`)
	b.Until(`document.querySelector(".look-result .facts").textContent.includes("ended (time-up)")`)
	b.Until(`document.querySelectorAll(".look-result .plot canvas").length === 2`)
	t.Logf("it ended: %s", b.Text("#past tbody tr"))
	t.Logf("seen most: %s", b.Text(".look-result [data-kind] tbody tr"))
	b.Shot("real-result", true)

	// Another one is stopped by a click. The page may not have been told yet that the action can be chosen again.
	b.Until(`!document.querySelector('` + box + `').disabled`)
	b.JS(`document.querySelector('` + box + `').checked || document.querySelector('` + box + `').click()`)
	b.Until(`document.querySelector("#quote.allowed") !== null && !document.getElementById("start-look").disabled`)
	b.Click("#start-look")
	b.Until(`document.querySelector(".run .stop-look") !== null && /\d s left/.test(document.querySelector(".run").textContent)`)
	b.Click(".run .stop-look")
	b.Until(`document.querySelector(".run") === null && document.querySelector("#past tbody tr").textContent.includes("stopped")`)
	b.Fine()

	list, err := s.control().ListActions(t.Context())
	if err != nil || len(list) != 2 || list[0].Code != control.EndedStopped || list[1].Code != control.EndedTime || list[1].Hits == 0 || !list[1].Price.Known {
		t.Errorf("%+v, %v", list, err)
	}
	if looks := s.looks(t); len(looks) > 0 {
		t.Errorf("sessions of actions are left: %v", looks)
	}
}

// freeAddress is one of the loopback's on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// priced waits until the price of an action of the guest is known that can run on this host, system calls first: its rates of events must be.
func (s *stack) priced(t *testing.T) (name string) {
	t.Helper()
	s.within(t, "a price is known", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		o, err := s.control().ActionOptions(ctx, s.web.uuid)
		if err != nil {
			return false
		}
		for _, want := range []string{actions.Syscalls, actions.AllProbes} {
			i := slices.IndexFunc(o.Options, func(a control.ActionOption) bool { return a.Name == want })
			if i >= 0 && o.Options[i].WhyNot == "" && o.Options[i].Price.Known {
				name = want
				return true
			}
		}
		return false
	})
	return name
}
