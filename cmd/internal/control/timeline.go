package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Timelines is the part of a Backend that remembers for a day what units were judged to be, and for an hour what was counted in them.
type Timelines interface {
	// Timeline is what a domain's units were judged to be. Errors: ErrNoDomain.
	Timeline(ref string) (Timeline, error)
	// Ribbons is the last hour of each running domain, by UUID.
	Ribbons() map[string]Ribbon
	// Counts is what was counted in a domain in a span of the last hour, in at most so many columns. Errors: ErrNoDomain, ErrRefused.
	Counts(ref string, span CountsSpan) (Counts, error)
}

// RibbonMinutes is the length of a Ribbon.
const RibbonMinutes = 60

// MostColumns bounds the columns of Counts.
const MostColumns = 240

// Timeline is what a domain's units were judged to be: the newest each on its own, and those of a day by the minute. It begins when the daemon attached to the
// domain.
type Timeline struct {
	UUID    string  `json:"uuid"`
	Level   float64 `json:"level"` // at this p-value or below a unit is unusual; 0: no profile is in force
	Units   Track   `json:"units"`
	Minutes Track   `json:"minutes"`
}

// Track is a row of equal steps of time. All lists but States and Reasons have an entry for each step.
type Track struct {
	Start   time.Time `json:"start"`        // of the first step, on the units' clock
	Step    float64   `json:"step_seconds"` // length of each
	States  []string  `json:"states"`       // what State counts in
	Reasons []string  `json:"reasons"`      // what Reason counts in
	State   []int     `json:"state"`        // the most serious state in the step, an index of States; -1: nothing is known of that time
	Reason  []int     `json:"reason"`       // why some of the step was not scored, an index of Reasons; -1: all of it was, or nothing is known
	Scored  []int     `json:"scored"`       // units of the step that were scored
	Unusual []bool    `json:"unusual"`      // one of them was unusual
	// Score and PValue are the lowest ones of the step, to two or three digits. They mean nothing where Scored is 0.
	Score  []float64 `json:"score"`
	PValue []float64 `json:"p_value"`
}

// Ribbon is the last hour of a domain, a letter or digit for each minute, the oldest first.
type Ribbon struct {
	// States has the first letter of the most serious state of each minute, but t for starting, k for unknown and x for disabled; a dot where nothing is known.
	States string `json:"states"`
	// Unusual says how improbable the least probable unit of each minute was: the digit is -2 log10 of its p-value, 9 at most; a dot where none was scored.
	Unusual string `json:"unusual"`
}

// CountsSpan chooses a span of Counts.
type CountsSpan struct {
	From    time.Time // on the units' clock; zero: as far back as is remembered
	To      time.Time // zero: up to now
	Columns int       // at most so many; 0: MostColumns
}

// Counts is what was counted in a span of units that lost nothing: means by the unit, in columns of equal length.
type Counts struct {
	Start   time.Time   `json:"start"`           // of the first column
	Step    float64     `json:"step_seconds"`    // length of each
	Units   []int       `json:"units"`           // of each column; 0: nothing was counted there, or events were lost
	Total   int         `json:"total_units"`     // of all columns
	Rows    []CountsRow `json:"rows"`            // the features that were counted, or usually are, in the order of the feature set
	Oldest  time.Time   `json:"oldest,omitzero"` // from when on units are remembered; zero: none are
	Profile bool        `json:"profile"`         // the usual ranges are known
}

// CountsRow is one feature's counts.
type CountsRow struct {
	UsualCounts
	Mean   float64   `json:"mean"`   // by the unit, over the whole span
	Values []float64 `json:"values"` // by the unit, in each column
}

// routeTimelines adds what is asked of time lines.
func routeTimelines(mux *http.ServeMux, b Timelines) {
	mux.HandleFunc("GET /v1/ribbons", func(w http.ResponseWriter, _ *http.Request) { reply(w, b.Ribbons(), nil) })
	mux.HandleFunc("GET /v1/domains/{ref}/timeline", func(w http.ResponseWriter, r *http.Request) {
		t, err := b.Timeline(r.PathValue("ref"))
		reply(w, t, err)
	})
	mux.HandleFunc("GET /v1/domains/{ref}/counts", func(w http.ResponseWriter, r *http.Request) {
		span, err := ParseCountsSpan(r.URL.Query())
		if err != nil {
			reply(w, nil, err)
			return
		}
		c, err := b.Counts(r.PathValue("ref"), span)
		reply(w, c, err)
	})
}

// ParseCountsSpan reads a span from an address. Errors: ErrRefused.
func ParseCountsSpan(q url.Values) (CountsSpan, error) {
	span := CountsSpan{Columns: MostColumns}
	var err error
	for key, values := range q {
		if len(values) != 1 {
			return span, fmt.Errorf("%w: %.40q is there more than once", ErrRefused, key)
		}
		switch v := values[0]; key {
		case "from":
			span.From, err = time.Parse(time.RFC3339Nano, v)
		case "to":
			span.To, err = time.Parse(time.RFC3339Nano, v)
		case "columns":
			span.Columns, err = strconv.Atoi(v)
		default:
			return span, fmt.Errorf("%w: counts are not chosen by %.40q, but by from, to and columns", ErrRefused, key)
		}
		if err != nil {
			return span, fmt.Errorf("%w: %s: %w", ErrRefused, key, err)
		}
	}
	return span, span.Check()
}

// Check says what is wrong with a span. Errors: ErrRefused.
func (s CountsSpan) Check() error {
	switch {
	case s.Columns < 0 || s.Columns > MostColumns:
		return fmt.Errorf("%w: %d columns are not between 1 and %d", ErrRefused, s.Columns, MostColumns)
	case !s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To):
		return fmt.Errorf("%w: the span ends before it begins", ErrRefused)
	}
	return nil
}

// Ribbons reads the last hour of all domains, by UUID.
func (c *Client) Ribbons(ctx context.Context) (map[string]Ribbon, error) {
	var all map[string]Ribbon
	return all, c.do(ctx, http.MethodGet, "/v1/ribbons", nil, &all)
}

// Timeline reads what a domain's units were judged to be. Errors: ErrNoDomain.
func (c *Client) Timeline(ctx context.Context, ref string) (Timeline, error) {
	var t Timeline
	return t, c.do(ctx, http.MethodGet, domainPath(ref)+"/timeline", nil, &t)
}
