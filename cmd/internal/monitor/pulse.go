package monitor

import (
	"sync"
	"time"
)

// pulse knows when consumer daemons were last known to work. One serves the sessions of all domains: what it writes for one of them shows that it has not
// stopped before, for all. The zero value is ready; it may be used by several goroutines. Times are of CLOCK_MONOTONIC, in nanoseconds.
type pulse struct {
	mu     sync.Mutex // guards hearts
	hearts map[int]heart
}

// heart is what is known of one consumer daemon.
type heart struct {
	beaten int64 // when it was last known to work
	asked  int64 // when somebody was last to ask it
}

const (
	// pulseKept is for how long a consumer daemon of which nothing was heard is remembered: by then it has ended, presumably.
	pulseKept = int64(time.Hour)
	// askEach is how long one domain's question serves all: rotations take their time, one after the other.
	askEach = int64(time.Second)
)

// beat takes note that a consumer daemon, by its process ID, has worked at a time.
func (p *pulse) beat(consumer int, at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hearts == nil {
		p.hearts = map[int]heart{}
	}
	h, known := p.hearts[consumer]
	if !known {
		for other, h := range p.hearts {
			if at-h.beaten > pulseKept {
				delete(p.hearts, other)
			}
		}
	}
	h.beaten = max(h.beaten, at)
	p.hearts[consumer] = h
}

// beaten is when that was last so; 0: never.
func (p *pulse) beaten(consumer int) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hearts[consumer].beaten
}

// ask says whether the caller is to ask a consumer daemon that is known, by a rotation, at a time: nobody else has just begun to.
func (p *pulse) ask(consumer int, at int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, known := p.hearts[consumer]
	if known && at-h.asked < askEach {
		return false
	}
	if known {
		h.asked = at
		p.hearts[consumer] = h
	}
	return true
}
