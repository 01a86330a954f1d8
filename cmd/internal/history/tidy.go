package history

import (
	"database/sql"
	"time"
)

// tidyMost is how many incidents are taken out at once for being too many; what is left is for the next time.
const tidyMost = 200

// tidy takes out what is kept no longer: now and then, and the incidents that are too many whenever there are new ones.
func (d *database) tidy(cfg Config, now time.Time, more bool) error {
	hourly := d.tidied.IsZero() || now.Sub(d.tidied).Abs() >= tidyEvery
	if !hourly && !more {
		return nil
	}
	removed, err := d.removeSurplus(cfg.Incidents)
	if err != nil {
		return d.words(err)
	}
	if hourly {
		n, err := d.removeOld(cfg, now)
		if err != nil {
			return d.words(err)
		}
		removed += n
		d.tidied = now
	}
	if removed > 0 {
		if _, err := d.db.Exec("PRAGMA incremental_vacuum"); err != nil {
			return d.words(err)
		}
	}
	return nil
}

// removeOld takes out what is too old.
func (d *database) removeOld(cfg Config, now time.Time) (removed int64, err error) {
	before := func(days int) int64 { return now.AddDate(0, 0, -days).UnixNano() }
	err = d.inTransaction(func(tx *sql.Tx) error {
		for _, q := range []struct {
			text string
			args []any
		}{
			{"DELETE FROM incident WHERE until < ?", []any{before(cfg.Days)}},
			{"DELETE FROM unit WHERE incident IN (SELECT id FROM incident WHERE until < ?)", []any{before(cfg.UnitDays)}},
			{"DELETE FROM catalogue WHERE id NOT IN (SELECT DISTINCT catalogue FROM unit)", nil},
		} {
			result, err := tx.Exec(q.text, q.args...)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			removed += n
		}
		return nil
	})
	if err == nil {
		d.catalogues = map[string]int64{}
	}
	return removed, err
}

// removeSurplus takes out closed incidents that are too many: of the domain that has the most of them, its oldest ones, and those without a label first. So a
// domain with many does not push out those of others.
func (d *database) removeSurplus(most int) (removed int64, err error) {
	var closed int
	if err := d.db.QueryRow("SELECT count(*) FROM incident WHERE until IS NOT NULL").Scan(&closed); err != nil {
		return 0, err
	}
	if closed <= most {
		return 0, nil
	}
	err = d.inTransaction(func(tx *sql.Tx) error {
		for range min(closed-most, tidyMost) {
			result, err := tx.Exec("DELETE FROM incident WHERE id = (SELECT id FROM incident WHERE until IS NOT NULL AND uuid = " +
				"(SELECT uuid FROM incident WHERE until IS NOT NULL GROUP BY uuid ORDER BY count(*) DESC, uuid LIMIT 1) ORDER BY label <> '', since, id LIMIT 1)")
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			removed += n
		}
		return nil
	})
	return removed, err
}
