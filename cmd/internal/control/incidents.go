package control

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The labels that an operator may give an incident, a closed list. One without a label has not been looked at.
const (
	LabelTrue    = "true"    // it was what it says
	LabelFalse   = "false"   // a false alarm: what happened is normal for the domain
	LabelUnknown = "unknown" // it was looked at, and cannot be told
)

// Labels are those that may be given.
func Labels() []string { return []string{LabelTrue, LabelFalse, LabelUnknown} }

// The codes of why an incident is closed, a closed list.
const (
	ClosedOver   = "over"           // what it says was seen to end
	ClosedDomain = "domain-stopped" // the domain's QEMU has ended
	ClosedDaemon = "daemon-stopped" // it was over when a daemon looked again: it ended while none ran, or the domain had another life by then
	ClosedPolicy = "policy"         // the operator does not want the domain watched any more
)

// IncidentRecord is an incident as it is kept. All but Ack, Label and Note is the daemon's.
type IncidentRecord struct {
	ID   string `json:"id"`   // unique among all hosts
	UUID string `json:"uuid"` // of the domain
	Name string `json:"name"`
	Host string `json:"host"`
	Kind string `json:"kind"`
	// Since is when it was opened, Until when it was closed (zero: open), Updated when the record was last true, on the host's clock.
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"`
	Updated time.Time `json:"updated"`
	Closed  string    `json:"closed,omitempty"` // why it is closed; empty: it is open
	Text    string    `json:"text"`             // the newest words for it

	// From and To are the span of the unusual units, from the first that led to it to the last, on the units' clock; both zero: there was none.
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"`
	Units int       `json:"units"` // unusual ones
	// Peak is the least probable of them.
	Peak *Peak `json:"peak,omitempty"`

	// Scored and Unscored are the ledger of its span: the seconds in units that were scored, and those that were not, by the codes of reasons.
	Scored   float64            `json:"scored_seconds"`
	Unscored map[string]float64 `json:"unscored_seconds,omitempty"`
	// Unseen are the devices that the state did not speak of.
	Unseen []Unseen `json:"unseen,omitempty"`
	// Surroundings are what stood around the domain then: whose it is, what it is connected to, what libvirt told of it, who else was anomalous.
	Surroundings *Surroundings `json:"surroundings,omitempty"`
	// Restarts counts the starts of the daemon while it was open.
	Restarts int `json:"restarts,omitempty"`
	// Life says which run of the domain it is of: the host's boot, and the process of the QEMU.
	Life string `json:"life,omitempty"`

	Ack   time.Time `json:"ack,omitzero"` // when an operator acknowledged it
	Label string    `json:"label,omitempty"`
	Note  string    `json:"note,omitempty"`
}

// Open says whether it has not been closed.
func (r IncidentRecord) Open() bool { return r.Closed == "" }

// Peak is the least probable unit of an incident, and what was unusual in it.
type Peak struct {
	Start    time.Time  `json:"start"`
	Score    float64    `json:"score"`
	PValue   float64    `json:"p_value"`
	Lost     uint64     `json:"lost"`
	Sentence string     `json:"sentence"`
	Explain  []Variable `json:"explain"`
}

// KeptUnit is a unit near an incident.
type KeptUnit struct {
	Start     time.Time         `json:"start"`
	Duration  float64           `json:"duration_seconds"`
	Lost      uint64            `json:"lost"`
	State     string            `json:"state"`            // of the domain after it
	Reason    string            `json:"reason,omitempty"` // why it was not scored; empty: it was
	Judged    bool              `json:"judged"`
	Anomalous bool              `json:"anomalous"`
	Score     float64           `json:"score"`
	PValue    float64           `json:"p_value"`
	Counts    map[string]uint64 `json:"counts"` // those that are not zero
}

// IncidentUnits are the units that are kept with an incident, in the order of time.
type IncidentUnits struct {
	Catalogue string     `json:"catalogue"` // what was counted
	Features  []string   `json:"features"`  // all of it
	Units     []KeptUnit `json:"units"`
}

// IncidentFilter chooses incidents. The zero value chooses all.
type IncidentFilter struct {
	Domain string    // its UUID, or the name that it had
	Kind   string    // one
	State  string    // open or closed; empty: both
	Label  string    // one, or none for those without; empty: whatever it is
	Unread bool      // only those that nobody has acknowledged or labelled
	From   time.Time // that were open at this time or later; zero: ever
	To     time.Time // that were opened before; zero: ever
	Most   int       // so many, the newest; 0: all
}

// AckRequest acknowledges an incident.
type AckRequest struct {
	Note string `json:"note,omitempty"` // replaces the one that is there; empty: that stays
}

// LabelRequest labels an incident.
type LabelRequest struct {
	Label string `json:"label"`
	Note  string `json:"note,omitempty"` // as in AckRequest
}

// MaxNoteBytes bounds a note.
const MaxNoteBytes = 2000

// HistoryStatus says how the keeping of incidents is.
type HistoryStatus struct {
	File    string    `json:"file"`
	Error   string    `json:"error,omitempty"` // why nothing is written now; empty: all is well
	Since   time.Time `json:"since,omitzero"`  // of the error
	Waiting int       `json:"waiting"`         // incidents with news that are not on disk yet
	Dropped uint64    `json:"dropped_units"`   // units that were not kept, since the daemon began

	Bytes    uint64    `json:"bytes"`             // of the database with its log, when it was last written to; 0: it was not yet
	Failures uint64    `json:"failures"`          // tries to write that failed, since the daemon began
	Failed   time.Time `json:"failed,omitzero"`   // when one last did
	Aside    string    `json:"damaged,omitempty"` // the newest database that was damaged and moved aside, as long as it is there
}

