package dashboard

import (
	"math"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/syscallname"
)

// What a page is told of an action in detail.
const (
	drawnMost  = 60     // features of which it is told how they went over time
	valuesMost = 20_000 // counts of all of these together
)

// routeLooks adds what is done with monitoring actions.
func routeLooks(mux *http.ServeMux, b control.Actions) {
	mux.HandleFunc("GET /api/domains/{ref}/actions", func(w http.ResponseWriter, r *http.Request) {
		o, err := b.ActionOptions(r.Context(), r.PathValue("ref"))
		answer(w, o, err)
	})
	mux.HandleFunc("GET /api/domains/{ref}/quote", func(w http.ResponseWriter, r *http.Request) {
		a, err := b.StartAction(r.Context(), r.PathValue("ref"), quoted(r.URL.Query()))
		answer(w, a, err)
	})
	mux.HandleFunc("POST /api/domains/{ref}/actions", func(w http.ResponseWriter, r *http.Request) {
		var request control.ActionRequest
		if decode(w, r, &request) {
			a, err := b.StartAction(r.Context(), r.PathValue("ref"), request)
			answer(w, a, err)
		}
	})
	mux.HandleFunc("GET /api/actions", func(w http.ResponseWriter, _ *http.Request) { answer(w, b.ListActions(), nil) })
	mux.HandleFunc("GET /api/actions/{id}", func(w http.ResponseWriter, r *http.Request) {
		result, err := lookedAt(b, r.PathValue("id"))
		answer(w, result, err)
	})
	mux.HandleFunc("POST /api/actions/{id}/stop", func(w http.ResponseWriter, r *http.Request) {
		if decode(w, r, &struct{}{}) {
			a, err := b.StopAction(r.Context(), r.PathValue("id"))
			answer(w, a, err)
		}
	})
}

// quoted reads what an action would be started with: action=NAME, as often as there are any, and seconds. What is no number is refused by whoever starts actions.
func quoted(q url.Values) control.ActionRequest {
	r := control.ActionRequest{Actions: q["action"], DryRun: true}
	if text := q.Get("seconds"); text != "" {
		var err error
		if r.Seconds, err = strconv.ParseFloat(text, 64); err != nil {
			r.Seconds = math.NaN()
		}
	}
	return r
}

// result is an action with what it has seen.
type result struct {
	control.Action
	Rows []tallied `json:"rows"` // most hits first
}

// tallied is how often something was hit, and what its name says.
type tallied struct {
	control.Tally
	Kind   string   `json:"kind"`             // the table that it belongs to, one of those below
	Number *int     `json:"number,omitempty"` // of a system call
	Name   string   `json:"name"`             // without what Part says
	Part   string   `json:"part,omitempty"`   // the kind of thread, the virtual CPU, the way of a packet, the argument of an event
	Values []uint64 `json:"values,omitempty"` // by the units of Line; of those with most hits
}

// The tables that features of actions belong to.
const (
	kindSyscalls  = "syscalls"
	kindGuest     = "guest-syscalls"
	kindExits     = "exits"
	kindKVM       = "kvm"
	kindPackets   = "packets"
	kindFunctions = "functions"
	kindEvents    = "events"
)

// lookedAt is an action with what it has seen by now. Errors: those of control.Actions.
func lookedAt(b control.Actions, id string) (result, error) {
	a, err := b.Action(id)
	if err != nil {
		return result{}, err
	}
	units, err := b.ActionUnits(a.ID)
	if err != nil {
		return result{}, err
	}
	// What has come between the two is in the units alone.
	counts := make([]map[string]uint64, len(units))
	for i := range units {
		counts[i], units[i].Counts, units[i].Top = units[i].Counts, nil, nil
	}
	r := result{Action: a, Rows: make([]tallied, len(a.Totals))}
	r.Totals, r.Line = nil, units
	drawn := min(drawnMost, valuesMost/max(1, len(units)))
	for i, t := range a.Totals {
		r.Rows[i] = tallyOf(t)
		if i >= drawn {
			continue
		}
		r.Rows[i].Values = make([]uint64, len(units))
		for k := range counts {
			r.Rows[i].Values[k] = counts[k][t.Feature]
		}
	}
	return r, nil
}

// tallyOf takes a feature's name apart.
func tallyOf(t control.Tally) tallied {
	of := tallied{Tally: t, Kind: kindEvents}
	source, rest, _ := strings.Cut(t.Feature, ":")
	first, last, parted := strings.Cut(rest, ":")
	switch source {
	case actions.Syscalls:
		of.Kind, of.Part, of.Name = kindSyscalls, first, last
		if n, ok := syscallname.Number(runtime.GOARCH, last); ok {
			of.Number = &n
		}
	case kindGuest:
		of.Kind, of.Part, of.Name = kindGuest, first, last
		of.number(last)
	case actions.KVM:
		if of.Kind, of.Name = kindKVM, rest; parted && first == "exit" {
			of.Kind, of.Name = kindExits, last
		}
	case actions.Tap:
		of.Kind, of.Part, of.Name = kindPackets, first, last
	case actions.Functions:
		of.Kind, of.Name, of.Part = kindFunctions, first, last
	default: // QEMU's own trace points have no prefix
		of.Name, of.Part = source, rest
	}
	if of.Name == "" {
		of.Name, of.Part = t.Feature, ""
	}
	return of
}

// number fills in a call of the guest, which is known by its name on x86_64, or by its number where it has none.
func (t *tallied) number(call string) {
	const architecture = "amd64"
	if n, ok := syscallname.Number(architecture, call); ok {
		t.Number = &n
	} else if n, err := strconv.Atoi(call); err == nil {
		t.Number = &n
	}
}
