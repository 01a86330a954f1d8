package monitor

import (
	"slices"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
)

const (
	happeningsKept = 64  // of a domain
	maxDetail      = 256 // bytes of its words
	againWithin    = 10 * time.Second
	happeningsAge  = 24 * time.Hour // a domain of which nothing was heard for so long is forgotten
)

// happenings remember what libvirt told of domains. The zero value is ready; it is safe for concurrent use.
type happenings struct {
	mu sync.Mutex // guards of
	of map[string][]control.Happening
}

// note remembers an event that came then. What virtsentry writes itself is no news.
func (h *happenings) note(e libvirt.Event, at time.Time) {
	if e.Kind == libvirt.MetadataChanged || e.Kind == libvirt.ProfileChanged {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = map[string][]control.Happening{}
	}
	list := h.of[e.Domain.UUID]
	// A guest that is stopped and let run again and again, as by a debugger, leaves room for other news: the first and the last of these stay.
	again := func(x control.Happening) bool {
		return x.What == libvirt.Suspended.String() || x.What == libvirt.Resumed.String()
	}
	if n := len(list); n > 1 && standsOrRuns(e.Kind) && again(list[n-1]) && again(list[n-2]) && at.Sub(list[n-1].At) < againWithin {
		list = list[:n-1]
	}
	list = append(list, control.Happening{At: at.UTC(), What: e.Kind.String(), Detail: e.Detail[:min(len(e.Detail), maxDetail)]})
	h.of[e.Domain.UUID] = list[max(0, len(list)-happeningsKept):]
}

// between are those of a domain from one time to another.
func (h *happenings) between(uuid string, from, to time.Time) (list []control.Happening) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.of[uuid] {
		if !x.At.Before(from) && !x.At.After(to) {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b control.Happening) int { return a.At.Compare(b.At) })
	return list
}

// forget forgets domains of which nothing was heard for long.
func (h *happenings) forget(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for uuid, list := range h.of {
		if now.Sub(list[len(list)-1].At) > happeningsAge {
			delete(h.of, uuid)
		}
	}
}
