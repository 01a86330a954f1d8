package lab

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEverydayHandler(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Packages"), []byte("Package: a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := new(everydayHost)
	handler := h.handler(dir)
	for _, tt := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/packages/Packages", "", http.StatusOK, "Package: a\n"},
		{"GET", "/packages/none.deb", "", http.StatusNotFound, ""},
		{"GET", "/packages/../../etc/passwd", "", http.StatusTemporaryRedirect, ""},
		{"PUT", "/backup/auction.sql.gz", "12345", http.StatusCreated, ""},
		{"PUT", "/backup/srv.tar.gz", "678", http.StatusCreated, ""},
		{"PUT", "/packages/Packages", "x", http.StatusMethodNotAllowed, ""},
		{"GET", "/", "", http.StatusNotFound, ""},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body)))
		if w.Code != tt.code || tt.want != "" && w.Body.String() != tt.want {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.path, w.Code, w.Body, tt.code, tt.want)
		}
	}
	if got := h.backups.Load(); got != 8 {
		t.Errorf("%d bytes of backups, want 8", got)
	}
}

func TestListenToHearsUntilClosed(t *testing.T) {
	ear, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard, done := make(chan string), make(chan struct{})
	go func() {
		defer close(done)
		listenTo(ear, func(s string) { heard <- s })
	}()
	conn, err := new(net.Dialer).DialContext(t.Context(), "udp4", ear.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "1 minute begin\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "1 minute begin\n" {
		t.Errorf("heard %q", got)
	}
	if err := ear.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestSitePagesAreAllDifferent(t *testing.T) {
	seen := make(map[string]bool)
	for n := range 3000 {
		page := sitePage(n)
		if seen[page] || !strings.HasPrefix(page, "/") {
			t.Fatalf("page %d is %s: want a new one each time", n, page)
		}
		seen[page] = true
	}
	for _, page := range []string{"/", "/search.php?category=20", "/item.php?id=1", "/bids.php?item=1", "/user.php?id=900"} {
		if !seen[page] {
			t.Errorf("%s is not among the pages", page)
		}
	}
}

// answers is a site that refuses some pages.
type answers map[string]int

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if code := a[r.URL.RequestURI()]; code != 0 {
		w.WriteHeader(code)
	}
	return w.Result(), nil
}

func TestCrawlGoesOnAfterAPageThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := http.Client{Transport: answers{"/regions.php": http.StatusBadGateway, "/search.php?category=1": http.StatusNotFound}}
		began := time.Now()
		pages, failed, err := crawlSite(t.Context(), &client, "http://site", 0, 5, 10*time.Second+time.Millisecond)
		if diff := cmp.Diff([]int{50, 2}, []int{pages, failed}); diff != "" {
			t.Errorf("pages and failures (-want +got):\n%s", diff)
		}
		if err == nil || !strings.Contains(err.Error(), "/regions.php") {
			t.Errorf("error %v, want one of the first page that failed", err)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it took %v, want 10 s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if pages, failed, err := crawlSite(ctx, &client, "http://site", 0, 5, time.Minute); pages+failed > 0 || err != nil {
			t.Errorf("when ended at once: %d pages, %d failed, %v", pages, failed, err)
		}
	})
}
