package dashboard

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// stepLimit bounds each step of a browser. The stream of news never ends, so nothing waits for the network to be idle.
const stepLimit = 40 * time.Second

// shots is a directory for pictures of what the tests see, for people to look at; without it none are taken.
const shots = "VIRTSENTRY_SHOTS"

// browser is one page of a Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
	at  string // of the daemon's page

	mu  sync.Mutex // guards bad
	bad []string   // what the page threw or complained of
}

// open starts a Chromium that shows the page of a backend.
func open(t *testing.T, f *fake, changes bool) *browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium (packaging/install packaging/deps)")
	}
	server := httptest.NewServer(Handler(f, config.Dashboard{LocalChanges: changes}))
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(1360, 900), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closePage := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		closePage()
		end()
		server.CloseClientConnections() // the stream of news
		server.Close()
	})
	b := &browser{t: t, ctx: ctx, at: server.URL}
	b.first()
	return b
}

// first starts the browser. Its life is that of the first context it is used with, so that one has no limit of its own.
func (b *browser) first() {
	b.t.Helper()
	done := make(chan error, 1)
	go func() {
		done <- chromedp.Listen(b.ctx, func(event any) {
			switch e := event.(type) {
			case *runtime.EventExceptionThrown:
				b.note(fmt.Sprintf("%s: %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
			case *runtime.EventConsoleAPICalled:
				if e.Type == runtime.ConsoleAPICalledTypeError {
					b.note(fmt.Sprint(e.Args))
				}
			}
		})
	}()
	select {
	case err := <-done:
		if err != nil {
			b.t.Fatal("start chromium: ", err)
		}
	case <-time.After(stepLimit):
		b.t.Fatal("chromium does not start")
	}
}

func (b *browser) note(complaint string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = append(b.bad, complaint)
}

func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.bad)
}

// try takes a step, with a limit.
func try[T any](b *browser, step chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, stepLimit)
	defer cancel()
	return chromedp.Run(ctx, step)
}

// run takes a step, which must not fail.
func run[T any](b *browser, step chromedp.Action[T]) T {
	b.t.Helper()
	v, err := try(b, step)
	if err != nil {
		b.t.Fatalf("%v (the page said %q)", err, b.complaints())
	}
	return v
}

// do takes steps, each with a limit.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for _, s := range steps {
		run(b, s)
	}
}

// js runs a script, whose value is of no interest.
func (b *browser) js(script string) {
	b.t.Helper()
	run(b, chromedp.Evaluate[bool]("("+script+", true)"))
}

// visit goes to a part of the page, in light or dark. It does not wait for it.
func (b *browser) visit(hash, scheme string) {
	b.t.Helper()
	b.do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	})
	b.js(fmt.Sprintf("location.href = %q", b.at+"/"+hash))
}

