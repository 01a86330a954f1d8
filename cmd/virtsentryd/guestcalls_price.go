package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// What a guest loses of its speed that is stopped for a share of the time: an idle one next to nothing beyond that, as it catches up, and one that does nothing but make
// system calls several times the share, as each stop begins and ends with work of QEMU's and the host's that the keeper does not see, and the guest's caches are cold then.
// Measured under TCG with a guest of two virtual CPUs, one of which made calls without a pause: stopped for 10 % of the time, 31 to 47 times a second, it lost 27 to 48 % of its
// calls (four runs, with other work on the host: packaging/go test -count=1 -tags integration -v -run 'TestIntegrationKeeper/^(busy_guest)$' ./cmd/virtsentry-keeper).
const (
	guestCallsLoss = 4
	guestCallsMost = 6
)

// guestCallsPrice is what a guest loses that is stopped for a share of the time, 0 to 1, of which it will lose least at least.
func guestCallsPrice(share, least float64, why string) control.ActionPrice {
	return control.ActionPrice{Known: true, Slowdown: min(1, guestCallsLoss*share), Low: min(1, least), High: min(1, guestCallsMost*share), Why: why}
}

// predictGuestCalls is the price of a look at a guest's system calls before it begins: nobody knows how many there will be, so it is that of the limits.
func predictGuestCalls() control.ActionPrice {
	l := guestcalls.DefaultLimits
	return guestCallsPrice(l.Share, 0, fmt.Sprintf(
		"A guest that makes many system calls is stopped for %.0f %% of the time and up to %.0f times a second, and loses several times that; one that makes few, next to nothing.",
		100*l.Share, l.Stops))
}

// withoutGuestCalls are the actions whose price follows from the calibration, and whether there was another one.
func withoutGuestCalls(names []string) (rest []string, has bool) {
	rest = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == actions.GuestCalls })
	return rest, len(rest) < len(names)
}

// together is the price of two things at once: what one of them leaves, the other one takes its part of.
func together(a, b control.ActionPrice) control.ActionPrice {
	switch {
	case !a.Known:
		return a
	case !b.Known:
		return b
	}
	both := func(x, y float64) float64 { return 1 - (1-x)*(1-y) }
	return control.ActionPrice{Known: true, Slowdown: both(a.Slowdown, b.Slowdown), Low: both(a.Low, b.Low), High: both(a.High, b.High), Why: join(a.Why, b.Why)}
}

// join puts sentences one after the other.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}

// heldGauge measures a look at a guest's system calls by the time in which the guest was stopped for it, and what runs in the same action by another gauge; nil: nothing does.
type heldGauge struct {
	other         actions.Gauge
	last          control.ActionPrice // of the other
	held, seconds float64
	observed      map[int64]float64 // seconds, by place on the grid: each source has units of its own
}

// Measure is actions.Gauge's.
func (g *heldGauge) Measure(e actions.Evidence) control.ActionPrice {
	g.held += e.Held
	if g.observed == nil {
		g.observed = map[int64]float64{}
	}
	if place := e.Start.UnixNano() / int64(unit.Width); e.Seconds > g.observed[place] {
		g.seconds += e.Seconds - g.observed[place]
		g.observed[place] = e.Seconds
	}
	if g.other != nil && !ofGuestCalls(e) {
		g.last = g.other.Measure(e)
	}
	if g.seconds <= 0 {
		return control.ActionPrice{Why: "no time was observed"}
	}
	share := min(1, g.held/g.seconds)
	p := guestCallsPrice(share, share, fmt.Sprintf("Of the time in which the guest was stopped for it, %v of %v.", asSeconds(g.held), asSeconds(g.seconds)))
	if g.other == nil {
		return p
	}
	return together(p, g.last)
}

// ofGuestCalls says whether what was seen are a guest's system calls.
func ofGuestCalls(e actions.Evidence) bool {
	for feature := range e.Counts {
		return strings.HasPrefix(feature, actions.GuestCalls+":")
	}
	return e.Held > 0
}

func asSeconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond)
}

// Close is actions.Gauge's.
func (g *heldGauge) Close() {
	if g.other != nil {
		g.other.Close()
	}
}