// Incidents is the part of a Backend that keeps incidents. An id may be cut short as long as it stays the only one that begins so; "last" is the
// newest of kind anomaly.
type Incidents interface {
	// ListIncidents lists incidents, the newest first.
	ListIncidents(f IncidentFilter) ([]IncidentRecord, error)
	// Incident finds one. Errors: ErrNoIncident, and ErrRefused where several begin so.
	Incident(id string) (IncidentRecord, error)
	// IncidentUnits returns the units that are kept with an incident. Errors: those of Incident.
	IncidentUnits(id string) (IncidentUnits, error)
	// AckIncident and LabelIncident note what an operator thinks of an incident. Errors: those of Incident, ErrRefused.
	AckIncident(id string, request AckRequest) (IncidentRecord, error)
	LabelIncident(id string, request LabelRequest) (IncidentRecord, error)
	// HistoryStatus says how the keeping of incidents is.
	HistoryStatus() HistoryStatus
}

// routeIncidents adds what is done with incidents.
func routeIncidents(mux *http.ServeMux, b Incidents) {
	mux.HandleFunc("GET /v1/history", func(w http.ResponseWriter, _ *http.Request) { reply(w, b.HistoryStatus(), nil) })
	mux.HandleFunc("GET /v1/incidents", func(w http.ResponseWriter, r *http.Request) {
		f, err := ParseFilter(r.URL.Query())
		if err != nil {
			reply(w, nil, err)
			return
		}
		list, err := b.ListIncidents(f)
		reply(w, list, err)
	})
	mux.HandleFunc("GET /v1/incidents/{id}", func(w http.ResponseWriter, r *http.Request) {
		i, err := b.Incident(r.PathValue("id"))
		reply(w, i, err)
	})
	mux.HandleFunc("GET /v1/incidents/{id}/units", func(w http.ResponseWriter, r *http.Request) {
		units, err := b.IncidentUnits(r.PathValue("id"))
		reply(w, units, err)
	})
	mux.HandleFunc("POST /v1/incidents/{id}/ack", func(w http.ResponseWriter, r *http.Request) {
		var request AckRequest
		if decode(w, r, &request) {
			i, err := b.AckIncident(r.PathValue("id"), request)
			reply(w, i, err)
		}
	})
	mux.HandleFunc("POST /v1/incidents/{id}/label", func(w http.ResponseWriter, r *http.Request) {
		var request LabelRequest
		if decode(w, r, &request) {
			i, err := b.LabelIncident(r.PathValue("id"), request)
			reply(w, i, err)
		}
	})
}

// ListIncidents lists kept incidents, the newest first. Errors: ErrRefused.
func (c *Client) ListIncidents(ctx context.Context, f IncidentFilter) ([]IncidentRecord, error) {
	var list []IncidentRecord
	return list, c.do(ctx, http.MethodGet, "/v1/incidents?"+f.query().Encode(), nil, &list)
}

// Incident reads one by its id. Errors: ErrNoIncident, ErrRefused.
func (c *Client) Incident(ctx context.Context, id string) (IncidentRecord, error) {
	var i IncidentRecord
	return i, c.do(ctx, http.MethodGet, incidentPath(id), nil, &i)
}

// IncidentUnits reads the units that are kept with an incident. Errors: ErrNoIncident, ErrRefused.
func (c *Client) IncidentUnits(ctx context.Context, id string) (IncidentUnits, error) {
	var u IncidentUnits
	return u, c.do(ctx, http.MethodGet, incidentPath(id)+"/units", nil, &u)
}

// AckIncident acknowledges an incident. Errors: ErrNoIncident, ErrRefused.
func (c *Client) AckIncident(ctx context.Context, id string, request AckRequest) (IncidentRecord, error) {
	var i IncidentRecord
	return i, c.do(ctx, http.MethodPost, incidentPath(id)+"/ack", request, &i)
}

// LabelIncident labels an incident. Errors: ErrNoIncident, ErrRefused.
func (c *Client) LabelIncident(ctx context.Context, id string, request LabelRequest) (IncidentRecord, error) {
	var i IncidentRecord
	return i, c.do(ctx, http.MethodPost, incidentPath(id)+"/label", request, &i)
}

// HistoryStatus says how the keeping of incidents is.
func (c *Client) HistoryStatus(ctx context.Context) (HistoryStatus, error) {
	var h HistoryStatus
	return h, c.do(ctx, http.MethodGet, "/v1/history", nil, &h)
}

func incidentPath(id string) string { return "/v1/incidents/" + segment(id) }

// query is the filter as part of an address.
func (f IncidentFilter) query() url.Values {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("domain", f.Domain)
	set("kind", f.Kind)
	set("state", f.State)
	set("label", f.Label)
	if f.Unread {
		q.Set("unread", "true")
	}
	if !f.From.IsZero() {
		q.Set("from", f.From.UTC().Format(time.RFC3339Nano))
	}
	if !f.To.IsZero() {
		q.Set("to", f.To.UTC().Format(time.RFC3339Nano))
	}
	if f.Most > 0 {
		q.Set("most", strconv.Itoa(f.Most))
	}
	return q
}
