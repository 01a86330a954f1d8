package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/history"
	"github.com/virtsentry/virtsentry/libvirt"
)

const (
	carriedMost = 20   // incidents that go where their domain goes
	carriedText = 2000 // bytes of each of their texts
)

// carry has the incidents written into the domain's metadata, so that they go where it goes.
func (w *watcher) carry() {
	if w.judge.looked.Load() { // until then, what is there may be of another host, and newer
		w.carried.put(struct{}{})
	}
}

// writeIncidents writes the incidents element where it does not say what it should, on the recorder's goroutine.
func (w *watcher) writeIncidents(struct{}) error {
	uuid := w.domain.UUID
	records, err := w.m.records(uuid)
	if err != nil {
		return err
	}
	conn := w.m.connection()
	if conn == nil {
		return errDisconnected
	}
	shown, err := conn.Incidents(uuid)
	if err != nil && !errors.Is(err, libvirt.ErrGarbled) {
		return err
	}
	none := bytes.Equal(records, []byte("[]"))
	if err == nil && (shown == nil && none || shown != nil && shown.Host == w.m.host && bytes.Equal(shown.Records, records) && w.m.believed(shown.Signed)) {
		return nil
	}
	e := libvirt.IncidentsElement{Domain: uuid, Host: w.m.host, Updated: time.Now(), Records: records}
	if len(w.m.keys) > 0 {
		e.Sign(w.m.keys[0])
	}
	return conn.SetIncidents(uuid, e)
}

// believed says whether an element may be believed: it is signed, or nobody signs.
func (m *Monitor) believed(signed func([][]byte) bool) bool {
	return len(m.keys) == 0 || signed(m.keys)
}

// records are a domain's incidents as they go along: those that are open first, the newest first, as many as there is room for.
func (m *Monitor) records(uuid string) ([]byte, error) {
	list, err := m.history.List(control.IncidentFilter{Domain: uuid})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b control.IncidentRecord) int {
		switch {
		case a.Open() == b.Open():
			return 0
		case a.Open():
			return -1
		}
		return 1
	})
	list = list[:min(len(list), carriedMost)]
	for i := range list {
		r := &list[i]
		r.Surroundings, r.Life = nil, ""
		if r.Peak != nil {
			peak := *r.Peak
			peak.Explain = peak.Explain[:min(len(peak.Explain), sentenceParts)]
			r.Peak = &peak
		}
	}
	texts := make([]string, len(list))
	for i, r := range list {
		texts[i] = history.EncodeRecord(r)
	}
	for {
		text := "[" + strings.Join(texts, ",") + "]"
		if len(text) <= libvirt.MaxIncidents {
			return []byte(text), nil
		}
		texts = texts[:len(texts)-1]
	}
}

// unpackIncidents reads what came along with a domain. What another host could not have written is refused as a whole.
func unpackIncidents(uuid, name string, text []byte) ([]control.IncidentRecord, error) {
	var list []control.IncidentRecord
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&list); err != nil {
		return nil, err
	}
	if len(list) > carriedMost {
		return nil, fmt.Errorf("%d incidents, more than %d", len(list), carriedMost)
	}
	for i := range list {
		r := &list[i]
		if err := checkCarried(r); err != nil {
			return nil, fmt.Errorf("incident %d: %w", i, err)
		}
		if r.UUID != uuid {
			return nil, fmt.Errorf("incident %d is of domain %.60q", i, r.UUID)
		}
		r.Name, r.Life, r.Surroundings = name, "", nil
	}
	return list, nil
}

var (
	incidentID    = regexp.MustCompile(`^[a-z][a-z2-9]{7}$`)
	incidentKinds = []string{incidentAnomaly, incidentDrift, incidentLoss, incidentIdentity, incidentReboots, incidentPolicy, incidentTrace}
	closedCodes   = []string{"", control.ClosedOver, control.ClosedDomain, control.ClosedDaemon, control.ClosedPolicy}
)

func checkCarried(r *control.IncidentRecord) error {
	switch {
	case !incidentID.MatchString(r.ID):
		return fmt.Errorf("id: %.20q is none", r.ID)
	case !slices.Contains(incidentKinds, r.Kind):
		return fmt.Errorf("kind: there is no %.20q", r.Kind)
	case !slices.Contains(closedCodes, r.Closed):
		return fmt.Errorf("closed: there is no %.20q", r.Closed)
	case r.Label != "" && !slices.Contains(control.Labels(), r.Label):
		return fmt.Errorf("label: there is no %.20q", r.Label)
	case r.Open() != r.Until.IsZero():
		return errors.New("it is open and has an end, or neither")
	}
	for _, at := range []time.Time{r.Since, r.Updated} {
		if at.Year() < 2000 || at.After(time.Now().Add(24*time.Hour)) {
			return fmt.Errorf("time: %v", at)
		}
	}
	texts := []string{r.Host, r.Text, r.Note}
	if r.Peak != nil {
		texts = append(texts, r.Peak.Sentence)
		for _, v := range r.Peak.Explain {
			texts = append(texts, v.Feature, v.Subsystem, v.Words)
		}
	}
	for _, u := range r.Unseen {
		texts = append(texts, u.Kind, u.Name, u.Why)
	}
	for code := range r.Unscored {
		texts = append(texts, code)
	}
	for _, text := range texts {
		if len(text) > carriedText || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			return fmt.Errorf("a text is too long, or cannot be printed: %.40q", text)
		}
	}
	return nil
}

// bringIncidents takes in what happened to a domain on the host that it came from.
func (m *Monitor) bringIncidents(w *watcher, conn *libvirt.Connection) {
	e, err := conn.Incidents(w.domain.UUID)
	if err != nil && !errors.Is(err, libvirt.ErrGarbled) || err == nil && (e == nil || e.Host == m.host) {
		return
	}
	var came []control.IncidentRecord
	switch {
	case err != nil:
	case e.Domain != w.domain.UUID:
		return // a copy of the definition of another one
	case !m.believed(e.Signed):
		err = errUnsigned
	default:
		came, err = unpackIncidents(w.domain.UUID, w.domain.Name, e.Records)
	}
	if err != nil {
		w.log.WithError(err).Warn("the incidents that the domain brought along are not used")
		return
	}
	if came = m.history.News(came); len(came) > 0 {
		w.log.WithField("host", e.Host).WithField("incidents", len(came)).Info("the domain brought its incidents along")
		w.do(func() { w.came = came })
	}
}
