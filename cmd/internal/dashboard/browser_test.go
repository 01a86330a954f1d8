package dashboard

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/dashboard/chromium"
)

// open starts a Chromium that shows the page of a backend.
func open(t *testing.T, f *fake, changes bool) browser {
	t.Helper()
	server := httptest.NewServer(Handler(f, config.Dashboard{LocalChanges: changes}))
	t.Cleanup(func() {
		server.CloseClientConnections() // the stream of news
		server.Close()
	})
	return browser{chromium.Open(t, server.URL)}
}

// browser is a page with what many tests do.
type browser struct{ *chromium.Page }

const rowsShown = `document.querySelectorAll("#domains tbody tr").length`

// All pages, of one domain and of 200, in light and dark.
func TestPagesInChromium(t *testing.T) {
	for _, n := range []int{1, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := newFake(n)
			b := open(t, f, true)
			for _, scheme := range []string{"light", "dark"} {
				name := fmt.Sprintf("-%d-%s", n, scheme)
				began := time.Now()
				b.Visit("#/", scheme)
				b.Until(fmt.Sprintf("%s === %d", rowsShown, n))
				t.Logf("%d domains shown after %v", n, time.Since(began).Round(time.Millisecond))
				b.Until(`document.getElementById("live").className === "on"`)
				b.Shot("list"+name, false)

				began = time.Now()
				b.Visit("#/domain/"+f.domains[0].UUID, scheme)
				b.Until(`document.querySelectorAll(".plot canvas").length === 2 && document.querySelector(".heat").width > 300`)
				t.Logf("a domain shown after %v", time.Since(began).Round(time.Millisecond))
				b.Shot("domain"+name, true)
				b.JS(`[...document.querySelectorAll(".chips button")].find(x => x.textContent === "24 h").click()`)
				b.Shot("day"+name, false)

				b.Visit("#/domain/"+f.domains[0].UUID+"/look", scheme)
				b.Until(`document.querySelectorAll("#offers tbody tr").length >= 8 && document.querySelectorAll(".run").length >= 1`)
				b.pick("kvm", "probes:block")
				b.Until(`document.querySelector("#quote.allowed") !== null`)
				b.JS(`[...document.querySelectorAll(".open-result")].at(-2).click()`)
				b.Until(`document.querySelectorAll(".look-result .plot canvas").length === 2 && document.querySelectorAll(".look-result [data-kind]").length >= 1`)
				b.JS(`document.getElementById("look").scrollIntoView()`)
				b.Shot("look"+name, true)
				b.Shot("look-view"+name, false)
				b.JS(`window.scrollTo(0, 200)`)
				b.Shot("look-line"+name, false)
				b.JS(`document.querySelector(".look-result").scrollIntoView()`)
				b.Shot("look-result"+name, false)

				b.Visit("#/incident/"+f.incidents[0].ID, scheme)
				b.Until(`document.querySelectorAll(".plot canvas").length === 2`)
				b.Shot("incident"+name, true)

				b.Visit("#/incidents", scheme)
				b.Until(`document.querySelectorAll("#incidents tbody tr").length > 0`)
				b.Shot("incidents"+name, false)
			}
			b.Fine()
		})
	}
}

// pick checks actions of the closer-look panel.
func (b browser) pick(names ...string) {
	for _, name := range names {
		b.JS(fmt.Sprintf(`document.querySelector("#offers input[value='%s']").click()`, name))
	}
}

