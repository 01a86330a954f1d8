package emulator

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"

	"github.com/BurntSushi/toml"
)

//go:embed table.toml
var auctionTable string

// Targets that are no pages: the browser's back button, and the end of the session.
const (
	back = "back"
	end  = "end"
)

// Table is the visitors' behaviour: the pages, how each is reached, and the weights of those that follow it.
type Table struct {
	First string           `toml:"first"` // where every session starts
	Pages map[string]*Page `toml:"pages"`
}

// Page is one kind of page of a Table. The comment at the head of table.toml says what the fields mean.
type Page struct {
	Link  string             `toml:"link"`
	Get   string             `toml:"get"`
	Form  string             `toml:"form"`
	Fill  map[string]string  `toml:"fill"`
	Raise map[string]int     `toml:"raise"`
	Next  map[string]float64 `toml:"next"`

	link    *regexp.Regexp
	targets []string // keys of Next, sorted, so that a seed decides
	sum     float64
}

// Auction is the table of the lab's own site.
func Auction() (*Table, error) {
	return ParseTable(auctionTable)
}

// ParseTable reads a table in TOML and checks that a session can walk it: every target is known, every page has a way in
// and a way on, and the first page can be reached from nothing. Unknown keys are errors.
func ParseTable(text string) (*Table, error) {
	var t Table
	meta, err := toml.Decode(text, &t)
	if err != nil {
		return nil, fmt.Errorf("parse transition table: %w", err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("parse transition table: unknown key %q", extra[0].String())
	}
	first := t.Pages[t.First]
	if first == nil || first.Get == "" {
		return nil, fmt.Errorf("parse transition table: first page %q needs an entry with an address", t.First)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Pages)) {
		if err := t.Pages[name].check(&t); err != nil {
			return nil, fmt.Errorf("parse transition table: page %q: %w", name, err)
		}
	}
	return &t, nil
}

func (p *Page) check(t *Table) error {
	if p.Link == "" && p.Get == "" && p.Form == "" {
		return errors.New("no link, get or form leads to it")
	}
	if p.Form != "" && (p.Link != "" || p.Get != "") {
		return errors.New("a form has no link or get")
	}
	if p.Link != "" {
		re, err := regexp.Compile(p.Link)
		if err != nil {
			return fmt.Errorf("link: %w", err)
		}
		p.link = re
	}
	if err := checkNames(p.Get); err != nil {
		return err
	}
	for _, text := range p.Fill {
		if err := checkNames(text); err != nil {
			return err
		}
	}
	for field, most := range p.Raise {
		if most < 0 {
			return fmt.Errorf("raise of %q is negative", field)
		}
	}
	p.targets = slices.Sorted(maps.Keys(p.Next))
	for _, target := range p.targets {
		if t.Pages[target] == nil && target != back && target != end {
			return fmt.Errorf("next page %q is unknown", target)
		}
		weight := p.Next[target]
		if !(weight > 0 && weight <= 1e6) { // refuses NaN too
			return fmt.Errorf("weight %v of %q is not between 0 and a million", weight, target)
		}
		p.sum += weight
	}
	if p.sum == 0 {
		return errors.New("nothing follows it")
	}
	return nil
}

// choose draws what follows the page.
func (p *Page) choose(rng *rand.Rand) string {
	x := rng.Float64() * p.sum
	for _, target := range p.targets {
		if x -= p.Next[target]; x < 0 {
			return target
		}
	}
	return p.targets[len(p.targets)-1]
}
