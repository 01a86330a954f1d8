package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// fakeSite has a page for each of the auction site's, with the same kinds of links and forms, and records what it was
// asked. It answers the same each time.
type fakeSite struct {
	mu    sync.Mutex // guards seen
	seen  []hit
	delay time.Duration
}

type hit struct {
	when    time.Time
	request string // method, address and body
}

func (f *fakeSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	f.mu.Lock()
	f.seen = append(f.seen, hit{time.Now(), fmt.Sprintf("%s %s %s", r.Method, r.URL, body)})
	f.mu.Unlock()
	time.Sleep(f.delay)
	fmt.Fprintf(w, `<link rel="stylesheet" href="/style.css"><img src="/img/photo-%02d.png" alt="">
<a href="/">Home</a> <a href="/categories.php">Categories</a>`, len(r.URL.RawQuery)%3)
	for i := 1; i <= 5; i++ {
		fmt.Fprintf(w, `<a href="/item.php?id=%d">i</a><a class="button" href="/bid.php?item=%d">b</a><a href="/bids.php?item=%d">n</a>
<a href="/search.php?category=%d&amp;page=2">s</a><a href="/user.php?id=%d">u</a><a href="/buy.php?item=%d">y</a>
<a href="/categories.php?region=%d">r</a>`, i, i, i, i, i, i, i)
	}
	for _, page := range []string{"bid", "buy", "sell", "register", "me", "comment"} {
		fmt.Fprintf(w, `<form class="card" method="post" action="/%s.php"><input type="hidden" name="item" value="7">
<label>x <input name="amount" type="number" min="300" value="300" required></label>
<select name="category"><option value="1">a</option><option value="2">b</option></select>
<select name="rating"><option>5</option><option>4</option></select>
<textarea name="remark" rows="6"></textarea><input name="nickname"><input name="password" type="password"></form>`, page)
	}
}

func (f *fakeSite) hits() []hit {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func (f *fakeSite) requests() []string {
	var all []string
	for _, h := range f.hits() {
		all = append(all, h.request)
	}
	return all
}

// memory is a listener whose connections are pipes, so that a test's clock can stand still while they wait.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemory() *memory {
	return &memory{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.done) })
	return nil
}

func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// runAgainst plays cfg for a time against a handler over pipes. Within a synctest bubble the time is the bubble's.
func runAgainst(t *testing.T, handler http.Handler, cfg Config, d time.Duration, report func(Stats)) Stats {
	t.Helper()
	listener := newMemory()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	cfg.BaseURL = "http://site"
	cfg.Dial = listener.dial
	stats, err := Run(ctx, cfg, report)
	if err != nil {
		t.Error(err)
	}
	if err := server.Shutdown(context.Background()); err != nil { // waits for the last handler
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	return stats
}
