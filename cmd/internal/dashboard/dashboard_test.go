package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// request asks a handler, as a browser on localhost does.
func request(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost:9890"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFiles(t *testing.T) {
	if got := len(files()); got != 4 {
		t.Fatalf("the page is made of %d files", got)
	}
	h := Handler(newFake(1), config.Dashboard{})
	for path, kind := range map[string]string{"/": "text/html", "/app.js": "text/javascript", "/app.css": "text/css", "/icon.svg": "image/svg+xml"} {
		w := request(h, "GET", path, "", "Accept-Encoding", "gzip")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, w.Header())
		}
		if again := request(h, "GET", path, "", "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", path, again.Code)
		}
	}
	page := request(h, "GET", "/", "").Body.String()
	for _, inline := range []string{"<style", "style=", "onclick", "http://", "https://"} {
		if strings.Contains(page, inline) {
			t.Errorf("the page has %q", inline)
		}
	}
	if w := request(h, "GET", "/nothing", ""); w.Code != http.StatusNotFound {
		t.Errorf("/nothing: %d", w.Code)
	}
}

// A name that a stranger's site can have is refused: it may be this host's address under another name.
func TestDashboardHosts(t *testing.T) {
	h := Handler(newFake(1), config.Dashboard{Hosts: []string{"Kvm07.example.org"}})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9890": 200, "127.0.0.1:9890": 200, "[::1]:9890": 200, "192.0.2.7": 200, "kvm07.example.org": 200, "KVM07.example.org:443": 200, "localhost.": 200,
		"evil.example": 421, "evil.example:9890": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/domains", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

// Nothing is changed by another site's page, without the token, or where everybody could.
func TestDashboardChanges(t *testing.T) {
	f := newFake(1)
	open := Handler(f, config.Dashboard{Listen: "unix:/run/board.sock"})
	var s session
	if err := json.Unmarshal(request(open, "GET", "/api/session", "").Body.Bytes(), &s); err != nil || !s.Changes || len(s.Token) < 20 {
		t.Fatalf("session %+v, %v", s, err)
	}
	const label = `{"label":"true"}`
	path := "/api/incidents/" + f.incidents[0].ID + "/label"
	for name, c := range map[string]struct {
		want   int
		body   string
		header []string
	}{
		"as the page does":     {200, label, []string{tokenHeader, s.Token, "Content-Type", "application/json", "Sec-Fetch-Site", "same-origin"}},
		"a script of the host": {200, label, []string{tokenHeader, s.Token, "Content-Type", "application/json"}},
		"no token":             {403, label, []string{"Content-Type", "application/json"}},
		"another token":        {403, label, []string{tokenHeader, s.Token + "x", "Content-Type", "application/json"}},
		"another site":         {403, label, []string{tokenHeader, s.Token, "Content-Type", "application/json", "Sec-Fetch-Site", "cross-site"}},
		"another origin":       {403, label, []string{tokenHeader, s.Token, "Content-Type", "application/json", "Origin", "https://evil.example"}},
		"a form":               {415, label, []string{tokenHeader, s.Token, "Content-Type", "text/plain"}},
		"no JSON":              {400, "label=true", []string{tokenHeader, s.Token, "Content-Type", "application/json"}},
		"unknown field":        {400, `{"colour":"red"}`, []string{tokenHeader, s.Token, "Content-Type", "application/json"}},
		"too large":            {400, `{"note":"` + strings.Repeat("x", maxBody) + `"}`, []string{tokenHeader, s.Token, "Content-Type", "application/json"}},
	} {
		if w := request(open, "POST", path, c.body, c.header...); w.Code != c.want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.want)
		}
	}
	shut := Handler(f, config.Dashboard{Listen: "127.0.0.1:9890"})
	var closed session
	if err := json.Unmarshal(request(shut, "GET", "/api/session", "").Body.Bytes(), &closed); err != nil || closed.Changes || closed.Token != "" {
		t.Errorf("session %+v, %v", closed, err)
	}
	if w := request(shut, "POST", path, label, tokenHeader, "", "Content-Type", "application/json"); w.Code != 403 || !strings.Contains(w.Body.String(), "local_changes") {
		t.Errorf("where everybody could: %d %s", w.Code, w.Body)
	}
	if w := request(open, "GET", "/api/domains", "", "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("read by another site: %d", w.Code)
	}
}

