package control

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// The values of IncidentFilter.State, and that of Label for incidents without one.
const (
	StateOpen   = "open"
	StateClosed = "closed"
	LabelNone   = "none"
)

// ParseFilter reads a filter from an address, as IncidentFilter is written into one. Errors: ErrRefused.
func ParseFilter(q url.Values) (IncidentFilter, error) {
	f := IncidentFilter{Domain: q.Get("domain"), Kind: q.Get("kind"), State: q.Get("state"), Label: q.Get("label")}
	var err error
	for key, values := range q {
		if len(values) != 1 {
			return f, fmt.Errorf("%w: %.40q is there more than once", ErrRefused, key)
		}
		v := values[0]
		switch key {
		case "domain", "kind", "state", "label":
		case "unread":
			f.Unread, err = strconv.ParseBool(v)
		case "from":
			f.From, err = time.Parse(time.RFC3339Nano, v)
		case "to":
			f.To, err = time.Parse(time.RFC3339Nano, v)
		case "most":
			f.Most, err = strconv.Atoi(v)
		default:
			return f, fmt.Errorf("%w: incidents are not chosen by %.40q", ErrRefused, key)
		}
		if err != nil {
			return f, fmt.Errorf("%w: %s: %w", ErrRefused, key, err)
		}
	}
	return f, f.Check()
}

// Check says what is wrong with a filter. Errors: ErrRefused.
func (f IncidentFilter) Check() error {
	switch {
	case f.State != "" && f.State != StateOpen && f.State != StateClosed:
		return fmt.Errorf("%w: %.40q is neither open nor closed", ErrRefused, f.State)
	case f.Label != "" && f.Label != LabelNone && !slices.Contains(Labels(), f.Label):
		return fmt.Errorf("%w: %.40q is none of true, false, unknown, none", ErrRefused, f.Label)
	case f.Most < 0:
		return fmt.Errorf("%w: %d incidents are less than none", ErrRefused, f.Most)
	}
	return nil
}

// Chooses says whether the filter chooses an incident; Most is not looked at.
func (f IncidentFilter) Chooses(r IncidentRecord) bool {
	switch {
	case f.Domain != "" && r.UUID != f.Domain && r.Name != f.Domain,
		f.Kind != "" && r.Kind != f.Kind,
		f.State == StateOpen && !r.Open(), f.State == StateClosed && r.Open(),
		f.Label == LabelNone && r.Label != "", f.Label != "" && f.Label != LabelNone && r.Label != f.Label,
		f.Unread && (!r.Ack.IsZero() || r.Label != ""),
		!f.From.IsZero() && !r.Open() && r.Until.Before(f.From),
		!f.To.IsZero() && !r.Since.Before(f.To):
		return false
	}
	return true
}
