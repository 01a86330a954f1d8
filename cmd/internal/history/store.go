package history

import (
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// unitQueue bounds the units that wait to be written: those of 30 incidents and more.
const unitQueue = 4096

// Config says where incidents are kept, and how many.
type Config struct {
	File      string // the database
	Days      int    // for so long, after they were closed
	Incidents int    // so many closed ones at most
	UnitDays  int    // the units around them for so long
}

// Store keeps incidents. It is safe for concurrent use. No method but Run, and those that read what is kept, waits for the disk.
type Store struct {
	cfg    Config
	log    logrus.FieldLogger
	wake   chan struct{} // there is something that should be on disk soon
	ready  chan struct{} // closed when what an earlier daemon left open is known, or cannot be
	notes  sync.Mutex    // held while an operator's notes change
	faulty func() error  // tests let writing fail by it; nil: it does not

	retryFirst, retryMost time.Duration

	mu      sync.Mutex // guards the fields below; never held while the disk is waited for
	known   map[string]*entry
	units   []unitRow // to be written, in the order in which they came
	dropped uint64    // units
	trouble string    // why nothing is written; empty: all is well
	since   time.Time // of the trouble
	bytes   uint64    // of the database, when it was last written to
	fails   uint64    // tries that failed
	failed  time.Time // when one last did
	busy    time.Time // since when the writer waits for the disk; zero: it does not
	aside   string    // the newest damaged database, as long as it is there
	tried   chan struct{}
	base    *database // nil: none is open
	begun   bool      // ready is closed
}

// entry is an incident that is open, or has news that are not on disk.
type entry struct {
	record  control.IncidentRecord
	version uint64 // of record, from 1
	written uint64 // the version on disk; 0: none
	left    bool   // an earlier daemon left it open, and nobody has taken it over yet
}

// unitRow is a unit that is to be written.
type unitRow struct {
	incident  string
	catalogue string
	features  []string
	unit      control.KeptUnit
}

// New makes a store. Nothing is opened before Run.
func New(cfg Config, log logrus.FieldLogger) *Store {
	return &Store{
		cfg: cfg, log: log, wake: make(chan struct{}, 1), ready: make(chan struct{}), tried: make(chan struct{}), known: map[string]*entry{},
		retryFirst: time.Second, retryMost: 30 * time.Second,
	}
}

// Ready is closed when it is known what an earlier daemon left open, or that this cannot be known now.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// Open adds an incident and returns it with its id. Where an earlier daemon left one of the same domain and kind open, this is the same one.
func (s *Store) Open(r control.IncidentRecord) control.IncidentRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.known {
		if !e.left || e.record.UUID != r.UUID || e.record.Kind != r.Kind {
			continue
		}
		if r.Life == "" || e.record.Life == "" || r.Life == e.record.Life {
			e.takeOver()
			e.record.Text = r.Text
			s.poke()
			return e.record
		}
		e.giveUp()
	}
	r.ID = newID()
	for s.known[r.ID] != nil {
		r.ID = newID()
	}
	s.known[r.ID] = &entry{record: r, version: 1}
	s.poke()
	return r
}

// Inherit returns what an earlier daemon left open of a domain, which the caller goes on with. What is of another life of the domain is closed. An empty life is
// not known yet, and nothing is returned.
func (s *Store) Inherit(uuid, life string) []control.IncidentRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	var mine []control.IncidentRecord
	for _, e := range s.known {
		if !e.left || e.record.UUID != uuid || life == "" {
			continue
		}
		if e.record.Life != life {
			e.giveUp()
		} else {
			e.takeOver()
			mine = append(mine, e.record)
		}
		s.poke()
	}
	return mine
}

