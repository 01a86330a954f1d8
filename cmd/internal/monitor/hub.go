package monitor

import (
	"context"
	"sync"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// hubQueue bounds the reports that wait for one subscriber; a slower one loses reports.
const hubQueue = 256

// hub hands every unit report to every subscriber.
type hub struct {
	mu   sync.Mutex // guards subs
	subs map[chan control.UnitReport]struct{}
}

func (h *hub) publish(u control.UnitReport) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.subs {
		select {
		case c <- u:
		default:
		}
	}
}

func (h *hub) subscribe(ctx context.Context) <-chan control.UnitReport {
	c := make(chan control.UnitReport, hubQueue)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = map[chan control.UnitReport]struct{}{}
	}
	h.subs[c] = struct{}{}
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs, c)
		close(c)
	})
	return c
}
