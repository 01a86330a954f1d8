package monitor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/about"
)

const (
	nearBefore = 10 * time.Minute // an event of libvirt's that long before an incident may have to do with it
	nearAfter  = time.Minute
	surveyAge  = 5 * time.Minute // leases and neighbour tables change
	surveys    = 64              // domains that wait to be asked about; one that there is no room for is asked about later
)

// survey is what libvirt told of a domain's owner, interfaces and disks.
type survey struct {
	about about.About
	at    time.Time
	wrong string
}

// surveyor asks libvirt about domains, one after the other, so that nobody else waits for it. It is safe for concurrent use.
type surveyor struct {
	wanted chan string // UUIDs

	mu    sync.Mutex // guards known
	known map[string]survey
}

func newSurveyor() *surveyor {
	return &surveyor{wanted: make(chan string, surveys), known: map[string]survey{}}
}

// want has libvirt asked about a domain, soon.
func (s *surveyor) want(uuid string) {
	select {
	case s.wanted <- uuid:
	default:
	}
}

// wantOld is want where nothing is known, or not since lately.
func (s *surveyor) wantOld(uuid string) {
	s.mu.Lock()
	old := time.Since(s.known[uuid].at) > surveyAge
	s.mu.Unlock()
	if old {
		s.want(uuid)
	}
}

// run asks until ctx ends.
func (s *surveyor) run(ctx context.Context, ask func(uuid string) (about.About, error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case uuid := <-s.wanted:
			s.learn(uuid, ask)
		}
	}
}

func (s *surveyor) learn(uuid string, ask func(uuid string) (about.About, error)) {
	found, err := ask(uuid)
	if errors.Is(err, libvirt.ErrNoDomain) || errors.Is(err, libvirt.ErrClosed) {
		return // what was known stays true of it
	}
	now := survey{about: found, at: time.Now()}
	if err != nil {
		now.wrong = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[uuid] = now
}

func (s *surveyor) of(uuid string) survey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[uuid]
}

// forget forgets all domains but these.
func (s *surveyor) forget(but []libvirt.Domain) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uuid, x := range s.known {
		if time.Since(x.at) > surveyAge && !slices.ContainsFunc(but, func(d libvirt.Domain) bool { return d.UUID == uuid }) {
			delete(s.known, uuid)
		}
	}
}

// Surroundings is what stood around a domain from begin to end, as far as it is known now: it asks nobody, so it never waits. A zero end is now. It may be
// asked for as soon as an incident opens, and again when it ends, when more is known.
func (m *Monitor) Surroundings(uuid string, begin, end time.Time) control.Surroundings {
	if end.IsZero() {
		end = time.Now()
	}
	known := m.surveyor.of(uuid)
	s := control.Surroundings{Looked: known.at, About: known.about, Error: known.wrong}
	s.Events = m.happenings.between(uuid, begin.Add(-nearBefore), end.Add(nearAfter))
	for _, d := range m.Domains() {
		if d.UUID == uuid {
			continue
		}
		for _, a := range slices.Backward(d.Anomalies) {
			if a.Begin.After(end) || !a.Open && a.End.Before(begin) {
				continue
			}
			other := control.Neighbour{UUID: d.UUID, Name: d.Name, Anomaly: a}
			if owner := m.surveyor.of(d.UUID).about.Owner; owner != nil {
				other.Project = owner.Project
			}
			s.Others = append(s.Others, other)
			break
		}
	}
	return s
}

// bare is a status without what stood around the domain: a list of many would be long.
func bare(d control.DomainStatus) control.DomainStatus {
	if slices.ContainsFunc(d.Anomalies, func(a control.Anomaly) bool { return a.Surroundings != nil }) {
		d.Anomalies = slices.Clone(d.Anomalies)
		for i := range d.Anomalies {
			d.Anomalies[i].Surroundings = nil
		}
	}
	return d
}

// surround adds to a domain's status what stands around it, and what stands or stood around its anomalies.
func (m *Monitor) surround(d control.DomainStatus) control.DomainStatus {
	if w := m.watcher(d.UUID); w != nil {
		d.Anomalies = w.status().Anomalies
	}
	now := m.Surroundings(d.UUID, time.Now(), time.Time{})
	d.Surroundings = &now
	if last := len(d.Anomalies) - 1; last >= 0 && d.Anomalies[last].Open {
		d.Anomalies = slices.Clone(d.Anomalies)
		then := m.Surroundings(d.UUID, d.Anomalies[last].Begin, time.Time{})
		d.Anomalies[last].Surroundings = &then
	}
	return d
}
