package dashboard

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// tokenHeader carries the token that a page has from /api/session. No other site's page can read that, or set such a header.
const tokenHeader = "X-Virtsentry-Token"

// policy lets the page load what the daemon serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard stands before all that is served: what a browser on its way through another site may not do is refused here.
type guard struct {
	next    http.Handler
	hosts   []string // by which the page may be asked for, in lower case
	changes bool     // anything may be changed
	token   string
	origin  *http.CrossOriginProtection
}

func newGuard(next http.Handler, hosts []string, changes bool) *guard {
	g := &guard{next: next, changes: changes, token: rand.Text(), origin: http.NewCrossOriginProtection()}
	for _, h := range hosts {
		g.hosts = append(g.hosts, strings.ToLower(h))
	}
	return g
}

// ServeHTTP refuses, or hands on.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if status, err := g.refuse(r); err != nil {
		refuse(w, status, err)
		return
	}
	g.next.ServeHTTP(w, r)
}

var (
	errHost    = errors.New("the page is asked for by a name that is none of localhost, an IP address or dashboard.hosts: add the name there, if it is this host's")
	errSite    = errors.New("the request comes from another site's page")
	errToken   = errors.New("the request has no token of this daemon, which may have been started again: load the page again")
	errJSON    = errors.New("the body must be application/json")
	errChanges = errors.New("nothing can be changed here: every user of the host can open this address (a UNIX socket, dashboard.web_config or " +
		"dashboard.local_changes would do; so does the virtsentry command)")
)

// refuse says what is wrong with a request; nil: nothing.
func (g *guard) refuse(r *http.Request) (status int, err error) {
	if !g.known(r.Host) {
		return http.StatusMisdirectedRequest, errHost
	}
	if site := r.Header.Get("Sec-Fetch-Site"); strings.HasPrefix(r.URL.Path, "/api/") && site != "" && site != "same-origin" && site != "none" {
		return http.StatusForbidden, errSite
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return 0, nil
	}
	if g.origin.Check(r) != nil {
		return http.StatusForbidden, errSite
	}
	if !g.changes {
		return http.StatusForbidden, errChanges
	}
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(g.token)) != 1 {
		return http.StatusForbidden, errToken
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, errJSON
	}
	return 0, nil
}

// known says whether a browser may ask for the page by this name. A stranger's site can give a name of its own this host's address, and would then share
// the page's origin (DNS rebinding); it cannot have the address itself, or localhost, for a name.
func (g *guard) known(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.Contains(g.hosts, name)
}
