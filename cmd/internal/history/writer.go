package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

const (
	flushEvery = 10 * time.Second // for news that are not urgent
	tidyEvery  = time.Hour        // what is too old is looked for
	lastLimit  = 5 * time.Second  // for what is still to be written when the daemon ends
	batch      = 1000             // units in one transaction
)

// Run opens the database and writes until ctx ends, and then what is left, for no longer than a few seconds. It may be called once.
func (s *Store) Run(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.work(ctx)
	}()
	<-ctx.Done()
	select {
	case <-ended:
	case <-time.After(lastLimit):
		s.log.WithField("file", s.cfg.File).Warn("history: the disk does not answer; the newest incidents are not kept")
	}
}

// work opens the database, again where it has to, and writes until ctx has ended and it has tried once more.
func (s *Store) work(ctx context.Context) {
	defer s.close()
	defer s.begin()
	wait := s.retryFirst
	for {
		last := ctx.Err() != nil
		err := s.try()
		s.note(err)
		s.begin()
		if last {
			return
		}
		if err == nil {
			wait = s.retryFirst
			select {
			case <-ctx.Done():
			case <-s.wake:
			case <-time.After(flushEvery):
			}
			continue
		}
		select { // no wake: it would be tried again for each unit
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, s.retryMost)
	}
}

// begin says that what was left open is known as far as it can be.
func (s *Store) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		close(s.ready)
	}
}

// try opens the database where it is not open, and writes what is to be written. A database that turns out to be damaged is moved aside, and another one made.
func (s *Store) try() error {
	err := s.attempt()
	if !errors.Is(err, errDamaged) {
		return err
	}
	s.close()
	aside, asideErr := moveAside(s.cfg.File, time.Now())
	if asideErr != nil {
		return fmt.Errorf("%w; and it cannot be moved aside: %w", err, asideErr)
	}
	s.log.WithError(err).WithField("moved_to", aside).
		Error("history: the database is damaged; a new one is begun, and what the old one held is missing from it (sqlite3 FILE .recover may save some of that)")
	s.mu.Lock()
	s.aside = aside
	for _, e := range s.known {
		e.written = 0
	}
	s.mu.Unlock()
	return s.attempt()
}

func (s *Store) attempt() error {
	s.mu.Lock()
	s.busy = time.Now()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.busy = time.Time{}
		s.mu.Unlock()
	}()
	if s.faulty != nil {
		if err := s.faulty(); err != nil {
			return err
		}
	}
	base := s.base // only this goroutine changes it
	if base == nil {
		var err error
		if base, err = openDatabase(s.cfg.File); err != nil {
			return err
		}
		left, err := base.open()
		if err != nil {
			return errors.Join(err, base.close())
		}
		s.remember(left)
		s.mu.Lock()
		s.base = base
		s.mu.Unlock()
		s.begin() // the check takes its time with a large file
		if err := base.check(); err != nil {
			return err
		}
	}
	if err := s.flush(base); err != nil {
		if !full(err) { // whatever it was, a fresh start is better
			s.close()
		}
		return err
	}
	return nil
}

func (s *Store) close() {
	s.mu.Lock()
	base := s.base
	s.base = nil
	s.mu.Unlock()
	if base == nil {
		return
	}
	if err := base.close(); err != nil {
		s.log.WithError(err).Warn("history: close the database")
	}
}

// note takes note of how a try went, and says so where that is news.
func (s *Store) note(err error) {
	bytes := uint64(0)
	if err == nil {
		bytes = sizeOf(s.cfg.File)
	}
	aside := newestAside(s.cfg.File)
	s.mu.Lock()
	s.aside = aside
	before := s.trouble
	waiting := 0
	for _, e := range s.known {
		if e.written != e.version {
			waiting++
		}
	}
	if err == nil {
		s.trouble, s.since, s.bytes = "", time.Time{}, bytes
	} else {
		s.trouble = err.Error()
		s.fails, s.failed = s.fails+1, time.Now()
		if before == "" {
			s.since = time.Now()
		}
		s.bound()
	}
	close(s.tried)
	s.tried = make(chan struct{})
	dropped := s.dropped
	s.mu.Unlock()
	switch {
	case err != nil && err.Error() != before:
		s.log.WithError(err).WithField("waiting", waiting).Error("history: incidents are not written; they are kept in memory until they can be")
	case err == nil && before != "":
		s.log.WithField("dropped_units", dropped).Info("history: incidents are written again")
	}
}

// sizeOf is what the database and its write-ahead log take, bytes, as far as that can be told.
func sizeOf(file string) (bytes uint64) {
	for _, name := range []string{file, file + "-wal"} {
		if info, err := os.Stat(name); err == nil {
			bytes += uint64(info.Size())
		}
	}
	return bytes
}

// flush writes what is not on disk: incidents first, and units where there is room for more.
func (s *Store) flush(base *database) error {
	s.mu.Lock()
	var records []control.IncidentRecord
	versions := map[string]uint64{}
	for id, e := range s.known {
		if e.version != e.written {
			records = append(records, e.record)
			versions[id] = e.version
		}
	}
	s.mu.Unlock()
	if len(records) > 0 {
		if err := base.putIncidents(records); err != nil {
			return err
		}
		s.mu.Lock()
		for id, version := range versions {
			e := s.known[id]
			if e == nil {
				continue
			}
			if e.written = version; e.version == version && !e.record.Open() {
				delete(s.known, id)
			}
		}
		s.mu.Unlock()
	}
	for {
		s.mu.Lock()
		rows := s.units[:min(batch, len(s.units))]
		s.mu.Unlock()
		if len(rows) == 0 {
			break
		}
		if err := base.putUnits(rows); err != nil {
			return err
		}
		s.mu.Lock()
		s.units = append([]unitRow(nil), s.units[len(rows):]...)
		s.mu.Unlock()
	}
	return base.tidy(s.cfg, time.Now(), len(records) > 0)
}