// Settle closes what an earlier daemon left open of domains that do not run any more.
func (s *Store) Settle(runs func(uuid string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.known {
		if e.left && !runs(e.record.UUID) {
			e.giveUp()
			s.poke()
		}
	}
}

// takeOver makes an incident of an earlier daemon one of this daemon.
func (e *entry) takeOver() {
	e.left = false
	e.record.Restarts++
	e.version++
}

// giveUp closes an incident of an earlier daemon when it was last known to be true.
func (e *entry) giveUp() {
	e.left = false
	e.record.Closed, e.record.Until = control.ClosedDaemon, e.record.Updated
	e.version++
}

// Put renews what the daemon knows of an incident; what operators noted stays. At once means that it is to be on disk soon, and not within ten seconds. One that
// is closed is always.
func (s *Store) Put(r control.IncidentRecord, atOnce bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.known[r.ID]
	if e == nil || !e.record.Open() {
		return // it was closed already
	}
	r.Ack, r.Label, r.Note = e.record.Ack, e.record.Label, e.record.Note
	e.record = r
	e.version++
	if atOnce || !r.Open() {
		s.poke()
	}
}

// AddUnits keeps units with an incident. Those for which there is no room are dropped and counted.
func (s *Store) AddUnits(incident, catalogue string, features []string, units ...control.KeptUnit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := min(len(units), unitQueue-len(s.units))
	s.dropped += uint64(len(units) - room)
	for _, u := range units[:room] {
		s.units = append(s.units, unitRow{incident, catalogue, features, u})
	}
}

// Await waits until all that is known of a domain's incidents to exist is on disk, but no longer than limit, and not while nothing can be written. So what is
// announced after it survives the end of the process.
func (s *Store) Await(uuid string, limit time.Duration) {
	s.await(limit, func(e *entry) bool { return e.record.UUID == uuid && e.written == 0 })
}

// await waits until no incident is behind.
func (s *Store) await(limit time.Duration, behind func(*entry) bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		s.mu.Lock()
		waits := false
		for _, e := range s.known {
			waits = waits || behind(e)
		}
		waits = waits && s.problem() == ""
		tried := s.tried
		s.mu.Unlock()
		if !waits {
			return
		}
		select {
		case <-tried:
		case <-timer.C:
			return
		}
	}
}

// Status says how the keeping is.
func (s *Store) Status() control.HistoryStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := control.HistoryStatus{File: s.cfg.File, Error: s.problem(), Since: s.since, Dropped: s.dropped, Bytes: s.bytes, Failures: s.fails, Failed: s.failed, Aside: s.aside}
	if h.Error != "" && h.Since.IsZero() {
		h.Since = s.busy
	}
	for _, e := range s.known {
		if e.written != e.version {
			h.Waiting++
		}
	}
	return h
}

// Trouble says why nothing is written now; empty: all is well.
func (s *Store) Trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem()
}

// stallLimit is how long the disk may take before it is said that it does not answer.
const stallLimit = 15 * time.Second

// problem is why nothing is written now; s.mu is held.
func (s *Store) problem() string {
	if s.trouble == "" && !s.busy.IsZero() && time.Since(s.busy) > stallLimit {
		return "history.file " + s.cfg.File + ": its disk does not answer"
	}
	return s.trouble
}

// poke has the writer look at once; s.mu may be held.
func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// remember takes in what an earlier daemon left open. What this daemon knows by itself is newer.
func (s *Store) remember(left []control.IncidentRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range left {
		if s.known[r.ID] != nil {
			continue
		}
		e := &entry{record: r, version: 1, written: 1, left: true}
		for _, o := range s.known {
			if !o.left && o.record.UUID == r.UUID && o.record.Kind == r.Kind {
				e.giveUp() // the file was opened late: this daemon has opened its own meanwhile
				break
			}
		}
		s.known[r.ID] = e
	}
}

// bound forgets the oldest closed incidents where more wait than are kept at all; s.mu is held.
func (s *Store) bound() {
	var closed []*entry
	for _, e := range s.known {
		if !e.record.Open() {
			closed = append(closed, e)
		}
	}
	if len(closed) <= s.cfg.Incidents {
		return
	}
	slices.SortFunc(closed, func(a, b *entry) int { return a.record.Since.Compare(b.record.Since) })
	for _, e := range closed[:len(closed)-s.cfg.Incidents] {
		delete(s.known, e.record.ID)
	}
}

// connection is the open database; nil: there is none.
func (s *Store) connection() *sql.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base == nil {
		return nil
	}
	return s.base.db
}
