package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

const (
	applicationID = 0x76737479 // "vsty": in the header of the file, where file(1) sees it
	schemaVersion = 1
)

// schema is that of version 1. What is only shown is in the JSON of record; what is chosen by has a column. Times are nanoseconds since 1970.
const schema = `
CREATE TABLE incident (
	id     TEXT PRIMARY KEY,
	uuid   TEXT NOT NULL,
	since  INTEGER NOT NULL,
	until  INTEGER,                  -- NULL: it is open
	label  TEXT NOT NULL,
	record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_since ON incident (since);
CREATE TABLE catalogue (             -- what is counted
	id      INTEGER PRIMARY KEY,
	version TEXT NOT NULL UNIQUE,
	names   TEXT NOT NULL            -- of the features, in the order of their numbers
) STRICT;
CREATE TABLE unit (
	incident  TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
	start     INTEGER NOT NULL,
	catalogue INTEGER NOT NULL REFERENCES catalogue (id),
	record    TEXT NOT NULL,         -- all but the counts
	counts    BLOB NOT NULL,
	PRIMARY KEY (incident, start)
) STRICT, WITHOUT ROWID;
`

// errDamaged says that the file is no database, or a damaged one.
var errDamaged = errors.New("the file is damaged")

// database is an open file. One goroutine writes; any may read through db.
type database struct {
	file       string
	db         *sql.DB
	catalogues map[string]int64 // the ids of those that are in it
	tidied     time.Time
}

// openDatabase opens the file, or makes it. Nothing in it is looked at.
func openDatabase(file string) (*database, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of history.file: %w", err)
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600) // SQLite gives its other files the same permissions
	if err != nil {
		return nil, fmt.Errorf("open history.file: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open history.file: %w", err)
	}
	// The file is this process's alone: SQLite needs no memory that is shared with others then, and two daemons do not write into one file.
	pragmas := url.Values{"_pragma": {"busy_timeout(1000)", "foreign_keys(on)", "locking_mode(exclusive)", "synchronous(full)", "temp_store(memory)", "trusted_schema(off)"}}
	address := url.URL{Scheme: "file", Path: file, RawQuery: pragmas.Encode()}
	db, err := sql.Open("sqlite", address.String())
	if err != nil {
		return nil, fmt.Errorf("open history.file: %w", err)
	}
	db.SetMaxOpenConns(1)
	return &database{file: file, db: db, catalogues: map[string]int64{}}, nil
}

func (d *database) close() error { return d.db.Close() }

// open makes the schema where there is none, and returns the incidents that are open.
func (d *database) open() ([]control.IncidentRecord, error) {
	if err := d.prepare(); err != nil {
		return nil, d.words(err)
	}
	left, err := d.records("SELECT record FROM incident WHERE until IS NULL")
	return left, d.words(err)
}

func (d *database) prepare() error {
	var application, version, tables int64
	for _, q := range []struct {
		text string
		to   *int64
	}{{"PRAGMA application_id", &application}, {"PRAGMA user_version", &version}, {"SELECT count(*) FROM sqlite_schema", &tables}} {
		if err := d.db.QueryRow(q.text).Scan(q.to); err != nil {
			return err
		}
	}
	switch {
	case application == applicationID && version > schemaVersion:
		return fmt.Errorf("it is of version %d, and this virtsentryd knows versions up to %d: a newer release wrote it (install that, move the file away, or set history.file)",
			version, schemaVersion)
	case application != applicationID && tables > 0:
		return errors.New("it is a database of another program (set history.file to a file of virtsentryd's own)")
	}
	if tables == 0 {
		for _, text := range []string{"PRAGMA auto_vacuum = incremental", "VACUUM"} { // before there is a table
			if _, err := d.db.Exec(text); err != nil {
				return err
			}
		}
	}
	for _, text := range []string{"PRAGMA journal_mode = wal", "PRAGMA journal_size_limit = 4194304"} {
		if _, err := d.db.Exec(text); err != nil {
			return err
		}
	}
	if tables > 0 {
		return nil
	}
	return d.inTransaction(func(tx *sql.Tx) error {
		_, err := tx.Exec(schema + fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, schemaVersion))
		return err
	})
}

// check looks whether the file is damaged.
func (d *database) check() error {
	var found string
	if err := d.db.QueryRow("PRAGMA quick_check(1)").Scan(&found); err != nil {
		return d.words(err)
	}
	if found != "ok" {
		return d.words(fmt.Errorf("%w: %s", errDamaged, found))
	}
	return nil
}

func (d *database) inTransaction(f func(tx *sql.Tx) error) error {
	tx, err := d.db.Begin()
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // its error would be that the first one has rolled back already
		return err
	}
	return tx.Commit()
}

