package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/version"
)

// maxBody bounds a request's body: a note is the longest part of one.
const maxBody = 8 << 10

// incidentsMost bounds a list of incidents.
const incidentsMost = 500

// Handler serves the page and what it asks for.
func Handler(b control.Backend, cfg config.Dashboard) http.Handler {
	mux := http.NewServeMux()
	for path, f := range files() {
		if path == "/" {
			path = "/{$}"
		}
		mux.Handle("GET "+path, f)
	}
	g := newGuard(mux, cfg.Hosts, cfg.Changes())
	mux.HandleFunc("GET /api/session", func(w http.ResponseWriter, _ *http.Request) {
		s := session{Version: version.String(), Changes: g.changes, History: b.HistoryStatus()}
		if g.changes {
			s.Token = g.token
		}
		answer(w, s, nil)
	})
	routeDomains(mux, b)
	routeIncidents(mux, b)
	routeLooks(mux, b)
	l := newLive(b)
	mux.Handle("GET /api/events", l)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no %s %.200s", r.Method, r.URL.Path))
	})
	return g
}

// session is what a page must know before all else.
type session struct {
	Version string                `json:"version"`
	Token   string                `json:"token,omitempty"` // to change anything
	Changes bool                  `json:"changes"`         // anything may be changed
	History control.HistoryStatus `json:"history"`
}

// row is a domain in the list of all.
type row struct {
	UUID      string             `json:"uuid"`
	Name      string             `json:"name"`
	ID        int                `json:"id,omitempty"`
	State     string             `json:"state"`
	Since     time.Time          `json:"since"`
	Reason    *control.Reason    `json:"reason,omitempty"`
	Coverage  string             `json:"coverage"`
	Unseen    []control.Unseen   `json:"unseen,omitempty"`
	Incidents []control.Incident `json:"incidents,omitempty"`
	Learning  *control.Learning  `json:"learning,omitempty"`
	Tentative bool               `json:"provisional"`      // more false alarms than accepted are not ruled out yet
	Scored    float64            `json:"scored"`           // share of the guest's life, 0 to 1
	Cost      float64            `json:"cost_ms_per_unit"` // the daemon's CPU time
	Ribbon    control.Ribbon     `json:"ribbon"`
}

func rows(b control.Backend) []row {
	ribbons := b.Ribbons()
	domains := b.Domains()
	list := make([]row, len(domains))
	for i, d := range domains {
		list[i] = row{
			UUID: d.UUID, Name: d.Name, ID: d.ID, State: d.State, Since: d.Since, Reason: d.Reason, Coverage: d.Coverage, Unseen: d.Unseen,
			Incidents: d.Incidents, Learning: d.Learning, Tentative: d.Promise != nil && d.Promise.Provisional, Ribbon: ribbons[d.UUID],
		}
		if d.Ledger.Life > 0 {
			list[i].Scored = math.Round(1000*d.Ledger.Scored/d.Ledger.Life) / 1000
		}
		if d.Units.Seen > 0 {
			list[i].Cost = math.Round(10000*d.CPUSeconds/float64(d.Units.Seen)) / 10
		}
	}
	return list
}

func routeDomains(mux *http.ServeMux, b control.Backend) {
	mux.HandleFunc("GET /api/domains", func(w http.ResponseWriter, _ *http.Request) { answer(w, rows(b), nil) })
	mux.HandleFunc("GET /api/domains/{ref}", func(w http.ResponseWriter, r *http.Request) {
		d, err := b.Domain(r.PathValue("ref"))
		answer(w, d, err)
	})
	mux.HandleFunc("GET /api/domains/{ref}/timeline", func(w http.ResponseWriter, r *http.Request) {
		t, err := b.Timeline(r.PathValue("ref"))
		answer(w, t, err)
	})
	mux.HandleFunc("GET /api/domains/{ref}/counts", func(w http.ResponseWriter, r *http.Request) {
		span, err := control.ParseCountsSpan(r.URL.Query())
		if err != nil {
			answer(w, nil, err)
			return
		}
		c, err := b.Counts(r.PathValue("ref"), span)
		answer(w, c, err)
	})
	mux.HandleFunc("POST /api/domains/{ref}/relearn", func(w http.ResponseWriter, r *http.Request) {
		var request control.RelearnRequest
		if decode(w, r, &request) {
			again, err := b.Relearn(r.PathValue("ref"), request)
			answer(w, again, err)
		}
	})
}

func routeIncidents(mux *http.ServeMux, b control.Incidents) {
	mux.HandleFunc("GET /api/incidents", func(w http.ResponseWriter, r *http.Request) {
		f, err := control.ParseFilter(r.URL.Query())
		if err != nil {
			answer(w, nil, err)
			return
		}
		if f.Most == 0 || f.Most > incidentsMost {
			f.Most = incidentsMost
		}
		list, err := b.ListIncidents(f)
		if list == nil {
			list = []control.IncidentRecord{}
		}
		answer(w, list, err)
	})
	mux.HandleFunc("GET /api/incidents/{id}", func(w http.ResponseWriter, r *http.Request) {
		i, err := b.Incident(r.PathValue("id"))
		answer(w, i, err)
	})
	mux.HandleFunc("GET /api/incidents/{id}/units", func(w http.ResponseWriter, r *http.Request) {
		u, err := b.IncidentUnits(r.PathValue("id"))
		answer(w, u, err)
	})
	mux.HandleFunc("POST /api/incidents/{id}/label", func(w http.ResponseWriter, r *http.Request) {
		var request control.LabelRequest
		if decode(w, r, &request) {
			i, err := b.LabelIncident(r.PathValue("id"), request)
			answer(w, i, err)
		}
	})
	mux.HandleFunc("POST /api/incidents/{id}/ack", func(w http.ResponseWriter, r *http.Request) {
		var request control.AckRequest
		if decode(w, r, &request) {
			i, err := b.AckIncident(r.PathValue("id"), request)
			answer(w, i, err)
		}
	})
}

// decode reads a request's body; where that fails, it answers, and says false.
func decode(w http.ResponseWriter, r *http.Request, request any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(request); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("the request cannot be read: %w", err))
		return false
	}
	return true
}

// answer writes a value, or an error with the status that it stands for.
func answer(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, control.ErrNoDomain), errors.Is(err, control.ErrNoIncident), errors.Is(err, control.ErrNoAction):
		refuse(w, http.StatusNotFound, err)
	case errors.Is(err, control.ErrNoProfile), errors.Is(err, control.ErrRefused):
		refuse(w, http.StatusConflict, err)
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
	default:
		write(w, http.StatusOK, v)
	}
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, status int, err error) {
	write(w, status, struct {
		Error string `json:"error"`
	}{err.Error()})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error here is the browser's, which has gone
}
