package price

import (
	"errors"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

// errNoUnits says that there is nothing to count.
var errNoUnits = errors.New("no unit to take rates from")

// Meter adds up the counts of units. The zero value is ready for use; one goroutine may use it.
type Meter struct {
	hits    map[string]float64 // by kind
	seconds float64
}

// Observing says that a source counts: a kind of its events that no unit names was not hit.
func (m *Meter) Observing(source string) {
	for _, kind := range SourceKinds(source) {
		if !partial()[kind] {
			m.add(kind, 0)
		}
	}
}

func (m *Meter) add(kind string, n float64) {
	if m.hits == nil {
		m.hits = make(map[string]float64)
	}
	m.hits[kind] += n
}

// Report takes in a unit as the daemon reports it, whole or not.
func (m *Meter) Report(u control.UnitReport) {
	if u.Duration <= 0 {
		return
	}
	m.seconds += u.Duration
	for column, n := range u.Counts {
		if kind, ok := Kind(column); ok {
			m.add(kind, float64(n))
		}
	}
}

// File takes in the units of a file.
func (m *Meter) File(f unit.File) {
	kinds := make([]string, len(f.Features))
	for i, name := range f.Features {
		if kind, ok := Kind(name); ok {
			kinds[i] = kind
			m.add(kind, 0)
		}
	}
	for _, u := range f.Units {
		m.seconds += time.Duration(u.Duration).Seconds()
		for i, n := range u.Counts {
			if i < len(kinds) && kinds[i] != "" {
				m.add(kinds[i], float64(n))
			}
		}
	}
}

// Seconds returns the time that was counted in.
func (m *Meter) Seconds() float64 { return m.seconds }

// Rates returns the events a second of each kind that was counted. It is an error if there was no time to count in.
func (m *Meter) Rates() (cost.Rates, error) {
	if m.seconds <= 0 {
		return nil, errNoUnits
	}
	rates := make(cost.Rates, len(m.hits))
	for kind, n := range m.hits {
		rates[kind] = n / m.seconds
	}
	return rates, nil
}

// Running returns the sources that a domain is observed by now, as prices name them; what gives nothing is left out.
func Running(d control.DomainStatus) []string {
	var names []string
	for _, s := range d.Sources {
		if s.Error == "" && CheckSources([]string{s.Name}) == nil {
			names = append(names, s.Name)
		}
	}
	return names
}