// until waits until an expression is true. The page's policy forbids what chromedp.Poll does.
func (b *browser) until(expression string) {
	b.t.Helper()
	step := chromedp.Evaluate[bool]("(() => { try { return Boolean(" + expression + "); } catch { return false; } })()")
	for limit := time.Now().Add(stepLimit); ; {
		// The page may be on its way to another one.
		switch is, err := try(b, step); {
		case err != nil && !strings.Contains(err.Error(), "navigated"):
			b.t.Fatalf("%v (the page said %q)", err, b.complaints())
		case is:
			return
		}
		if time.Now().After(limit) {
			b.t.Fatalf("it did not come: %s (the page said %q); it shows %.600s", expression, b.complaints(), run(b, chromedp.Evaluate[string]("document.body.innerText")))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shot takes a picture, where somebody wants to look at it.
func (b *browser) shot(name string, whole bool) {
	b.t.Helper()
	dir := os.Getenv(shots)
	if dir == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	b.do(chromedp.Sleep(300 * time.Millisecond))
	picture := run(b, take)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// fine fails if the page has thrown or complained.
func (b *browser) fine() {
	b.t.Helper()
	if bad := b.complaints(); len(bad) > 0 {
		b.t.Errorf("the page said %q", bad)
	}
}

const rowsShown = `document.querySelectorAll("#domains tbody tr").length`

// All pages, of one domain and of 200, in light and dark.
func TestPagesInChromium(t *testing.T) {
	for _, n := range []int{1, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := newFake(n)
			b := open(t, f, true)
			b.do(chromedp.Navigate("about:blank"))
			for _, scheme := range []string{"light", "dark"} {
				name := fmt.Sprintf("-%d-%s", n, scheme)
				began := time.Now()
				b.visit("#/", scheme)
				b.until(fmt.Sprintf("%s === %d", rowsShown, n))
				t.Logf("%d domains shown after %v", n, time.Since(began).Round(time.Millisecond))
				b.until(`document.getElementById("live").className === "on"`)
				b.shot("list"+name, false)

				began = time.Now()
				b.visit("#/domain/"+f.domains[0].UUID, scheme)
				b.until(`document.querySelectorAll(".plot canvas").length === 2 && document.querySelector(".heat").width > 300`)
				t.Logf("a domain shown after %v", time.Since(began).Round(time.Millisecond))
				b.shot("domain"+name, true)
				b.js(`[...document.querySelectorAll(".chips button")].find(x => x.textContent === "24 h").click()`)
				b.shot("day"+name, false)

				b.visit("#/domain/"+f.domains[0].UUID+"/look", scheme)
				b.until(`document.querySelectorAll("#offers tbody tr").length >= 8 && document.querySelectorAll(".run").length >= 1`)
				b.pick("kvm", "probes:block")
				b.until(`document.querySelector("#quote.allowed") !== null`)
				b.js(`[...document.querySelectorAll(".open-result")].at(-2).click()`)
				b.until(`document.querySelectorAll(".look-result .plot canvas").length === 2 && document.querySelectorAll(".look-result [data-kind]").length >= 1`)
				b.js(`document.getElementById("look").scrollIntoView()`)
				b.shot("look"+name, true)
				b.shot("look-view"+name, false)
				b.js(`window.scrollTo(0, 200)`)
				b.shot("look-line"+name, false)
				b.js(`document.querySelector(".look-result").scrollIntoView()`)
				b.shot("look-result"+name, false)

				b.visit("#/incident/"+f.incidents[0].ID, scheme)
				b.until(`document.querySelectorAll(".plot canvas").length === 2`)
				b.shot("incident"+name, true)

				b.visit("#/incidents", scheme)
				b.until(`document.querySelectorAll("#incidents tbody tr").length > 0`)
				b.shot("incidents"+name, false)
			}
			b.fine()
		})
	}
}

// pick checks actions of the closer-look panel.
func (b *browser) pick(names ...string) {
	b.t.Helper()
	for _, name := range names {
		b.js(fmt.Sprintf(`document.querySelector("#offers input[value='%s']").click()`, name))
	}
}

// A closer look is reached from an incident, priced, refused, started, watched, stopped, and its results read: by clicks.
func TestLookInChromium(t *testing.T) {
	f := newFake(1)
	b := open(t, f, true)
	b.do(chromedp.Navigate("about:blank"))
	b.visit("#/incident/"+f.incidents[0].ID, "light")
	b.until(`document.getElementById("look-closer") !== null`)
	b.js(`document.getElementById("look-closer").click()`)
	b.until(`document.querySelectorAll("#offers tbody tr").length >= 8`)
	b.until(`document.getElementById("budget").textContent.includes("10.0 % of its speed")`)
	b.until(`document.getElementById("offers").textContent.includes("virtsentry-keeper does not answer")`)
	b.until(`document.getElementById("start-look").disabled`)
	// What is too dear is refused before it is asked for, with the figures.
	b.pick("probes:all")
	b.until(`document.querySelector("#quote.refused").textContent.includes("13.1 % (9.2 to 19.0 %)") && document.getElementById("start-look").disabled`)
	b.pick("probes:all", "kvm", "syscalls")
	b.until(`document.querySelector("#quote.allowed").textContent.includes("kvm + syscalls for 30 s: 4.9 % (3.4 to 7.1 %)") && !document.getElementById("start-look").disabled`)
	b.js(`(document.getElementById("look-length").value = "60", document.getElementById("look-length").dispatchEvent(new Event("change")))`)
	b.until(`document.querySelector("#quote.allowed").textContent.includes("for 1 min 00 s")`)
	b.js(`document.getElementById("start-look").focus()`)
	b.do(chromedp.KeyEvent("\r"))
	// It runs, live, and can be stopped.
	b.until(`document.querySelectorAll(".run").length === 2 && document.getElementById("running").textContent.includes("kvm + syscalls")`)
	b.until(`[...document.querySelectorAll(".run")].at(-1).textContent.includes("s left")`)
	b.until(`document.querySelectorAll(".look-result [data-kind=syscalls] tbody tr").length >= 12`)
	b.js(`[...document.querySelectorAll(".run")].find(x => x.textContent.includes("kvm + syscalls")).querySelector(".stop-look").click()`)
	b.until(`document.querySelectorAll(".run").length === 1 && document.querySelector("#past tbody tr").textContent.includes("stopped")`)
	// Another client's end is told of, too.
	f.mu.Lock()
	other := f.looks[3].ID
	f.mu.Unlock()
	if _, err := f.StopAction(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelectorAll(".run").length === 0`)
	// Results: by number and thread, sorted by a click, one of them over time.
	b.js(`[...document.querySelectorAll(".open-result")].at(-2).click()`)
	b.until(`document.querySelector("[data-kind=exits]") !== null && document.querySelector("[data-kind=syscalls] tbody tr").textContent.includes("16ioctlvcpu")`)
	b.js(`[...document.querySelectorAll("[data-kind=syscalls] th button")].find(x => x.textContent === "System call").click()`)
	b.until(`document.querySelector("[data-kind=syscalls] tbody tr").textContent.includes("clock_gettime")`)
	b.js(`document.querySelector("[data-kind=exits] button.feature").click()`)
	b.until(`document.querySelector("[data-kind=exits] button.feature").getAttribute("aria-pressed") === "true"`)
	b.until(`[...document.querySelectorAll(".look-result figcaption")].at(-1).textContent.includes("kvm:exit:hlt")`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.looks[len(f.looks)-1]; len(f.looks) != 5 || last.Seconds != 60 || last.Code != control.EndedStopped || !slices.Equal(last.Actions, []string{"kvm", "syscalls"}) {
		t.Errorf("%+v", f.looks)
	}
	b.fine()
}

// Where nothing may be changed, prices are shown and nothing can be started.
func TestLookWithoutLeaveInChromium(t *testing.T) {
	f := newFake(1)
	b := open(t, f, false)
	b.do(chromedp.Navigate("about:blank"))
	b.visit("#/domain/"+f.domains[0].UUID+"/look", "light")
	b.until(`document.querySelectorAll("#offers tbody tr").length >= 8`)
	b.pick("kvm")
	b.until(`document.querySelector("#quote.allowed").textContent.includes("2.1 %")`)
	b.until(`document.getElementById("start-look").disabled && document.querySelector(".stop-look").disabled && document.getElementById("look-body").textContent.includes("Nothing can be started at this address")`)
	b.fine()
}

// What is filtered, sorted and opened by keys.
func TestListByKeysInChromium(t *testing.T) {
	b := open(t, newFake(60), false)
	b.do(chromedp.Navigate("about:blank"))
	b.visit("#/", "light")
	b.until(rowsShown + " === 60")
	b.until(`document.querySelector("#domains tbody tr .state").textContent.includes("anomalous")`)
	b.js(`document.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true}))`) // chromedp's key would be typed into the field as well
	b.do(chromedp.KeyEvent("mail-"))
	b.until(rowsShown + " === 12")
	b.do(chromedp.KeyEvent("\x1b"))
	b.until(rowsShown + " === 60")
	b.js(`[...document.querySelectorAll(".chips button")].find(x => x.textContent.includes("blind")).click()`)
	b.until(rowsShown + ` > 0 && [...document.querySelectorAll("#domains tbody .state")].every(x => x.textContent.includes("blind"))`)
	b.js(`document.activeElement.blur()`)
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("\r"))
	b.until(`location.hash.startsWith("#/domain/") && document.querySelector(".domain .head .state.blind") !== null`)
	b.until(`document.getElementById("gaps").textContent.includes("no-trace-points")`)
	b.fine()
}

// A span is dragged, compared, marked as normal after a look at what comes of it, and its incident labelled.
func TestSpanInChromium(t *testing.T) {
	f := newFake(1)
	b := open(t, f, true)
	b.do(chromedp.Navigate("about:blank"))
	b.visit("#/domain/"+f.domains[0].UUID, "light")
	b.until(`document.querySelectorAll(".plot canvas").length === 2`)
	b.js(`document.querySelector(".u-over").scrollIntoView({block: "center"})`)
	box := run(b, chromedp.Evaluate[struct{ X, Y, W, H float64 }](`(r => ({X: r.x, Y: r.y, W: r.width, H: r.height}))(document.querySelector(".u-over").getBoundingClientRect())`))
	y := box.Y + box.H/2
	b.do(chromedp.MouseEvent(chromedp.MouseMoved, box.X+0.8*box.W, y), chromedp.MouseEvent(chromedp.MousePressed, box.X+0.8*box.W, y, chromedp.ButtonLeft),
		chromedp.MouseEvent(chromedp.MouseMoved, box.X+0.9*box.W, y, chromedp.ButtonLeft), chromedp.MouseEvent(chromedp.MouseReleased, box.X+0.95*box.W, y, chromedp.ButtonLeft))
	b.until(`document.getElementById("compare") !== null`)
	b.js(`document.getElementById("compare").click()`)
	b.until(`document.querySelector(".result table") !== null && document.querySelector(".result").textContent.includes("virtqueue_fill")`)
	b.shot("span", true)
	b.js(`document.getElementById("relearn").click()`)
	b.until(`document.getElementById("confirm") !== null`)
	b.js(`document.getElementById("confirm").click()`)
	b.until(`document.querySelector(".result").textContent.includes("is in force")`)
	b.js(`document.querySelector(".hit button").click()`)
	b.until(`document.querySelector(".hit [role=status]").textContent === "Kept."`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.relearn) != 2 || !f.relearn[0].DryRun || f.relearn[1].DryRun || !f.relearn[0].From.Before(f.relearn[0].To) {
		t.Errorf("Relearn was asked for with %+v", f.relearn)
	}
	if got := f.labels[f.incidents[0].ID]; got != "true" {
		t.Errorf("the incident's label is %q", got)
	}
	b.fine()
}

// On a narrow screen nothing but tables is wider than it.
func TestNarrowInChromium(t *testing.T) {
	f := newFake(20)
	b := open(t, f, true)
	b.do(chromedp.Navigate("about:blank"), chromedp.EmulateViewport(420, 800))
	for _, page := range []struct{ hash, there string }{
		{"#/", rowsShown + " === 20"},
		{"#/domain/" + f.domains[0].UUID, `document.querySelectorAll(".plot canvas").length === 2`},
		{"#/incident/" + f.incidents[0].ID, `document.querySelectorAll(".plot canvas").length === 2`},
		{"#/domain/" + f.domains[0].UUID + "/look", `document.querySelectorAll("#offers tbody tr").length >= 8`},
	} {
		b.visit(page.hash, "light")
		b.until(page.there)
		b.until(`document.documentElement.scrollWidth <= window.innerWidth`)
	}
	b.shot("narrow", true)
	b.visit("#/", "light")
	b.until(rowsShown + " === 20")
	b.shot("narrow-list", false)
	b.fine()
}

// A host without domains, a domain and an incident that are not there, and a daemon that goes, all say so.
func TestEmptyAndErrorsInChromium(t *testing.T) {
	b := open(t, newFake(0), false)
	b.do(chromedp.Navigate("about:blank"))
	b.visit("#/", "light")
	b.until(`document.body.textContent.includes("No domain runs on this host")`)
	b.visit("#/domain/nobody", "light")
	b.until(`document.body.textContent.includes("does not run on this host")`)
	b.visit("#/incident/nothing", "light")
	b.until(`document.body.textContent.includes("no incident")`)
	b.visit("#/incidents", "light")
	b.until(`document.body.textContent.includes("No incident is kept")`)
	for _, at := range run(b, chromedp.Evaluate[[]string](`[...document.querySelectorAll("script,link")].map(x => x.src || x.href)`)) {
		if !strings.HasPrefix(at, b.at) {
			t.Errorf("the page loads %s", at)
		}
	}
}
