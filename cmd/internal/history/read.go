package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

const (
	readLimit  = 10 * time.Second // for the disk
	notedLimit = 3 * time.Second  // for a note to be on disk before it is answered
	// Last names the newest incident of kind anomaly.
	Last = "last"
	// kindAnomaly is the kind of incidents that Last looks among.
	kindAnomaly = "anomaly"
)

// List returns the incidents that a filter chooses, the newest first: those that are on disk, and those that are not yet. While the disk gives none, it is these
// alone, and Status says why. Errors: control.ErrRefused.
func (s *Store) List(f control.IncidentFilter) ([]control.IncidentRecord, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	known := s.snapshot() // first: what is written meanwhile is in it and on disk
	list := []control.IncidentRecord{}
	for _, r := range known {
		list = append(list, r)
	}
	kept, err := s.read("SELECT record FROM incident ORDER BY since DESC")
	if err != nil {
		return nil, err
	}
	for _, r := range kept {
		if _, newer := known[r.ID]; !newer {
			list = append(list, r)
		}
	}
	list = slices.DeleteFunc(list, func(r control.IncidentRecord) bool { return !f.Chooses(r) })
	slices.SortFunc(list, func(a, b control.IncidentRecord) int {
		if c := b.Since.Compare(a.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	if f.Most > 0 && len(list) > f.Most {
		list = list[:f.Most]
	}
	return list, nil
}

// Find returns the one incident whose id begins so, or Last. Errors: control.ErrNoIncident, control.ErrRefused.
func (s *Store) Find(id string) (control.IncidentRecord, error) {
	if id == Last {
		list, err := s.List(control.IncidentFilter{Kind: kindAnomaly, Most: 1})
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("%w of kind %s is kept", control.ErrNoIncident, kindAnomaly)
		}
		if err != nil {
			return control.IncidentRecord{}, err
		}
		return list[0], nil
	}
	found := map[string]control.IncidentRecord{}
	known := s.snapshot()
	kept, err := s.read("SELECT record FROM incident WHERE substr(id, 1, ?) = ? LIMIT 2", len(id), id)
	if err != nil {
		return control.IncidentRecord{}, err
	}
	for _, r := range kept {
		found[r.ID] = r
	}
	for _, r := range known {
		if strings.HasPrefix(r.ID, id) {
			found[r.ID] = r
		}
	}
	switch {
	case id == "" || len(found) == 0:
		if trouble := s.Trouble(); trouble != "" {
			return control.IncidentRecord{}, fmt.Errorf("%w %.40q in memory, and those on disk cannot be read now: %s", control.ErrNoIncident, id, trouble)
		}
		return control.IncidentRecord{}, fmt.Errorf("%w %.40q is kept", control.ErrNoIncident, id)
	case len(found) > 1:
		return control.IncidentRecord{}, fmt.Errorf("%w: the ids of several incidents begin with %.40q", control.ErrRefused, id)
	}
	for _, r := range found {
		return r, nil
	}
	panic("unreachable")
}

// Units returns the units that are kept with an incident. Errors: those of Find.
func (s *Store) Units(id string) (control.IncidentUnits, error) {
	r, err := s.Find(id)
	if err != nil {
		return control.IncidentUnits{}, err
	}
	s.mu.Lock()
	var waiting []unitRow
	for _, row := range s.units {
		if row.incident == r.ID {
			waiting = append(waiting, row)
		}
	}
	s.mu.Unlock()
	rows := map[int64]unitRow{}
	if db := s.connection(); db != nil {
		ctx, cancel := context.WithTimeout(context.Background(), readLimit)
		defer cancel()
		if rows, err = readUnits(ctx, db, r.ID); err != nil {
			return control.IncidentUnits{}, s.unread(err)
		}
	}
	for _, row := range waiting {
		rows[row.unit.Start.UnixNano()] = row
	}
	u := control.IncidentUnits{Features: []string{}, Units: []control.KeptUnit{}}
	var newest time.Time
	for _, row := range rows {
		u.Units = append(u.Units, row.unit)
		if !row.unit.Start.Before(newest) {
			newest, u.Catalogue, u.Features = row.unit.Start, row.catalogue, row.features
		}
	}
	// What is counted may have changed in the midst: units of other features do not compare.
	u.Units = slices.DeleteFunc(u.Units, func(k control.KeptUnit) bool { return rows[k.Start.UnixNano()].catalogue != u.Catalogue })
	slices.SortFunc(u.Units, func(a, b control.KeptUnit) int { return a.Start.Compare(b.Start) })
	return u, nil
}

// readUnits reads the units of an incident, by their starts.
func readUnits(ctx context.Context, db *sql.DB, id string) (map[int64]unitRow, error) {
	rows, err := db.QueryContext(ctx, "SELECT start, version, names, record, counts FROM unit JOIN catalogue ON catalogue.id = catalogue WHERE incident = ?", id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := map[int64]unitRow{}
	features := map[string][]string{}
	for rows.Next() {
		var start int64
		var version, names, text string
		var counts []byte
		if err := rows.Scan(&start, &version, &names, &text, &counts); err != nil {
			return nil, err
		}
		list, ok := features[version]
		if !ok {
			if err := json.Unmarshal([]byte(names), &list); err != nil {
				return nil, fmt.Errorf("%w: names of features: %w", errDamaged, err)
			}
			features[version] = list
		}
		u, err := decodeUnit(text, counts, list)
		if err != nil {
			return nil, fmt.Errorf("%w: a unit: %w", errDamaged, err)
		}
		out[start] = unitRow{incident: id, catalogue: version, features: list, unit: u}
	}
	return out, rows.Err()
}

// Note changes what operators noted of an incident, and waits a moment for it to be on disk. Errors: those of Find.
func (s *Store) Note(id string, change func(*control.IncidentRecord)) (control.IncidentRecord, error) {
	s.notes.Lock()
	defer s.notes.Unlock()
	r, err := s.Find(id)
	if err != nil {
		return control.IncidentRecord{}, err
	}
	s.mu.Lock()
	e := s.known[r.ID]
	if e == nil {
		e = &entry{record: r, version: 1, written: 1}
		s.known[r.ID] = e
	}
	change(&e.record)
	e.version++
	version := e.version
	r = e.record
	s.poke()
	s.mu.Unlock()
	s.await(notedLimit, func(o *entry) bool { return o == e && o.written < version })
	return r, nil
}

// snapshot is what is in memory, by id.
func (s *Store) snapshot() map[string]control.IncidentRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]control.IncidentRecord, len(s.known))
	for id, e := range s.known {
		all[id] = e.record
	}
	return all
}

// read reads incidents from the disk; none where no database is open.
func (s *Store) read(query string, args ...any) ([]control.IncidentRecord, error) {
	db := s.connection()
	if db == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	list, err := readRecords(ctx, db, query, args...)
	return list, s.unread(err)
}

// unread says that something could not be read.
func (s *Store) unread(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: history.file %s cannot be read now (try again): %w", control.ErrRefused, s.cfg.File, err)
}
