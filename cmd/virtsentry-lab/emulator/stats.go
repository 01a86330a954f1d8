package emulator

import (
	"maps"
	"math"
	"sync"
	"time"
)

// Stats is what a run has done so far.
type Stats struct {
	Elapsed  time.Duration
	Requests uint64 // sent, answered or not
	Visits   uint64 // sessions that came to their end
	Active   int    // sessions that the shape lets work now
	// Errors counts requests without a good answer by kind: "timeout", "connection", "status 503", … A few of "status 409"
	// are as in life: somebody else bid first.
	Errors  map[string]uint64
	Pages   map[string]PageStats
	Latency Latency
}

// PageStats is the share of one kind of page. The kind "asset" is style sheets and pictures.
type PageStats struct {
	Requests, Errors uint64
	Latency          Latency
}

// Latency is the time from a request to the last byte of its answer; quantiles are exact to 5 %. Failed requests are not
// in it.
type Latency struct {
	P50, P90, P99, Max time.Duration
}

// Rate is requests a second over the whole run so far.
func (s Stats) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Requests) / s.Elapsed.Seconds()
}

// Failed is the number of requests without a good answer.
func (s Stats) Failed() uint64 {
	var n uint64
	for _, c := range s.Errors {
		n += c
	}
	return n
}

// Buckets of a histogram grow by 5 % each, from 50 µs to beyond two minutes, so that its size does not depend on the run.
const (
	firstBucket = 50 * time.Microsecond
	growth      = 1.05
	bucketCount = 310
)

type histogram struct {
	counts [bucketCount]uint64
	total  uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > firstBucket {
		i = min(bucketCount-1, int(math.Log(float64(d)/float64(firstBucket))/math.Log(growth)))
	}
	h.counts[i]++
	h.total++
	h.max = max(h.max, d)
}

func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.total)))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			upper := time.Duration(float64(firstBucket) * math.Pow(growth, float64(i+1)))
			return min(upper, h.max)
		}
	}
	return h.max
}

func (h *histogram) latency() Latency {
	return Latency{P50: h.quantile(0.5), P90: h.quantile(0.9), P99: h.quantile(0.99), Max: h.max}
}

// counters collects for all sessions. Its methods are safe for concurrent use.
type counters struct {
	mu     sync.Mutex // guards all below
	visits uint64
	errors map[string]uint64
	all    histogram
	pages  map[string]*pageCounters
}

type pageCounters struct {
	requests, errors uint64
	latency          histogram
}

func newCounters() *counters {
	return &counters{errors: make(map[string]uint64), pages: make(map[string]*pageCounters)}
}

// request counts one request of a kind of page; failure is empty for a good answer.
func (c *counters) request(page string, took time.Duration, failure string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pages[page]
	if p == nil {
		p = &pageCounters{}
		c.pages[page] = p
	}
	p.requests++
	if failure != "" {
		p.errors++
		c.errors[failure]++
		return
	}
	p.latency.add(took)
	c.all.add(took)
}

func (c *counters) visit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visits++
}

func (c *counters) stats(elapsed time.Duration, active int) Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Elapsed: elapsed, Visits: c.visits, Active: active, Errors: maps.Clone(c.errors),
		Pages: make(map[string]PageStats, len(c.pages)), Latency: c.all.latency()}
	for name, p := range c.pages {
		s.Requests += p.requests
		s.Pages[name] = PageStats{Requests: p.requests, Errors: p.errors, Latency: p.latency.latency()}
	}
	return s
}
