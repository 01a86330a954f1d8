package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

const (
	liveMost   = 24               // pages that are told of news at once
	liveEvery  = time.Second      // that often
	rowsEvery  = 2                // of these, that domains are looked at
	aliveEvery = 15               // of these, that something is sent in any case: a page must see that its daemon has gone
	writeLimit = 10 * time.Second // for a page to take what it is sent
	unitsMost  = 1000             // units that are sent at once; of more, the oldest are left out
)

// live tells pages of news by server-sent events (WHATWG HTML, 9.2): "domains" with the rows of the list that have changed, "gone" with the UUIDs of domains that
// are not watched any more, "units" with what units were judged to be, "actions" with closer looks that have changed.
type live struct {
	backend control.Backend
	places  chan struct{} // holds one for each page
}

func newLive(b control.Backend) *live {
	return &live{backend: b, places: make(chan struct{}, liveMost)}
}

// scored is what a page is told of a unit.
type scored struct {
	Domain    string    `json:"domain"`
	State     string    `json:"state"`
	Start     time.Time `json:"start"`
	Judged    bool      `json:"judged"`
	Lost      uint64    `json:"lost,omitempty"`
	Score     float64   `json:"score"`
	PValue    float64   `json:"p_value"`
	Anomalous bool      `json:"anomalous,omitempty"`
}

var errCrowded = fmt.Errorf("%d pages are open already: close one", liveMost)

// ServeHTTP tells a page of news until it goes.
func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	default:
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, errCrowded)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	s := &stream{w: w, steer: http.NewResponseController(w), known: map[string][]byte{}, told: map[string][]byte{}}
	units := l.backend.Subscribe(r.Context())
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	err := errors.Join(s.domains(rows(l.backend)), s.actions(l.backend.ListActions()))
	var waiting []scored
	for n := 1; err == nil; {
		select {
		case u, open := <-units:
			if !open {
				return
			}
			if len(waiting) == unitsMost {
				waiting = append(waiting[:0], waiting[1:]...)
			}
			waiting = append(waiting, scored{u.Domain, u.State, u.Start, u.Judged, u.Lost, u.Score, u.PValue, u.Anomalous})
		case <-tick.C:
			n++
			err = s.actions(l.backend.ListActions())
			if n%rowsEvery == 0 {
				err = errors.Join(err, s.domains(rows(l.backend)))
			}
			if len(waiting) > 0 {
				err = errors.Join(err, s.send("units", waiting))
				waiting = waiting[:0]
			}
			if n%aliveEvery == 0 {
				err = errors.Join(err, s.send("alive", n))
			}
		}
	}
}

// stream is one page's.
type stream struct {
	w     http.ResponseWriter
	steer *http.ResponseController
	known map[string][]byte // rows as they were sent last, by UUID
	told  map[string][]byte // actions likewise, by id
}

// domains sends the rows that are not as they were sent last.
func (s *stream) domains(list []row) error {
	changed, there := []json.RawMessage{}, map[string]bool{}
	for _, d := range list {
		there[d.UUID] = true
		text, err := json.Marshal(d)
		if err != nil {
			return err
		}
		if !bytes.Equal(text, s.known[d.UUID]) {
			s.known[d.UUID] = text
			changed = append(changed, text)
		}
	}
	gone := []string{}
	for uuid := range s.known {
		if !there[uuid] {
			delete(s.known, uuid)
			gone = append(gone, uuid)
		}
	}
	var err error
	if len(changed) > 0 || len(list) == 0 {
		err = s.send("domains", changed)
	}
	if len(gone) > 0 {
		err = errors.Join(err, s.send("gone", gone))
	}
	return err
}

// actions sends those that are not as they were sent last. Those that are forgotten are not told of: a page may go on showing them.
func (s *stream) actions(list []control.Action) error {
	var changed []json.RawMessage
	there := make(map[string]bool, len(list))
	for _, a := range list {
		there[a.ID] = true
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if !bytes.Equal(text, s.told[a.ID]) {
			s.told[a.ID] = text
			changed = append(changed, text)
		}
	}
	for id := range s.told {
		if !there[id] {
			delete(s.told, id)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return s.send("actions", changed)
}

func (s *stream) send(event string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_ = s.steer.SetWriteDeadline(time.Now().Add(writeLimit)) // not all writers can, such as that of a test
	if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", event, text); err != nil {
		return err
	}
	return s.steer.Flush()
}
