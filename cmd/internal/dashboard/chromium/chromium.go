// Package chromium shows the dashboard in a real Chromium, for tests.
package chromium

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// stepLimit bounds each step of a browser. The stream of news never ends, so nothing waits for the network to be idle.
const stepLimit = 40 * time.Second

// shots is a directory for pictures of what the tests see, for people to look at; without it none are taken.
const shots = "VIRTSENTRY_SHOTS"

// Page is one page of a Chromium. Its methods end the test where something cannot be done within 40 seconds. One goroutine uses it.
type Page struct {
	At string // the dashboard's address, without the path

	t   *testing.T
	ctx context.Context

	mu  sync.Mutex // guards bad
	bad []string   // what the page threw or complained of
}

// Open starts a Chromium, which ends with the test, and skips the test where there is none.
func Open(t *testing.T, at string) *Page {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium (packaging/install packaging/deps)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(1360, 900), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closePage := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		closePage()
		end()
	})
	p := &Page{At: at, t: t, ctx: ctx}
	p.first()
	p.Do(chromedp.Navigate("about:blank"), func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, log.Enable, struct{}{})
		return chromedp.Void{}, err
	})
	return p
}

// first starts the browser. Its life is that of the first context it is used with, so that one has no limit of its own.
func (p *Page) first() {
	p.t.Helper()
	done := make(chan error, 1)
	go func() {
		done <- chromedp.Listen(p.ctx, func(event any) {
			switch e := event.(type) {
			case *runtime.EventExceptionThrown:
				p.note(fmt.Sprintf("%s: %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
			case *runtime.EventConsoleAPICalled:
				if e.Type == runtime.ConsoleAPICalledTypeError {
					p.note(fmt.Sprint(e.Args))
				}
			case *log.EventEntryAdded:
				if e.Entry.Level == log.EntryLevelError {
					p.note(e.Entry.Text + " " + e.Entry.URL)
				}
			}
		})
	}()
	select {
	case err := <-done:
		if err != nil {
			p.t.Fatal("start chromium: ", err)
		}
	case <-time.After(stepLimit):
		p.t.Fatal("chromium does not start")
	}
}

func (p *Page) note(complaint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad = append(p.bad, complaint)
}

func (p *Page) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.bad)
}

func try[T any](p *Page, step chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, stepLimit)
	defer cancel()
	return chromedp.Run(ctx, step)
}

// Run takes a step and returns its value.
func Run[T any](p *Page, step chromedp.Action[T]) T {
	p.t.Helper()
	v, err := try(p, step)
	if err != nil {
		p.t.Fatalf("%v (the page said %q)", err, p.complaints())
	}
	return v
}

// Do takes steps.
func (p *Page) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	for _, s := range steps {
		Run(p, s)
	}
}

// JS runs a script, whose value is of no interest.
func (p *Page) JS(script string) {
	p.t.Helper()
	Run(p, chromedp.Evaluate[bool]("("+script+", true)"))
}

// Visit goes to a part of the page, such as "#/incidents", in a colour scheme: light or dark. It does not wait for it.
func (p *Page) Visit(hash, scheme string) {
	p.t.Helper()
	p.Do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	})
	p.JS(fmt.Sprintf("location.href = %q", p.At+"/"+hash))
}

// Until waits until an expression is true. The page's policy forbids what chromedp.Poll does.
func (p *Page) Until(expression string) {
	p.t.Helper()
	step := chromedp.Evaluate[bool]("(() => { try { return Boolean(" + expression + "); } catch { return false; } })()")
	for limit := time.Now().Add(stepLimit); ; {
		// The page may be on its way to another one.
		switch is, err := try(p, step); {
		case err != nil && !strings.Contains(err.Error(), "navigated"):
			p.t.Fatalf("%v (the page said %q)", err, p.complaints())
		case is:
			return
		}
		if time.Now().After(limit) {
			p.t.Fatalf("it did not come: %s (the page said %q); it shows %.600s", expression, p.complaints(), p.Text("body"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Text is what the first element of a selector shows; empty where there is none.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	return Run(p, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)))
}

// Click presses the mouse in the middle of the first element of a selector, as a person does.
func (p *Page) Click(selector string) {
	p.t.Helper()
	at := Run(p, chromedp.Evaluate[struct{ X, Y float64 }](fmt.Sprintf(`(e => {
		e.scrollIntoView({block: "center"});
		const r = e.getBoundingClientRect();
		return {X: r.x + r.width / 2, Y: r.y + r.height / 2};
	})(document.querySelector(%q))`, selector)))
	p.Do(chromedp.MouseEvent(chromedp.MouseMoved, at.X, at.Y), chromedp.MouseEvent(chromedp.MousePressed, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
		chromedp.MouseEvent(chromedp.MouseReleased, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
}

// Shot takes a picture, of the whole page or of what the window shows of it, where somebody wants to look at it: into the directory that VIRTSENTRY_SHOTS names.
func (p *Page) Shot(name string, whole bool) {
	p.t.Helper()
	dir := os.Getenv(shots)
	if dir == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	p.Do(chromedp.Sleep(300 * time.Millisecond))
	picture := Run(p, take)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// Fine fails the test if the page has thrown, or complained on its console.
func (p *Page) Fine() {
	p.t.Helper()
	if bad := p.complaints(); len(bad) > 0 {
		p.t.Errorf("the page said %q", bad)
	}
}
