package emulator

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSameSeedSameWalk(t *testing.T) {
	walk := func(seed uint64, delay time.Duration) []string {
		var site fakeSite
		site.delay = delay
		synctest.Test(t, func(t *testing.T) {
			runAgainst(t, &site, Config{Sessions: 1, Think: time.Second, Seed: seed, MaxRate: 100}, 6*time.Minute, nil)
		})
		return site.requests()
	}
	first := walk(1, 0)
	if len(first) < 300 {
		t.Fatalf("only %d requests in six minutes", len(first))
	}
	if diff := cmp.Diff(first, walk(1, 0)); diff != "" {
		t.Errorf("the same seed walks another way (-first +second):\n%s", diff)
	}
	// A slower site is asked less, not something else.
	slow := walk(1, 300*time.Millisecond)
	if n := len(slow); n >= len(first) || !slices.Equal(slow, first[:n]) {
		t.Error("the walk hangs on how fast the site answers")
	}
	if slices.Equal(first, walk(2, 0)) {
		t.Error("another seed walks the same way")
	}
}

func TestRateIsBounded(t *testing.T) {
	var site fakeSite
	const rate = 20
	synctest.Test(t, func(t *testing.T) {
		stats := runAgainst(t, &site, Config{Sessions: 50, MaxRate: rate}, time.Minute, nil)
		if stats.Rate() > rate*1.02 || stats.Rate() < rate*0.9 {
			t.Errorf("rate %.2f/s: want just %d/s of sessions that never think", stats.Rate(), rate)
		}
	})
	hits := site.hits()
	for i := 1; i < len(hits); i++ {
		if gap := hits[i].when.Sub(hits[i-1].when); gap < time.Second/rate {
			t.Fatalf("requests %d and %d are %v apart: less than the bound allows", i-1, i, gap)
		}
	}
}

func TestClosedLoop(t *testing.T) {
	// With think time Z and response time R, N sessions ask N/(Z+R) times a second.
	site := fakeSite{delay: 250 * time.Millisecond}
	synctest.Test(t, func(t *testing.T) {
		stats := runAgainst(t, &site, Config{Sessions: 10, Think: 750 * time.Millisecond, MaxRate: 1000, Seed: 3}, 5*time.Minute, nil)
		var pages uint64
		for name, p := range stats.Pages {
			if name != "asset" {
				pages += p.Requests
			}
		}
		if rate := float64(pages) / stats.Elapsed.Seconds(); rate < 8 || rate > 10.5 {
			t.Errorf("%.2f pages/s, want somewhat below 10 (assets take their time too)", rate)
		}
		if got := stats.Latency.P50; got < 250*time.Millisecond || got > 265*time.Millisecond {
			t.Errorf("median latency %v, want 250 ms", got)
		}
	})
}

func TestShapeScalesSessions(t *testing.T) {
	var site fakeSite
	var start time.Time
	synctest.Test(t, func(t *testing.T) {
		start = time.Now()
		var active []int
		cfg := Config{Sessions: 8, Think: time.Second, MaxRate: 100, Shape: Steps{Levels: []float64{1, 0, 0.5}, Each: time.Minute}, Report: time.Minute}
		// The reports come on the edges, where the level has just changed.
		runAgainst(t, &site, cfg, 3*time.Minute+time.Second, func(s Stats) { active = append(active, s.Active) })
		if diff := cmp.Diff([]int{0, 4, 8}, active); diff != "" {
			t.Errorf("active sessions (-want +got):\n%s", diff)
		}
	})
	var counts [3]int
	for _, h := range site.hits() {
		if i := int(h.when.Sub(start) / time.Minute); i < 3 {
			counts[i]++
		}
	}
	// The pages under way when the minute ends still fetch their pictures.
	if counts[1] > 8 || counts[2] < counts[0]/4 || counts[2] > counts[0]*3/4 {
		t.Errorf("requests in the three minutes %v: want many, next to none, half", counts)
	}
}

func TestAllPagesAreVisitedAndFormsAreReal(t *testing.T) {
	var site fakeSite
	var stats Stats
	synctest.Test(t, func(t *testing.T) {
		stats = runAgainst(t, &site, Config{Sessions: 20, Think: time.Second, MaxRate: 1000, Seed: 5}, 8*time.Minute, nil)
	})
	table, err := Auction()
	if err != nil {
		t.Fatal(err)
	}
	for name := range table.Pages {
		if stats.Pages[name].Requests == 0 {
			t.Errorf("page %q was never visited", name)
		}
	}
	if stats.Visits == 0 || stats.Failed() != 0 {
		t.Errorf("%d visits, %d failures: want some and none", stats.Visits, stats.Failed())
	}
	bids := 0
	for _, request := range site.requests() {
		body, ok := strings.CutPrefix(request, "POST /bid.php ")
		if !ok {
			continue
		}
		bids++
		form, err := url.ParseQuery(body)
		if err != nil {
			t.Fatal(err)
		}
		amount, err := strconv.Atoi(form.Get("amount"))
		user := strings.TrimPrefix(form.Get("nickname"), "user")
		if err != nil || amount < 300 || amount > 700 || form.Get("item") != "7" || form.Get("password") != "password"+user {
			t.Fatalf("bid %v: want item 7, 300 to 700 cents, a known user's password", form)
		}
	}
	if bids == 0 {
		t.Error("nobody bid")
	}
}

func TestFailuresAreCountedByKind(t *testing.T) {
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	busy := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	away := http.RedirectHandler("http://elsewhere/", http.StatusFound)
	cut := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for _, tc := range []struct {
		kind    string
		handler http.Handler
	}{{"timeout", hang}, {"status 503", busy}, {"status 302", away}, {"connection", cut}} {
		t.Run(tc.kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stats := runAgainst(t, tc.handler, Config{Sessions: 3, Think: time.Second, MaxRate: 10, Timeout: 2 * time.Second}, time.Minute, nil)
				if n := stats.Errors[tc.kind]; n == 0 || n != stats.Requests || n != stats.Failed() {
					t.Errorf("%d of %d requests counted as %q, all errors %v", n, stats.Requests, tc.kind, stats.Errors)
				}
			})
		})
	}
	t.Run("no server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
			stats, err := Run(ctx, Config{BaseURL: "http://site", Sessions: 2, MaxRate: 10, Dial: refuse}, nil)
			if err != nil || stats.Errors["connection"] < 500 || stats.Errors["connection"] != stats.Requests {
				t.Errorf("errors %v, %d requests, %v", stats.Errors, stats.Requests, err)
			}
		})
	})
}

// Over real sockets: Run returns when its context ends, also from requests that never end, and closes everything.
func TestEndsWithItsContext(t *testing.T) {
	entered := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range 4 {
			<-entered
		}
		cancel()
	}()
	stats, err := Run(ctx, Config{BaseURL: server.URL, Sessions: 4, Think: time.Millisecond, MaxRate: 100}, func(Stats) {})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Failed() != 0 {
		t.Errorf("the end of the run counted as failure: %v", stats.Errors)
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{BaseURL: "http://10.77.0.10", Sessions: 1, MaxRate: 1}
	for name, spoil := range map[string]func(*Config){
		"base address": func(c *Config) { c.BaseURL = "10.77.0.10" },
		"0 sessions":   func(c *Config) { c.Sessions = 0 },
		"1001":         func(c *Config) { c.Sessions = 1001 },
		"highest rate": func(c *Config) { c.MaxRate = 0 },
		"negative":     func(c *Config) { c.Think = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := Run(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v: want one that says %q", err, name)
		}
	}
}