func TestAnswers(t *testing.T) {
	f := newFake(20)
	h := Handler(f, config.Dashboard{})
	uuid := f.domains[0].UUID
	for path, want := range map[string]int{
		"/api/domains": 200, "/api/domains/" + uuid: 200, "/api/domains/" + uuid + "/timeline": 200, "/api/domains/" + uuid + "/counts?columns=9": 200,
		"/api/domains/nobody": 404, "/api/domains/nobody/timeline": 404, "/api/domains/nobody/counts": 404, "/api/domains/" + uuid + "/counts?columns=none": 409,
		"/api/incidents": 200, "/api/incidents?state=open&domain=" + uuid: 200, "/api/incidents?state=ajar": 409, "/api/incidents/" + f.incidents[0].ID: 200,
		"/api/incidents/" + f.incidents[0].ID + "/units": 200, "/api/incidents/none": 404, "/api/incidents/none/units": 404, "/api/none": 404,
	} {
		w := request(h, "GET", path, "")
		if w.Code != want || !json.Valid(w.Body.Bytes()) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %.200s, want %d", path, w.Code, w.Body, want)
		}
	}
	var list []row
	if err := json.Unmarshal(request(h, "GET", "/api/domains", "").Body.Bytes(), &list); err != nil || len(list) != 20 || list[0].State != "anomalous" || len(list[0].Ribbon.States) != 60 {
		t.Errorf("%d rows, %v", len(list), err)
	}
}

// serve shows the page on a socket until the test ends.
func serve(t *testing.T, cfg config.Dashboard, b control.Backend) *http.Client {
	t.Helper()
	l, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, cfg, b, log) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, l.Addr().Network(), l.Addr().String())
	}}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	})
	return &http.Client{Transport: transport}
}

func TestServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "board.sock")
	c := serve(t, config.Dashboard{Listen: "unix:" + path}, newFake(3))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	answer, err := c.Get("http://localhost/api/domains")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// A page is told of all domains and closer looks, then of what changes and of units; only so many are.
func TestLive(t *testing.T) {
	f := newFake(3)
	c := serve(t, config.Dashboard{Listen: "unix:" + filepath.Join(t.TempDir(), "board.sock")}, f)
	open := func() (lines *bufio.Scanner, status int) {
		t.Helper()
		answer, err := c.Get("http://localhost/api/events")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		lines = bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		return lines, answer.StatusCode
	}
	lines, _ := open()
	var event string
	seen := map[string]int{}
	for limit := time.Now().Add(20 * time.Second); seen["units"] == 0 && time.Now().Before(limit) && lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			event = value
		case "data":
			var list []map[string]any
			if err := json.Unmarshal([]byte(value), &list); err != nil || len(list) == 0 {
				t.Errorf("%s: %v %s", event, err, value)
			}
			seen[event] += len(list)
		}
	}
	if seen["domains"] != 3 || seen["units"] == 0 || seen["actions"] < len(f.looks) {
		t.Errorf("told of %v", seen)
	}
	for range liveMost - 1 {
		open()
	}
	if _, status := open(); status != http.StatusServiceUnavailable {
		t.Errorf("one page too many: %d", status)
	}
}

func TestListenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("tls_server_config: {cert_file: none.pem}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []config.Dashboard{{Listen: "127.0.0.1:9890", WebConfig: file}, {Listen: "unix:" + file}, {Listen: "192.0.2.1:9"}} {
		if l, err := Listen(cfg); err == nil || !strings.Contains(err.Error(), "dashboard.") {
			t.Errorf("%+v: %v, %v", cfg, l, err)
		}
	}
	if l, err := Listen(config.Dashboard{}); l != nil || err != nil {
		t.Errorf("no address: %v, %v", l, err)
	}
}

// Whatever is asked, nothing panics, and what is answered is known by its kind.
func FuzzDashboard(f *testing.F) {
	h := Handler(newFake(2), config.Dashboard{LocalChanges: true})
	f.Add("GET", "/api/domains/x/counts?columns=3", "localhost", "")
	f.Add("POST", "/api/incidents/x/label", "127.0.0.1", `{"label":"true"}`)
	f.Add("GET", "/api/domains/web-000/quote?action=kvm&seconds=1e9", "localhost", "")
	f.Add("GET", "/api/actions/look0000", "localhost", "")
	f.Fuzz(func(t *testing.T, method, path, host, body string) {
		r, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
		if err != nil || strings.HasPrefix(r.URL.Path, "/api/events") {
			return
		}
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Error(fmt.Sprint(w.Code, w.Body))
		}
	})
}
