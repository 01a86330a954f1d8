package emulator

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeService counts what its clients do.
type fakeService struct {
	fail  error
	delay time.Duration

	mu    sync.Mutex // guards all below
	drawn []int
	when  []time.Time
	left  int
}

type fakeClient struct {
	service *fakeService
	rng     *rand.Rand
}

func (c *fakeClient) Request(ctx context.Context) (string, error) {
	s := c.service
	s.mu.Lock()
	s.drawn = append(s.drawn, c.rng.IntN(1000))
	s.when = append(s.when, time.Now())
	s.mu.Unlock()
	if !sleep(ctx, s.delay) {
		return "ask", ctx.Err()
	}
	return "ask", s.fail
}

func (c *fakeClient) Leave() {
	c.service.mu.Lock()
	defer c.service.mu.Unlock()
	c.service.left++
}

// runClients has clients work for a time.
func runClients(t *testing.T, s *fakeService, cfg Config, d time.Duration) (stats Stats) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		var err error
		stats, err = RunClients(ctx, cfg, func(rng *rand.Rand) Client { return &fakeClient{s, rng} }, func(Stats) {})
		if err != nil {
			t.Error(err)
		}
	})
	return stats
}

func TestClientsWorkAndLeave(t *testing.T) {
	s := fakeService{delay: 100 * time.Millisecond}
	stats := runClients(t, &s, Config{Sessions: 5, Think: 400 * time.Millisecond, Seed: 1, MaxRate: 1000}, 10*time.Minute)
	// With think time Z and response time R, N clients ask N/(Z+R) times a second.
	if rate := stats.Rate(); rate < 9.3 || rate > 10.7 {
		t.Errorf("%.2f requests/s, want 10", rate)
	}
	if stats.Failed() != 0 || stats.Pages["ask"].Requests != stats.Requests || stats.Latency.P50 < s.delay {
		t.Errorf("%+v: want good answers of one kind, none before %v", stats, s.delay)
	}
	if visit := float64(stats.Requests) / float64(stats.Visits); visit < 16 || visit > 25 {
		t.Errorf("%.1f requests a visit, want about %d", visit, meanVisit)
	}
	if uint64(s.left) != stats.Visits+5 {
		t.Errorf("clients left %d times: want %d visits and the end of five", s.left, stats.Visits)
	}
}

func TestClientsDrawBySeedAndKeepTheBound(t *testing.T) {
	draw := func(seed uint64) []int {
		var s fakeService
		runClients(t, &s, Config{Sessions: 1, Think: time.Second, Seed: seed, MaxRate: 20}, 5*time.Minute)
		return s.drawn
	}
	if first := draw(1); !slices.Equal(first, draw(1)) || slices.Equal(first, draw(2)) {
		t.Error("the seed does not say what clients do")
	}
	var s fakeService
	runClients(t, &s, Config{Sessions: 50, MaxRate: 20}, time.Minute)
	if n := len(s.when); n < 1100 || n > 1201 {
		t.Errorf("%d requests in a minute: want just below 20/s", n)
	}
	s = fakeService{}
	if stats := runClients(t, &s, Config{Sessions: 4, Think: time.Second, MaxRate: 20, Shape: Constant(0)}, time.Minute); stats.Requests != 0 {
		t.Errorf("%d requests under no load", stats.Requests)
	}
}

func TestClientsFailuresAreCountedByKind(t *testing.T) {
	for want, s := range map[string]*fakeService{
		"sql 1213":   {fail: Failure("sql 1213")},
		"connection": {fail: errors.New("gone")},
		"timeout":    {delay: time.Hour},
	} {
		stats := runClients(t, s, Config{Sessions: 2, Think: time.Second, MaxRate: 10, Timeout: 2 * time.Second}, time.Minute)
		if n := stats.Errors[want]; n == 0 || n != stats.Requests || n != stats.Visits {
			t.Errorf("%d of %d requests counted as %q, all errors %v, %d visits", n, stats.Requests, want, stats.Errors, stats.Visits)
		}
	}
}

func TestClientsConfigIsChecked(t *testing.T) {
	_, err := RunClients(t.Context(), Config{Sessions: 1}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "highest rate") {
		t.Errorf("error %v: want one about the rate", err)
	}
}
