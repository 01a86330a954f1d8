package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// topStates are the states in the order of what an operator should look at first, with a sign beside the colour.
var topStates = []struct{ state, sign, colour string }{
	{"anomalous", "!", "9"}, {"suspect", "*", "11"}, {"blind", "x", "13"}, {"unknown", "?", "13"}, {"starting", "~", "14"}, {"learning", "+", "14"},
	{"paused", "=", "8"}, {"disabled", "-", "8"}, {"normal", " ", "10"},
}

func rank(state string) int {
	for i, s := range topStates {
		if s.state == state {
			return i
		}
	}
	return 2 // what is not known is looked at
}

func painted(state, text string) string {
	return lipgloss.NewStyle().Foreground(lipgloss.Color(topStates[rank(state)].colour)).Render(text)
}

var (
	faint   = lipgloss.NewStyle().Faint(true)
	bold    = lipgloss.NewStyle().Bold(true)
	reverse = lipgloss.NewStyle().Reverse(true)
)

// View is what the terminal shows.
func (m *top) View() tea.View {
	v := tea.NewView(strings.TrimSuffix(m.screen(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "virtsentry top"
	return v
}

func (m *top) screen() string {
	switch {
	case m.help:
		return m.helpText()
	case m.detail != nil:
		return m.detailText()
	}
	return m.table()
}

// Lines of the screen that are not the list's.
const topHead, topFoot = 3, 1

// room is how many lines there are for the list.
func (m *top) room() int { return max(1, m.height-topHead-topFoot) }

// topColumn is one of the table's.
type topColumn struct {
	title string
	width int
	right bool
	text  func(control.DomainStatus) string
}

// columns are those that the terminal has room for; the last one takes what is left.
func (m *top) columns() []topColumn {
	name, wide := min(24, max(12, m.width/7)), m.width >= 120
	taken := 11 + name + 9 + 7 + 6 + 4 + 2*7 // with the spaces between
	if wide {
		taken += 7 + 6 + 7 + 2*3
	}
	const least, why = 8, 24
	hour := min(control.RibbonMinutes, max(least, m.width-taken-why))
	heading := "LAST HOUR"
	if hour < control.RibbonMinutes {
		heading = fmt.Sprint(hour, " MIN")
	}
	list := []topColumn{
		{"STATE", 11, false, func(d control.DomainStatus) string { return topStates[rank(d.State)].sign + " " + d.State }},
		{"NAME", name, false, func(d control.DomainStatus) string { return oneLine(d.Name) }},
		{"FOR", 9, true, shortSince},
		{heading, hour, false, func(d control.DomainStatus) string { return spark(m.last.ribbons[d.UUID], hour) }},
		{"SCORE", 7, true, func(d control.DomainStatus) string {
			return lastFigure(d, func(u *control.UnitReport) string { return fmt.Sprintf("%.2f", u.Score) })
		}},
		{"P", 6, true, func(d control.DomainStatus) string {
			return lastFigure(d, func(u *control.UnitReport) string { return fmt.Sprintf("%.4f", u.PValue) })
		}},
		{"OPEN", 4, true, func(d control.DomainStatus) string { return fmt.Sprint(len(d.Incidents)) }},
	}
	if wide {
		list = append(list,
			topColumn{"COVER", 7, false, func(d control.DomainStatus) string { return d.Coverage }},
			topColumn{"SCORED", 6, true, func(d control.DomainStatus) string { return share(d.Ledger) }},
			topColumn{"ms/UNIT", 7, true, func(d control.DomainStatus) string { return fmt.Sprintf("%.1f", unitCost(d)) }})
	}
	return append(list, topColumn{"WHY", 0, false, func(d control.DomainStatus) string {
		if d.Learning != nil && d.State == "learning" {
			return profile(d)
		}
		return strings.TrimPrefix(reason(d), "-")
	}})
}

// blocks are what a minute's least probable unit looks like.
var blocks = []rune("▁▂▃▄▅▆▇█")

// spark is the newest minutes of a ribbon.
func spark(r control.Ribbon, minutes int) string {
	var b strings.Builder
	states, unusual := r.States, r.Unusual
	n := min(len(states), len(unusual))
	b.WriteString(strings.Repeat("·", max(0, minutes-n)))
	for i := max(0, n-minutes); i < n; i++ {
		digit := unusual[i]
		switch {
		case states[i] == 'a':
			b.WriteByte('!')
		case digit >= '0' && digit <= '9':
			b.WriteRune(blocks[int(digit-'0')*len(blocks)/10])
		case states[i] == '.':
			b.WriteRune('·')
		case strings.IndexByte("nltxpkbs", states[i]) >= 0 && states[i] != 'n':
			b.WriteByte(states[i])
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func lastFigure(d control.DomainStatus, f func(*control.UnitReport) string) string {
	if d.Last == nil || !d.Last.Judged {
		return "-"
	}
	return f(d.Last)
}

// shortSince is for how long the state has been, in two figures.
func shortSince(d control.DomainStatus) string {
	s := int(now().Sub(d.Since).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", max(0, s))
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}

// fitted is a text of just that width; 0: of any.
func fitted(s string, width int, right bool) string {
	if width == 0 {
		return s
	}
	s = ansi.Truncate(s, width, "…")
	room := strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
	if right {
		return room + s
	}
	return s + room
}

// table is the list of all domains.
func (m *top) table() string {
	list, columns := m.shown(), m.columns()
	var b strings.Builder
	b.WriteString(m.cut(m.summary()) + "\n" + m.cut(m.costs()) + "\n")
	var heads []string
	for _, c := range columns {
		heads = append(heads, fitted(c.title, c.width, c.right))
	}
	b.WriteString(m.cut(bold.Render(strings.TrimRight(strings.Join(heads, "  "), " "))) + "\n")
	at := m.place(list)
	first, last := 0, len(list)
	if m.height > 0 {
		m.from = max(0, min(m.from, len(list)-m.room()))
		m.from = min(max(m.from, at-m.room()+1), max(0, at))
		first, last = m.from, min(len(list), m.from+m.room())
	}
	for i := first; i < last; i++ {
		b.WriteString(m.line(list[i], columns, m.height > 0 && i == at) + "\n")
	}
	switch {
	case len(m.last.domains) == 0:
		b.WriteString(m.cut("no domain runs") + "\n")
	case len(list) == 0:
		b.WriteString(m.cut("no domain is like that (Esc shows all)") + "\n")
	}
	if m.height == 0 {
		return b.String()
	}
	b.WriteString(strings.Repeat("\n", max(0, m.room()-max(1, last-first))))
	return b.String() + m.cut(m.foot())
}

func (m *top) line(d control.DomainStatus, columns []topColumn, chosen bool) string {
	var cells []string
	for i, c := range columns {
		cell := fitted(oneLine(c.text(d)), c.width, c.right)
		if i == 0 || c.title == columns[3].title && !chosen {
			cell = painted(d.State, cell)
		}
		cells = append(cells, cell)
	}
	line := m.cut(strings.TrimRight(strings.Join(cells, "  "), " "))
	if chosen {
		return reverse.Render(fitted(ansi.Strip(line), m.width, false))
	}
	return line
}

func (m *top) cut(s string) string { return ansi.Truncate(s, m.width, "…") }

// summary says how many domains are in which state.
func (m *top) summary() string {
	counts := map[string]int{}
	for _, d := range m.last.domains {
		counts[d.State]++
	}
	plural := "s"
	if len(m.last.domains) == 1 {
		plural = ""
	}
	parts := []string{bold.Render(fmt.Sprintf("%s  %d domain%s", clock(m.last.at), len(m.last.domains), plural))}
	for _, s := range topStates {
		if n := counts[s.state]; n > 0 {
			parts = append(parts, painted(s.state, strings.TrimSpace(fmt.Sprintf("%s %d %s", s.sign, n, s.state))))
		}
	}
	return strings.Join(parts, "  ")
}

// costs says what watching all of them takes; or what is wrong.
func (m *top) costs() string {
	if m.err != nil {
		return painted("anomalous", "no news since "+clock(m.last.at)+": "+oneLine(m.err.Error()))
	}
	var cost float64
	var buffers uint64
	for _, d := range m.last.domains {
		cost += unitCost(d)
		buffers += d.BufferBytes
	}
	text := fmt.Sprintf("watching takes %.1f ms of CPU time each 2 s (%.2f%% of a CPU, beside LTTng's) and %.1f MiB of buffers", cost, cost/20, float64(buffers)/(1<<20))
	if len(m.last.domains) > 0 && m.last.domains[0].History != "" {
		text = "incidents " + notWritten + ": " + oneLine(m.last.domains[0].History)
	}
	return faint.Render(text)
}

func (m *top) foot() string {
	if m.typing {
		return "filter: " + m.filter + "▏"
	}
	order := m.sort
	if m.reverse {
		order += ", reversed"
	}
	text := fmt.Sprintf("sorted by %s (s, r)  filter (/)", order)
	if m.filter != "" {
		text += ": " + m.filter
	}
	return faint.Render(text + "  open (Enter)  help (?)  quit (q)")
}

func (m *top) helpText() string {
	return m.cutAll([]string{
		bold.Render("virtsentry top"), "",
		"up, down, j, k      choose a domain            PgUp, PgDn, Home, End  go farther",
		"Enter               all that is known of it    Esc                    go back, or clear the filter",
		"/                   filter by name, state, UUID or reason",
		"s, r                sort by " + strings.Join(topSorts, ", ") + "; turn the order round",
		"q                   quit", "",
		"LAST HOUR (or as many MIN as there is room for) has a character a minute, the newest at the right. ▁ to █: the taller, the less probable its least probable unit.",
		"!: anomalous. A letter: not scored, which says nothing of the guest (b blind, k unknown, p paused, t starting, l learning, x disabled).",
		"·: nothing is known of that time.", "",
		faint.Render("any key goes back"),
	})
}

func (m *top) cutAll(lines []string) string {
	if m.height > 0 {
		lines = lines[:min(len(lines), m.height)]
	}
	for i := range lines {
		lines[i] = m.cut(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}

// detailLines is all that is known of a domain.
func (m *top) detailLines() []string {
	d := m.detail.domain
	var b bytes.Buffer
	if m.detail.err != nil {
		fmt.Fprintln(&b, painted("anomalous", oneLine(m.detail.err.Error())))
	}
	_ = writeDomain(&b, d) // a buffer takes everything
	if a := d.Alarm; a != nil {
		fmt.Fprintf(&b, "\nThe newest unusual unit, %s: score %.2f, p-value %.4f\n%s\n", clock(a.Start), a.Score, a.PValue, oneLine(a.Sentence))
		for _, v := range a.Explain {
			fmt.Fprintf(&b, "  %-32s %12.0f  usually %.0f to %.0f\n", fitted(oneLine(v.Feature), 32, false), v.Observed, v.UsualLow, v.UsualHigh)
		}
	}
	r := m.last.ribbons[d.UUID]
	lines := []string{painted(d.State, bold.Render(topStates[rank(d.State)].sign+" "+d.State)) + "  " + bold.Render(oneLine(d.Name)), "last hour  " + painted(d.State, spark(r, control.RibbonMinutes)), ""}
	return append(lines, strings.Split(strings.TrimRight(b.String(), "\n"), "\n")...)
}

func (m *top) detailText() string {
	lines := m.detailLines()
	from := max(0, min(m.scroll, len(lines)-m.room()))
	shown := slices.Clone(lines[from:min(len(lines), from+max(1, m.height-1))])
	for len(shown) < m.height-1 {
		shown = append(shown, "")
	}
	return m.cutAll(append(shown, faint.Render("scroll (up, down)  back (Esc)  quit (q)")))
}

// plain is a text without colours.
func plain(s string) string { return ansi.Strip(s) }
