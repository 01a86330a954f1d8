package history

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// EncodeRecord is an incident as JSON, which knows neither infinity nor what is no number: these become the largest number and 0.
func EncodeRecord(r control.IncidentRecord) string {
	if r.Peak != nil {
		peak := *r.Peak // others may read it
		peak.Score, peak.PValue = finite(peak.Score), finite(peak.PValue)
		peak.Explain = append([]control.Variable(nil), peak.Explain...)
		for i := range peak.Explain {
			v := &peak.Explain[i]
			for _, f := range []*float64{&v.Seconds, &v.Observed, &v.Typical, &v.UsualLow, &v.UsualHigh, &v.Deviation} {
				*f = finite(*f)
			}
		}
		r.Peak = &peak
	}
	text, err := json.Marshal(r)
	if err != nil { // a time beyond the year 9999
		r.Since, r.Until, r.Updated, r.From, r.To, r.Peak = time.Unix(0, 0), time.Unix(0, 0), time.Unix(0, 0), time.Time{}, time.Time{}, nil
		text, _ = json.Marshal(r)
	}
	return string(text)
}

func finite(v float64) float64 {
	switch {
	case math.IsNaN(v):
		return 0
	case math.IsInf(v, 0):
		return math.Copysign(math.MaxFloat64, v)
	}
	return v
}

// encodeUnit is a unit as JSON without its counts, and these as pairs of varints: the distance from the feature before, and the count.
func encodeUnit(u control.KeptUnit, features []string) (text string, counts []byte) {
	at := 0
	for i, name := range features {
		if n := u.Counts[name]; n > 0 {
			counts = binary.AppendUvarint(counts, uint64(i-at))
			counts = binary.AppendUvarint(counts, n)
			at = i
		}
	}
	u.Counts, u.Score, u.PValue = nil, finite(u.Score), finite(u.PValue)
	written, err := json.Marshal(u)
	if err != nil {
		written = []byte("{}")
	}
	if counts == nil {
		counts = []byte{}
	}
	return string(written), counts
}

// decodeUnit reads what encodeUnit wrote. Errors: what is no such text.
func decodeUnit(text string, counts []byte, features []string) (control.KeptUnit, error) {
	var u control.KeptUnit
	if err := json.Unmarshal([]byte(text), &u); err != nil {
		return u, err
	}
	u.Counts = map[string]uint64{}
	at := uint64(0)
	for len(counts) > 0 {
		step, n := binary.Uvarint(counts)
		if n <= 0 {
			return u, errors.New("a count is cut off")
		}
		value, m := binary.Uvarint(counts[n:])
		if m <= 0 {
			return u, errors.New("a count is cut off")
		}
		counts = counts[n+m:]
		if step >= uint64(len(features))-at {
			return u, fmt.Errorf("a count of feature %d+%d, there are %d", at, step, len(features))
		}
		at += step
		u.Counts[features[at]] = value
	}
	return u, nil
}

// readRecords reads the incidents of a query, which gives out the column record alone.
func readRecords(ctx context.Context, db *sql.DB, query string, args ...any) ([]control.IncidentRecord, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var list []control.IncidentRecord
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		var r control.IncidentRecord
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%w: a record: %w", errDamaged, err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