// A closer look is reached from an incident, priced, refused, started, watched, stopped, and its results read: by clicks.
func TestLookInChromium(t *testing.T) {
	f := newFake(1)
	b := open(t, f, true)
	b.Visit("#/incident/"+f.incidents[0].ID, "light")
	b.Until(`document.getElementById("look-closer") !== null`)
	b.JS(`document.getElementById("look-closer").click()`)
	b.Until(`document.querySelectorAll("#offers tbody tr").length >= 8`)
	b.Until(`document.getElementById("budget").textContent.includes("10.0 % of its speed")`)
	b.Until(`document.getElementById("offers").textContent.includes("virtsentry-keeper does not answer")`)
	b.Until(`document.getElementById("start-look").disabled`)
	// What is too dear is refused before it is asked for, with the figures.
	b.pick("probes:all")
	b.Until(`document.querySelector("#quote.refused").textContent.includes("13.1 % (9.2 to 19.0 %)") && document.getElementById("start-look").disabled`)
	b.pick("probes:all", "kvm", "syscalls")
	b.Until(`document.querySelector("#quote.allowed").textContent.includes("kvm + syscalls for 30 s: 4.9 % (3.4 to 7.1 %)") && !document.getElementById("start-look").disabled`)
	b.JS(`(document.getElementById("look-length").value = "60", document.getElementById("look-length").dispatchEvent(new Event("change")))`)
	b.Until(`document.querySelector("#quote.allowed").textContent.includes("for 1 min 00 s")`)
	b.JS(`document.getElementById("start-look").focus()`)
	b.Do(chromedp.KeyEvent("\r"))
	// It runs, live, and can be stopped.
	b.Until(`document.querySelectorAll(".run").length === 2 && document.getElementById("running").textContent.includes("kvm + syscalls")`)
	b.Until(`[...document.querySelectorAll(".run")].at(-1).textContent.includes("s left")`)
	b.Until(`document.querySelectorAll(".look-result [data-kind=syscalls] tbody tr").length >= 12`)
	b.JS(`[...document.querySelectorAll(".run")].find(x => x.textContent.includes("kvm + syscalls")).querySelector(".stop-look").click()`)
	b.Until(`document.querySelectorAll(".run").length === 1 && document.querySelector("#past tbody tr").textContent.includes("stopped")`)
	// Another client's end is told of, too.
	f.mu.Lock()
	other := f.looks[3].ID
	f.mu.Unlock()
	if _, err := f.StopAction(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	b.Until(`document.querySelectorAll(".run").length === 0`)
	// Results: by number and thread, sorted by a click, one of them over time.
	b.JS(`[...document.querySelectorAll(".open-result")].at(-2).click()`)
	b.Until(`document.querySelector("[data-kind=exits]") !== null && document.querySelector("[data-kind=syscalls] tbody tr").textContent.includes("16ioctlvcpu")`)
	b.JS(`[...document.querySelectorAll("[data-kind=syscalls] th button")].find(x => x.textContent === "System call").click()`)
	b.Until(`document.querySelector("[data-kind=syscalls] tbody tr").textContent.includes("clock_gettime")`)
	b.JS(`document.querySelector("[data-kind=exits] button.feature").click()`)
	b.Until(`document.querySelector("[data-kind=exits] button.feature").getAttribute("aria-pressed") === "true"`)
	b.Until(`[...document.querySelectorAll(".look-result figcaption")].at(-1).textContent.includes("kvm:exit:hlt")`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.looks[len(f.looks)-1]; len(f.looks) != 5 || last.Seconds != 60 || last.Code != control.EndedStopped || !slices.Equal(last.Actions, []string{"kvm", "syscalls"}) {
		t.Errorf("%+v", f.looks)
	}
	b.Fine()
}

// Where nothing may be changed, prices are shown and nothing can be started.
func TestLookWithoutLeaveInChromium(t *testing.T) {
	f := newFake(1)
	b := open(t, f, false)
	b.Visit("#/domain/"+f.domains[0].UUID+"/look", "light")
	b.Until(`document.querySelectorAll("#offers tbody tr").length >= 8`)
	b.pick("kvm")
	b.Until(`document.querySelector("#quote.allowed").textContent.includes("2.1 %")`)
	b.Until(`document.getElementById("start-look").disabled && document.querySelector(".stop-look").disabled && document.getElementById("look-body").textContent.includes("Nothing can be started at this address")`)
	b.Fine()
}

// What is filtered, sorted and opened by keys.
func TestListByKeysInChromium(t *testing.T) {
	b := open(t, newFake(60), false)
	b.Visit("#/", "light")
	b.Until(rowsShown + " === 60")
	b.Until(`document.querySelector("#domains tbody tr .state").textContent.includes("anomalous")`)
	b.JS(`document.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true}))`) // chromedp's key would be typed into the field as well
	b.Do(chromedp.KeyEvent("mail-"))
	b.Until(rowsShown + " === 12")
	b.Do(chromedp.KeyEvent("\x1b"))
	b.Until(rowsShown + " === 60")
	b.JS(`[...document.querySelectorAll(".chips button")].find(x => x.textContent.includes("blind")).click()`)
	b.Until(rowsShown + ` > 0 && [...document.querySelectorAll("#domains tbody .state")].every(x => x.textContent.includes("blind"))`)
	b.JS(`document.activeElement.blur()`)
	b.Do(chromedp.KeyEvent("j"), chromedp.KeyEvent("\r"))
	b.Until(`location.hash.startsWith("#/domain/") && document.querySelector(".domain .head .state.blind") !== null`)
	b.Until(`document.getElementById("gaps").textContent.includes("no-trace-points")`)
	b.Fine()
}

// A span is dragged, compared, marked as normal after a look at what comes of it, and its incident labelled.
func TestSpanInChromium(t *testing.T) {
	f := newFake(1)
	b := open(t, f, true)
	b.Visit("#/domain/"+f.domains[0].UUID, "light")
	b.Until(`document.querySelectorAll(".plot canvas").length === 2`)
	b.JS(`document.querySelector(".u-over").scrollIntoView({block: "center"})`)
	box := chromium.Run(b.Page, chromedp.Evaluate[struct{ X, Y, W, H float64 }](`(r => ({X: r.x, Y: r.y, W: r.width, H: r.height}))(document.querySelector(".u-over").getBoundingClientRect())`))
	y := box.Y + box.H/2
	b.Do(chromedp.MouseEvent(chromedp.MouseMoved, box.X+0.8*box.W, y), chromedp.MouseEvent(chromedp.MousePressed, box.X+0.8*box.W, y, chromedp.ButtonLeft),
		chromedp.MouseEvent(chromedp.MouseMoved, box.X+0.9*box.W, y, chromedp.ButtonLeft), chromedp.MouseEvent(chromedp.MouseReleased, box.X+0.95*box.W, y, chromedp.ButtonLeft))
	b.Until(`document.getElementById("compare") !== null`)
	b.JS(`document.getElementById("compare").click()`)
	b.Until(`document.querySelector(".result table") !== null && document.querySelector(".result").textContent.includes("virtqueue_fill")`)
	b.Shot("span", true)
	b.JS(`document.getElementById("relearn").click()`)
	b.Until(`document.getElementById("confirm") !== null`)
	b.JS(`document.getElementById("confirm").click()`)
	b.Until(`document.querySelector(".result").textContent.includes("is in force")`)
	b.JS(`document.querySelector(".hit button").click()`)
	b.Until(`document.querySelector(".hit [role=status]").textContent === "Kept."`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.relearn) != 2 || !f.relearn[0].DryRun || f.relearn[1].DryRun || !f.relearn[0].From.Before(f.relearn[0].To) {
		t.Errorf("Relearn was asked for with %+v", f.relearn)
	}
	if got := f.labels[f.incidents[0].ID]; got != "true" {
		t.Errorf("the incident's label is %q", got)
	}
	b.Fine()
}

// On a narrow screen nothing but tables is wider than it.
func TestNarrowInChromium(t *testing.T) {
	f := newFake(20)
	b := open(t, f, true)
	b.Do(chromedp.EmulateViewport(420, 800))
	for _, page := range []struct{ hash, there string }{
		{"#/", rowsShown + " === 20"},
		{"#/domain/" + f.domains[0].UUID, `document.querySelectorAll(".plot canvas").length === 2`},
		{"#/incident/" + f.incidents[0].ID, `document.querySelectorAll(".plot canvas").length === 2`},
		{"#/domain/" + f.domains[0].UUID + "/look", `document.querySelectorAll("#offers tbody tr").length >= 8`},
	} {
		b.Visit(page.hash, "light")
		b.Until(page.there)
		b.Until(`document.documentElement.scrollWidth <= window.innerWidth`)
	}
	b.Shot("narrow", true)
	b.Visit("#/", "light")
	b.Until(rowsShown + " === 20")
	b.Shot("narrow-list", false)
	b.Fine()
}

// A host without domains, a domain and an incident that are not there, and a daemon that goes, all say so.
func TestEmptyAndErrorsInChromium(t *testing.T) {
	b := open(t, newFake(0), false)
	b.Visit("#/", "light")
	b.Until(`document.body.textContent.includes("No domain runs on this host")`)
	b.Visit("#/domain/nobody", "light")
	b.Until(`document.body.textContent.includes("does not run on this host")`)
	b.Visit("#/incident/nothing", "light")
	b.Until(`document.body.textContent.includes("no incident")`)
	b.Visit("#/incidents", "light")
	b.Until(`document.body.textContent.includes("No incident is kept")`)
	for _, at := range chromium.Run(b.Page, chromedp.Evaluate[[]string](`[...document.querySelectorAll("script,link")].map(x => x.src || x.href)`)) {
		if !strings.HasPrefix(at, b.At) {
			t.Errorf("the page loads %s", at)
		}
	}
}
