package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

type timelines struct{}

func (timelines) Timeline(ref string) (control.Timeline, error) {
	if ref == "web" {
		return control.Timeline{UUID: ref}, nil
	}
	return control.Timeline{}, fmt.Errorf("%s: %w", ref, control.ErrNoDomain)
}

func (timelines) Ribbons() map[string]control.Ribbon {
	return map[string]control.Ribbon{
		"web": {States: strings.Repeat(".", 20) + strings.Repeat("n", 34) + "saaaaa", Unusual: strings.Repeat(".", 20) + "0123401234012340123401234012340123" + "788999"},
		"db":  {States: strings.Repeat("n", 50) + strings.Repeat("b", 10), Unusual: strings.Repeat("2", 50) + strings.Repeat(".", 10)},
	}
}

func (timelines) Counts(ref string, span control.CountsSpan) (control.Counts, error) {
	if ref == "web" {
		return control.Counts{Start: span.From}, nil
	}
	return control.Counts{}, fmt.Errorf("%s: %w", ref, control.ErrNoDomain)
}

// host has a domain of each kind.
func host() []control.DomainStatus {
	unit := &control.UnitReport{Start: noon.Add(200 * time.Second), Judged: true, Score: -1.62, PValue: 0.0004}
	return []control.DomainStatus{
		{UUID: "db", Name: "db\t\x1b[31mone", State: "blind", Since: noon.Add(-10 * time.Minute), Coverage: "none", Reason: &control.Reason{Code: "no-trace-points", Text: "its QEMU has none"}},
		{
			UUID: "web", Name: "web", ID: 3, PID: 4711, State: "anomalous", Since: noon, Coverage: "full", Reason: &control.Reason{Code: "anomaly", Text: "5 of the last 5 units were unusual"},
			Ledger: control.Ledger{Life: 1000, Scored: 930, Reasons: map[string]float64{"booting": 70}}, Units: control.Units{Seen: 500, Judged: 465}, CPUSeconds: 1.5, BufferBytes: 4 << 20,
			Last: unit, Incidents: []control.Incident{{Kind: "anomaly", Since: noon, Text: "5 of the last 5"}},
			Alarm: &control.UnitReport{Start: noon, Judged: true, Anomalous: true, Score: -1.62, PValue: 0.0004, Sentence: "41 times more buffers", Explain: []control.Variable{
				{Feature: "virtqueue_fill", Observed: 48211, UsualLow: 210, UsualHigh: 2410},
			}},
		},
		{UUID: "new", Name: "new", State: "learning", Since: noon.Add(-26 * time.Hour), Coverage: "full", Learning: &control.Learning{Units: 20, Wanted: 300, Seconds: 560}},
	}
}

func TestTopOnce(t *testing.T) {
	socket := serve(t, &backend{domains: host()})
	out, code, err := run(context.Background(), "--socket", socket, "top", "--sort", "name")
	if code != 0 || strings.Contains(out, "\x1b") {
		t.Fatalf("top = %d, %v\n%q", code, err, out)
	}
	golden(t, "top-once.txt", out)
	out, _, err = run(context.Background(), "--socket", serve(t, &backend{}), "top")
	if err != nil || !strings.Contains(out, "no domain runs") {
		t.Errorf("top without domains = %q, %v", out, err)
	}
	if _, code, err := run(context.Background(), "--socket", t.TempDir()+"/none", "top"); code != exitNoDaemon {
		t.Errorf("top without a daemon = %d, %v", code, err)
	}
	if _, _, err := run(context.Background(), "--socket", socket, "top", "--every", "1ms"); err == nil {
		t.Error("top looks a thousand times a second")
	}
}

// terminal is one of so many columns and lines.
func terminal(width, height int) *top {
	m := newTop(topLook{at: noon, domains: host(), ribbons: timelines{}.Ribbons()}, "state")
	m.domain = func(ref string) tea.Msg { return topDomain{ref: ref, domain: host()[1]} }
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	return m
}

var codes = map[string]tea.KeyPressMsg{
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "down": {Code: tea.KeyDown}, "up": {Code: tea.KeyUp}, "backspace": {Code: tea.KeyBackspace},
	"pgdown": {Code: tea.KeyPgDown}, "pgup": {Code: tea.KeyPgUp}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
}

// press presses keys, and lets what they begin come to its end. It says whether it ends.
func press(m *top, keys ...string) (ends bool) {
	for _, k := range keys {
		msg, known := codes[k]
		if !known {
			msg = tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
		}
		_, begun := m.Update(msg)
		if begun == nil {
			continue
		}
		news := begun()
		if _, ends := news.(tea.QuitMsg); ends {
			return true
		}
		m.Update(news)
	}
	return false
}

func TestTopScreens(t *testing.T) {
	for _, c := range []struct {
		name          string
		width, height int
		keys          []string
	}{
		{"list", 160, 12, nil},
		{"narrow", 80, 8, []string{"down"}},
		{"sorted", 120, 10, []string{"s", "r"}},
		{"filtered", 120, 10, []string{"/", "w", "e", "b", "x", "backspace", "enter"}},
		{"none", 120, 8, []string{"/", "q", "enter"}},
		{"help", 140, 20, []string{"?"}},
		{"detail", 120, 30, []string{"enter"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := terminal(c.width, c.height)
			if press(m, c.keys...) {
				t.Fatal("it has ended")
			}
			golden(t, "top-"+c.name+".txt", plain(m.View().Content)+"\n")
		})
	}
}

func TestTopEnds(t *testing.T) {
	for _, keys := range [][]string{{"q"}, {"enter", "q"}, {"?", "x", "q"}, {"/", "q", "enter", "esc", "q"}} {
		if m := terminal(100, 20); !press(m, keys...) {
			t.Errorf("%q does not end it", keys)
		}
	}
}

// A daemon that goes leaves what it said last, and that there is no news.
func TestTopWithoutNews(t *testing.T) {
	m := terminal(120, 10)
	m.Update(topLook{err: control.ErrNoDaemon})
	if shown := plain(m.View().Content); !strings.Contains(shown, "no news since 12:00:00") || !strings.Contains(shown, "web") {
		t.Errorf("it shows\n%s", shown)
	}
	m.Update(topLook{at: noon})
	if shown := plain(m.View().Content); strings.Contains(shown, "no news") || !strings.Contains(shown, "no domain runs") {
		t.Errorf("it shows\n%s", shown)
	}
}

// Whatever is pressed, and however small the terminal is, the screen fits into it.
func TestTopFits(t *testing.T) {
	keys := []string{"j", "k", "s", "r", "/", "w", "?", "g", "G", "enter", "esc", "down", "up", "pgdown", "pgup", "home", "end", "backspace"}
	rapid.Check(t, func(t *rapid.T) {
		m := terminal(rapid.IntRange(20, 200).Draw(t, "width"), rapid.IntRange(5, 40).Draw(t, "height"))
		press(m, rapid.SliceOf(rapid.SampledFrom(keys)).Draw(t, "keys")...)
		lines := strings.Split(m.View().Content, "\n")
		if len(lines) > m.height {
			t.Fatalf("%d lines in %d", len(lines), m.height)
		}
		for _, l := range lines {
			if ansi.StringWidth(l) > m.width {
				t.Fatalf("a line of %d columns in %d: %q", ansi.StringWidth(l), m.width, l)
			}
		}
	})
}
