package history

import (
	"errors"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// News are those of incidents that came from another host that are not known here, or only as they were before. It reads the disk.
func (s *Store) News(came []control.IncidentRecord) []control.IncidentRecord {
	var news []control.IncidentRecord
	for _, r := range came {
		here, err := s.Find(r.ID)
		switch {
		case errors.Is(err, control.ErrNoIncident):
			news = append(news, r)
		case err == nil && here.ID == r.ID && here.UUID == r.UUID && !here.Open() && r.Updated.After(here.Updated):
			if r.Label == "" {
				r.Label = here.Label
			}
			if r.Note == "" {
				r.Note = here.Note
			}
			if r.Ack.IsZero() {
				r.Ack = here.Ack
			}
			news = append(news, r)
		}
	}
	return news
}

// Adopt takes in incidents that came from another host with their domain, of which this is the life. Those that are open wait for Inherit. One whose kind
// was opened here meanwhile was over when it came.
func (s *Store) Adopt(life string, came []control.IncidentRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range came {
		if s.known[r.ID] != nil {
			continue
		}
		e := &entry{record: r, version: 1, left: r.Open()}
		if e.left {
			e.record.Life = life
			for _, o := range s.known {
				if !o.left && o.record.Open() && o.record.UUID == r.UUID && o.record.Kind == r.Kind {
					e.giveUp()
					break
				}
			}
		}
		s.known[r.ID] = e
	}
	s.poke()
}
