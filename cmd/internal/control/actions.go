package control

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// ErrNoAction says that no action of that id is known, or not any more.
var ErrNoAction = errors.New("no action")

// The states of an action, a closed list.
const (
	ActionAsked   = "asked"   // it is being attached
	ActionRefused = "refused" // it never ran: Why says why
	ActionRunning = "running"
	ActionEnded   = "ended"
)

// The codes of why an action has ended, a closed list.
const (
	EndedTime    = "time-up"
	EndedStopped = "stopped"        // somebody has stopped it
	EndedDear    = "over-budget"    // it was measured to cost more than the domain's budget allows
	EndedDomain  = "domain-gone"    // the domain's QEMU has ended
	EndedDaemon  = "daemon-stopped" // the daemon ended
	EndedFailed  = "failed"         // it could not go on: Why says why
)

// ActionPrice is what actions cost the guest, as a part of its speed: 0.03 means that what took 97 seconds takes 100. Low and High are its interval of 90 %.
type ActionPrice struct {
	Known    bool    `json:"known"`
	Slowdown float64 `json:"slowdown"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Why      string  `json:"why,omitempty"` // why it is not known, or what it rests on
}

// ActionOption is an action that a domain could be looked at by.
type ActionOption struct {
	Name    string      `json:"name"`
	Words   string      `json:"words"`             // what it counts
	WhyNot  string      `json:"why_not,omitempty"` // why it cannot run now; empty: it can
	Running string      `json:"running,omitempty"` // the id of the action that it is a part of now
	Price   ActionPrice `json:"price"`             // beside what runs already
}

// ActionOptions are all actions of a domain, and what they may cost together.
type ActionOptions struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
	// Budget is what all actions of the domain together may cost at any time, as a part of the guest's speed; nil: there is no limit.
	Budget *float64 `json:"budget,omitempty"`
	// Unpriced says that actions may run of which the price is not known.
	Unpriced bool    `json:"unpriced_allowed"`
	Usual    float64 `json:"usual_seconds"`   // that an action takes where nothing else is said
	Longest  float64 `json:"longest_seconds"` // that one may take
	// Left is how many seconds of its time actions may take from the guest within this hour; nil: there is no limit.
	Left    *float64       `json:"guest_seconds_left,omitempty"`
	Options []ActionOption `json:"actions"`
}

// ActionRequest asks for a closer look at a domain.
type ActionRequest struct {
	Actions []string `json:"actions"`           // names of ActionOptions, that run together
	Seconds float64  `json:"seconds,omitempty"` // 0: as long as is usual
	// DryRun only says what would come of it: an Action that is asked, or refused and why, with its price. It has no id, and is in no list.
	DryRun bool `json:"dry_run,omitempty"`
}

// Action is a closer look at a domain for a bounded time.
type Action struct {
	ID      string   `json:"id"`
	UUID    string   `json:"uuid"` // of the domain
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
	State   string   `json:"state"`
	// Code is why it has ended, of the list above; empty: it has not. Why says it in words; of one that runs, what there is to know of it.
	Code string `json:"code,omitempty"`
	Why  string `json:"why,omitempty"`

	Asked   time.Time `json:"asked"`
	Started time.Time `json:"started,omitzero"`
	Until   time.Time `json:"until,omitzero"` // when it ends, or has ended
	Seconds float64   `json:"seconds"`        // that it may take
	Wanted  float64   `json:"wanted_seconds"` // that were asked for, where that was more

	Price    ActionPrice `json:"price"`            // as predicted, beside what ran then
	Measured ActionPrice `json:"measured_price"`   // while it runs, or ran
	Budget   *float64    `json:"budget,omitempty"` // as in ActionOptions, when it was asked for

	Units  int     `json:"units"` // so far
	Hits   uint64  `json:"hits"`
	Lost   uint64  `json:"lost"`
	Totals []Tally `json:"totals,omitempty"` // most hits first; nil in a list of several
	// Line are the units of it, in the order of time; nil in a list of several.
	Line []ActionUnit `json:"line,omitempty"`
}

// Over says whether nothing more comes of it.
func (a Action) Over() bool { return a.State == ActionRefused || a.State == ActionEnded }

// Tally is how often something was hit.
type Tally struct {
	Feature string `json:"feature"`
	Words   string `json:"words,omitempty"`
	Hits    uint64 `json:"hits"`
}

// ActionUnit is what an action has seen in one unit, and what was thought of the domain in the same unit. Units lie on the grid of a domain's own.
type ActionUnit struct {
	Start    time.Time `json:"start"`
	Duration float64   `json:"duration_seconds"`
	Hits     uint64    `json:"hits"`
	Lost     uint64    `json:"lost"`
	Top      []Tally   `json:"top,omitempty"` // of Counts, most hits first
	// Counts are those that are not zero; nil but in ActionUnits.
	Counts map[string]uint64 `json:"counts,omitempty"`
	// Events are those that were seen one by one, in the order of time, the newest thousands of an action; nil but in ActionUnits.
	Events []ActionEvent `json:"events,omitempty"`

	State  string  `json:"state,omitempty"` // of the domain after that unit; empty: not known
	Judged bool    `json:"judged"`
	Score  float64 `json:"score"`
	PValue float64 `json:"p_value"`
}

// ActionEvent is one event that was seen by itself, as are the guest's system calls at which it was stopped: all other sources count.
type ActionEvent struct {
	At   time.Time `json:"at"`
	What string    `json:"what"` // "vcpu0 openat(-100, 0x7ffd34a0, 0, 0, 0, 0)"
}

// Actions is the part of a Backend that looks at domains more closely. An id may be cut short as long as it stays the only one that begins so.
type Actions interface {
	// ActionOptions says which actions there are for a domain, what they would cost, and why some cannot run. Errors: ErrNoDomain.
	ActionOptions(ctx context.Context, ref string) (ActionOptions, error)
	// StartAction begins a closer look, which ends by itself. Errors: ErrNoDomain; ErrRefused, with the figures or with what is in the way (but of a dry run, whose
	// answer says so).
	StartAction(ctx context.Context, ref string, request ActionRequest) (Action, error)
	// ListActions lists those that run and those that ended of late, the newest first.
	ListActions() []Action
	// Action finds one. Errors: ErrNoAction, and ErrRefused where several begin so.
	Action(id string) (Action, error)
	// ActionUnits returns the units of one with all counts. Errors: those of Action.
	ActionUnits(id string) ([]ActionUnit, error)
	// StopAction ends one and returns when it has ended; one that is over stays as it is. Errors: those of Action.
	StopAction(ctx context.Context, id string) (Action, error)
}

// routeActions adds what is done with actions.
func routeActions(mux *http.ServeMux, b Actions) {
	mux.HandleFunc("GET /v1/domains/{ref}/actions", func(w http.ResponseWriter, r *http.Request) {
		o, err := b.ActionOptions(r.Context(), r.PathValue("ref"))
		reply(w, o, err)
	})
	mux.HandleFunc("POST /v1/domains/{ref}/actions", func(w http.ResponseWriter, r *http.Request) {
		var request ActionRequest
		if decode(w, r, &request) {
			a, err := b.StartAction(r.Context(), r.PathValue("ref"), request)
			reply(w, a, err)
		}
	})
	mux.HandleFunc("GET /v1/actions", func(w http.ResponseWriter, _ *http.Request) { reply(w, b.ListActions(), nil) })
	mux.HandleFunc("GET /v1/actions/{id}", func(w http.ResponseWriter, r *http.Request) {
		a, err := b.Action(r.PathValue("id"))
		reply(w, a, err)
	})
	mux.HandleFunc("GET /v1/actions/{id}/units", func(w http.ResponseWriter, r *http.Request) {
		units, err := b.ActionUnits(r.PathValue("id"))
		reply(w, units, err)
	})
	mux.HandleFunc("DELETE /v1/actions/{id}", func(w http.ResponseWriter, r *http.Request) {
		a, err := b.StopAction(r.Context(), r.PathValue("id"))
		reply(w, a, err)
	})
}

// ActionOptions reads which actions there are for a domain. Errors: ErrNoDomain.
func (c *Client) ActionOptions(ctx context.Context, ref string) (ActionOptions, error) {
	var o ActionOptions
	return o, c.do(ctx, http.MethodGet, domainPath(ref)+"/actions", nil, &o)
}

// StartAction begins a closer look at a domain. Errors: ErrNoDomain, ErrRefused.
func (c *Client) StartAction(ctx context.Context, ref string, request ActionRequest) (Action, error) {
	var a Action
	return a, c.do(ctx, http.MethodPost, domainPath(ref)+"/actions", request, &a)
}

// ListActions lists the actions that run and those that ended of late, the newest first.
func (c *Client) ListActions(ctx context.Context) ([]Action, error) {
	var list []Action
	return list, c.do(ctx, http.MethodGet, "/v1/actions", nil, &list)
}

// Action reads one by its id. Errors: ErrNoAction, ErrRefused.
func (c *Client) Action(ctx context.Context, id string) (Action, error) {
	var a Action
	return a, c.do(ctx, http.MethodGet, actionPath(id), nil, &a)
}

// ActionUnits reads the units of one, with all counts. Errors: ErrNoAction, ErrRefused.
func (c *Client) ActionUnits(ctx context.Context, id string) ([]ActionUnit, error) {
	var list []ActionUnit
	return list, c.do(ctx, http.MethodGet, actionPath(id)+"/units", nil, &list)
}

// StopAction ends one. Errors: ErrNoAction, ErrRefused.
func (c *Client) StopAction(ctx context.Context, id string) (Action, error) {
	var a Action
	return a, c.do(ctx, http.MethodDelete, actionPath(id), nil, &a)
}

func actionPath(id string) string { return "/v1/actions/" + segment(id) }
