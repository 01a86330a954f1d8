package main

import (
	"cmp"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// top is what the terminal shows, and what its keys do.
type top struct {
	look   tea.Cmd              // waits, and looks again; nil: never
	domain func(string) tea.Msg // looks at one domain

	last          topLook // that succeeded
	err           error   // of the newest look
	width, height int     // of the terminal; height 0: no limit
	sort          string
	reverse       bool
	filter        string
	typing        bool // the filter is being typed
	help          bool
	chosen        string // UUID; empty: the first
	from          int    // first line of the list that is shown
	detail        *topDomain
	scroll        int // first line of the detail that is shown
}

func newTop(first topLook, sort string) *top {
	return &top{last: first, sort: sort, width: topWidth, height: 24}
}

// Init begins to look again and again.
func (m *top) Init() tea.Cmd { return m.look }

// Update takes a key, the terminal's size, or news.
func (m *top) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topLook:
		if m.err = msg.err; msg.err == nil {
			m.last = msg
		}
		if m.detail != nil {
			return m, tea.Batch(m.look, m.open(m.detail.ref))
		}
		return m, m.look
	case topDomain:
		if m.detail != nil && m.detail.ref == msg.ref {
			m.detail = &msg
		}
	case tea.KeyPressMsg:
		return m, m.key(msg)
	}
	return m, nil
}

func (m *top) open(ref string) tea.Cmd { return func() tea.Msg { return m.domain(ref) } }

func (m *top) key(k tea.KeyPressMsg) tea.Cmd {
	key := k.String()
	switch {
	case key == "ctrl+c":
		return tea.Quit
	case m.typing:
		m.typed(k)
		return nil
	case m.help:
		m.help = false
		return nil
	case key == "q":
		return tea.Quit
	case key == "?":
		m.help = true
		return nil
	case m.detail != nil:
		m.detailKey(key)
		return nil
	}
	return m.listKey(key)
}

// typed is a key while the filter is typed.
func (m *top) typed(k tea.KeyPressMsg) {
	switch key := k.String(); {
	case key == "enter":
		m.typing = false
	case key == "esc":
		m.typing, m.filter = false, ""
	case key == "backspace":
		if runes := []rune(m.filter); len(runes) > 0 {
			m.filter = string(runes[:len(runes)-1])
		}
	case k.Text != "":
		m.filter += oneLine(k.Text)
	}
	m.from = 0
}

func (m *top) detailKey(key string) {
	switch key {
	case "esc", "enter", "left", "h":
		m.detail, m.scroll = nil, 0
		return
	case "up", "k":
		m.scroll--
	case "down", "j":
		m.scroll++
	case "pgup":
		m.scroll -= m.room()
	case "pgdown", "space":
		m.scroll += m.room()
	case "home", "g":
		m.scroll = 0
	}
	m.scroll = max(0, min(m.scroll, len(m.detailLines())-m.room()))
}

func (m *top) listKey(key string) tea.Cmd {
	list := m.shown()
	at := m.place(list)
	switch key {
	case "up", "k":
		at--
	case "down", "j":
		at++
	case "pgup":
		at -= m.room()
	case "pgdown", "space":
		at += m.room()
	case "home", "g":
		at = 0
	case "end", "G":
		at = len(list) - 1
	case "/":
		m.typing = true
	case "esc":
		m.filter = ""
	case "s":
		m.sort = topSorts[(slices.Index(topSorts, m.sort)+1)%len(topSorts)]
	case "r":
		m.reverse = !m.reverse
	case "enter", "right", "l":
		if len(list) > 0 {
			m.detail = &topDomain{ref: list[at].UUID, domain: list[at]}
			return m.open(m.detail.ref)
		}
	}
	if len(list) > 0 {
		m.chosen = list[max(0, min(at, len(list)-1))].UUID
	}
	return nil
}

// shown are the domains that the filter lets through, sorted.
func (m *top) shown() []control.DomainStatus {
	wanted := strings.ToLower(m.filter)
	var list []control.DomainStatus
	for _, d := range m.last.domains {
		if strings.Contains(strings.ToLower(d.Name+" "+d.State+" "+d.UUID+" "+reason(d)), wanted) {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b control.DomainStatus) int {
		way := 1
		if m.reverse {
			way = -1
		}
		return cmp.Or(way*m.compare(a, b), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID))
	})
	return list
}

// compare says which of two comes first: what an operator should look at.
func (m *top) compare(a, b control.DomainStatus) int {
	switch m.sort {
	case "name":
		return cmp.Compare(a.Name, b.Name)
	case "score":
		return cmp.Compare(tailOf(a), tailOf(b))
	case "scored":
		return cmp.Compare(scoredShare(a), scoredShare(b))
	case "cost":
		return cmp.Compare(unitCost(b), unitCost(a))
	case "incidents":
		return cmp.Compare(len(b.Incidents), len(a.Incidents))
	}
	return cmp.Compare(rank(a.State), rank(b.State))
}

// tailOf is the p-value of a domain's newest unit; more than 1: it was not judged.
func tailOf(d control.DomainStatus) float64 {
	if d.Last == nil || !d.Last.Judged {
		return 2
	}
	return d.Last.PValue
}

func scoredShare(d control.DomainStatus) float64 {
	if d.Ledger.Life <= 0 {
		return 0
	}
	return d.Ledger.Scored / d.Ledger.Life
}

// unitCost is the daemon's CPU time for a unit of a domain, in milliseconds.
func unitCost(d control.DomainStatus) float64 {
	if d.Units.Seen == 0 {
		return 0
	}
	return 1000 * d.CPUSeconds / float64(d.Units.Seen)
}

// place is where the chosen domain is in a list.
func (m *top) place(list []control.DomainStatus) int {
	return max(0, slices.IndexFunc(list, func(d control.DomainStatus) bool { return d.UUID == m.chosen }))
}
