package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxVisit   = 200                    // pages after which a visitor has had enough
	maxHistory = 20                     // pages that "back" can go back to
	maxBody    = 1 << 20                // bytes read of one answer
	idlePoll   = 250 * time.Millisecond // how often a session that is to rest asks whether it still is
)

// session is one seat: a browser and the visitors that follow each other in it. One goroutine uses it.
type session struct {
	run       *run
	index     int
	rng       *rand.Rand
	client    *http.Client
	transport *http.Transport

	visitor visitor
	page    string // the page being looked at; empty at the start of a visit
	doc     document
	history []click         // the pages before, the latest last; only those that can be asked for again
	cached  map[string]bool // assets that the browser has
	clicks  int
}

// click is one request for a page.
type click struct {
	page string
	url  string
	form url.Values // nil: GET
}

func newSession(r *run, index int) *session {
	browser := &http.Transport{
		DialContext:            r.cfg.Dial,
		MaxConnsPerHost:        2,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        8 * time.Second, // less than the site's own, so that no request meets a closing one
		MaxResponseHeaderBytes: 64 << 10,
	}
	s := &session{
		run:       r,
		index:     index,
		rng:       rand.New(rand.NewPCG(r.cfg.Seed, uint64(index))),
		transport: browser,
		client: &http.Client{
			Transport: browser,
			// A redirection would be a request that nobody counted.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.visitor = visitor{session: index, seed: r.cfg.Seed}
	s.sitDown()
	return s
}

// sitDown puts another visitor with a fresh browser in the seat.
func (s *session) sitDown() {
	s.transport.CloseIdleConnections()
	s.visitor.user = 1 + s.rng.IntN(knownUsers)
	s.page, s.doc, s.history, s.clicks = "", document{}, nil, 0
	s.cached = make(map[string]bool)
}

// play visits pages until ctx ends.
func (s *session) play(ctx context.Context) {
	defer s.transport.CloseIdleConnections()
	for s.run.think(ctx, s.rng) && s.run.rest(ctx, s.index) {
		s.step(ctx)
	}
}

// think waits for an exponential time, as between two clicks.
func (r *run) think(ctx context.Context, rng *rand.Rand) bool {
	mean := r.cfg.Think.Seconds()
	return sleep(ctx, time.Duration(min(10, rng.ExpFloat64())*mean*float64(time.Second)))
}

// rest waits while the shape of the load does not need this session.
func (r *run) rest(ctx context.Context, session int) bool {
	for session >= r.active() {
		if !sleep(ctx, idlePoll) {
			return false
		}
	}
	return true
}

// step makes one click and fetches what belongs to the page, or ends the visit.
func (s *session) step(ctx context.Context) {
	next, ok := s.next()
	if !ok || s.clicks >= maxVisit {
		s.run.counters.visit()
		s.sitDown()
		return
	}
	s.clicks++
	body, ok := s.fetch(ctx, next)
	if !ok {
		// Nothing to click on: the visitor starts again from the first page.
		s.page, s.doc, s.history = "", document{}, nil
		return
	}
	s.page, s.doc = next.page, parseHTML(body)
	if next.form == nil {
		if s.history = append(s.history, next); len(s.history) > maxHistory {
			s.history = s.history[1:]
		}
	}
	for _, asset := range s.doc.assets {
		if !s.cached[asset] {
			if _, ok := s.fetch(ctx, click{page: "asset", url: asset}); !ok {
				return
			}
			s.cached[asset] = true
		}
	}
}

// next draws the next click; false ends the visit.
func (s *session) next() (click, bool) {
	first := s.run.cfg.Table.First
	if s.page == "" {
		return s.plan(first), true
	}
	switch target := s.run.cfg.Table.Pages[s.page].choose(s.rng); target {
	case end:
		return click{}, false
	case back:
		return s.goBack(), true
	default:
		return s.plan(target), true
	}
}

// plan finds the way to a page from where the visitor is; without one it leads to the first page.
func (s *session) plan(name string) click {
	page := s.run.cfg.Table.Pages[name]
	if page.link != nil {
		if links := s.doc.matching(page.link); len(links) > 0 {
			return click{page: name, url: links[s.rng.IntN(len(links))]}
		}
	}
	if page.Get != "" {
		return click{page: name, url: s.visitor.fill(page.Get, s.rng)}
	}
	if fields, ok := s.doc.forms[page.Form]; ok {
		return click{page: name, url: page.Form, form: s.fillIn(page, fields)}
	}
	first := s.run.cfg.Table.First
	return click{page: first, url: s.visitor.fill(s.run.cfg.Table.Pages[first].Get, s.rng)}
}

// goBack gives the page before this one, as far as the history reaches.
func (s *session) goBack() click {
	h := s.history
	// The latest entry is the page itself, unless that came from a form.
	if len(h) > 0 && h[len(h)-1].page == s.page {
		h = h[:len(h)-1]
	}
	if len(h) == 0 {
		return s.plan(s.run.cfg.Table.First)
	}
	s.history = h[:len(h)-1]
	return h[len(h)-1]
}

// fillIn gives a form's values: its own, but for those that the table says.
func (s *session) fillIn(page *Page, fields []field) url.Values {
	values := make(url.Values)
	for _, f := range fields {
		value := f.value
		if len(f.options) > 0 {
			value = f.options[s.rng.IntN(len(f.options))]
		}
		if text, ok := page.Fill[f.name]; ok {
			value = s.visitor.fill(text, s.rng)
		}
		if most, ok := page.Raise[f.name]; ok {
			if n, err := strconv.Atoi(value); err == nil {
				value = strconv.Itoa(n + s.rng.IntN(most+1))
			}
		}
		values.Set(f.name, value)
	}
	return values
}

// fetch sends one request in its turn, reads the answer and counts it. False: no good answer, or ctx ended before.
func (s *session) fetch(ctx context.Context, c click) (string, bool) {
	if !s.run.limit.wait(ctx) {
		return "", false
	}
	start := time.Now()
	body, err := s.exchange(ctx, c)
	took := time.Since(start)
	if err != nil && ctx.Err() != nil {
		return "", false // the run's end cut it off: nobody's failure
	}
	s.run.counters.request(c.page, took, kind(err))
	return body, err == nil
}

func (s *session) exchange(ctx context.Context, c click) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.run.cfg.Timeout)
	defer cancel()
	method, send := http.MethodGet, ""
	if c.form != nil {
		method, send = http.MethodPost, c.form.Encode()
	}
	address, err := s.run.base.Parse(c.url)
	if err != nil || address.Host != s.run.base.Host {
		return "", fmt.Errorf("request %q: not an address of the site", c.url)
	}
	request, err := http.NewRequestWithContext(ctx, method, address.String(), strings.NewReader(send))
	if err != nil {
		return "", fmt.Errorf("request %q: %w", c.url, err)
	}
	request.Header.Set("User-Agent", "virtsentry-lab")
	if c.form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", statusError(response.StatusCode)
	}
	return string(body), nil
}

// statusError is an answer with another status than 200.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// kind names an error for Stats.Errors: few kinds, whatever the server does.
func kind(err error) string {
	var status statusError
	var failure Failure
	var netErr net.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &failure):
		return failure.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	}
	return "connection"
}