// putIncidents writes incidents, all or none.
func (d *database) putIncidents(records []control.IncidentRecord) error {
	return d.words(d.inTransaction(func(tx *sql.Tx) error {
		put, err := tx.Prepare("INSERT INTO incident (id, uuid, since, until, label, record) VALUES (?, ?, ?, ?, ?, ?) " +
			"ON CONFLICT (id) DO UPDATE SET until = excluded.until, label = excluded.label, record = excluded.record")
		if err != nil {
			return err
		}
		defer func() { _ = put.Close() }()
		for _, r := range records {
			var until any
			if !r.Open() {
				until = r.Until.UnixNano()
			}
			if _, err := put.Exec(r.ID, r.UUID, r.Since.UnixNano(), until, r.Label, EncodeRecord(r)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// putUnits writes units, all or none. Those of an incident that is not kept any more are passed over.
func (d *database) putUnits(rows []unitRow) error {
	return d.words(d.inTransaction(func(tx *sql.Tx) error {
		fresh := map[string]int64{}
		put, err := tx.Prepare("INSERT OR REPLACE INTO unit (incident, start, catalogue, record, counts) SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM incident WHERE id = ?1)")
		if err != nil {
			return err
		}
		defer func() { _ = put.Close() }()
		for _, row := range rows {
			id, ok := d.catalogues[row.catalogue]
			if !ok {
				id, ok = fresh[row.catalogue]
			}
			if !ok {
				if id, err = putCatalogue(tx, row.catalogue, row.features); err != nil {
					return err
				}
				fresh[row.catalogue] = id
			}
			text, counts := encodeUnit(row.unit, row.features)
			if _, err := put.Exec(row.incident, row.unit.Start.UnixNano(), id, text, counts); err != nil {
				return err
			}
		}
		// An id that a rolled back transaction gave away is nobody's, so it must not be remembered; one that is remembered by mistake breaks a foreign key.
		for version, id := range fresh {
			d.catalogues[version] = id
		}
		return nil
	}))
}

func putCatalogue(tx *sql.Tx, version string, features []string) (id int64, err error) {
	names, err := json.Marshal(features)
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec("INSERT INTO catalogue (version, names) VALUES (?, ?) ON CONFLICT (version) DO NOTHING", version, string(names)); err != nil {
		return 0, err
	}
	err = tx.QueryRow("SELECT id FROM catalogue WHERE version = ?", version).Scan(&id)
	return id, err
}

// records reads the records that a query gives out.
func (d *database) records(query string, args ...any) ([]control.IncidentRecord, error) {
	return readRecords(context.Background(), d.db, query, args...)
}

// full says whether an error is that there is no room.
func full(err error) bool { return code(err) == sqlite3.SQLITE_FULL }

// code is SQLite's primary result code; 0: it is no error of SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// words says whose an error is, and what to do about it.
func (d *database) words(err error) error {
	switch code(err) {
	case 0:
		if err == nil {
			return nil
		}
		return fmt.Errorf("history.file %s: %w", d.file, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("history.file %s: %w: %w", d.file, errDamaged, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("history.file %s: no room on its disk (make some): %w", d.file, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("history.file %s: another process has it open (end that, or set history.file): %w", d.file, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("history.file %s: it cannot be written to (see to its permissions and its file system): %w", d.file, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("history.file %s: its disk gives an error, or has no room (look into the kernel's log): %w", d.file, err)
	}
	return fmt.Errorf("history.file %s: %w", d.file, err)
}

// asideKept is how many damaged files are kept, the newest.
const asideKept = 3

// moveAside gives a damaged database another name, which it returns.
func moveAside(file string, now time.Time) (string, error) {
	aside := file + now.UTC().Format(".damaged-20060102T150405.000000000")
	if err := os.Rename(file, aside); err != nil {
		return "", err
	}
	if err := os.Rename(file+"-wal", aside+"-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	old := asides(file)
	for _, name := range old[:max(0, len(old)-asideKept)] {
		_ = os.Remove(name)
		_ = os.Remove(name + "-wal")
	}
	return aside, nil
}

// asides are the damaged databases that were moved aside, the newest last.
func asides(file string) []string {
	list, _ := filepath.Glob(escapeGlob(file) + ".damaged-*[0-9]") // the pattern is a good one
	slices.Sort(list)
	return list
}

// newestAside is the last of asides; empty: there is none.
func newestAside(file string) string {
	list := asides(file)
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}

// escapeGlob makes a pattern of a name that fits that name alone.
func escapeGlob(name string) string {
	var out []rune
	for _, r := range name {
		if slices.Contains([]rune(`*?[\`), r) {
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}
