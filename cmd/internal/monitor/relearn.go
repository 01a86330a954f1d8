package monitor

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// maxTraining bounds the units that a profile is learnt from again and again: those of a day. The oldest go first.
const maxTraining = 43200

// Relearn trains a domain's profile again with the remembered units of a span, control.Profiles (the paper's 5.2). Times are those of the
// units, as watch shows them.
func (m *Monitor) Relearn(ref string, request control.RelearnRequest) (control.Relearnt, error) {
	d, err := m.find(ref)
	if err != nil {
		return control.Relearnt{}, err
	}
	w := m.watcher(d.UUID)
	if w == nil {
		return control.Relearnt{}, fmt.Errorf("%.256s: %w", ref, control.ErrNoDomain)
	}
	var old *model.Profile
	var judging config.Judging
	if err := w.ask(func() error { old, judging = w.judge.profile, w.judge.cfg.Judging; return nil }); err != nil {
		return control.Relearnt{}, err
	}
	span, err := w.span(d, request, old)
	if err != nil {
		return control.Relearnt{}, err
	}
	if old == nil {
		return control.Relearnt{}, fmt.Errorf("%.256s: %w in force: it is being learnt", ref, control.ErrNoProfile)
	}
	// Training takes its time, and units are judged on meanwhile.
	again, answer, err := m.compare(old, span, judging)
	if err != nil {
		return control.Relearnt{}, err
	}
	answer.Lost, answer.DryRun = lostAttacks(answer.Effect, request.AcceptLoss), request.DryRun
	if request.DryRun || len(answer.Lost) > 0 {
		answer.Profile = m.describe(again.profile)
		return answer, nil
	}
	if err := w.replace(ref, old, again); err != nil {
		return control.Relearnt{}, err
	}
	answer.Profile = m.changed("profile relearnt", again.profile)
	return answer, nil
}

// marking is what an operator has marked as normal, and what else is remembered.
type marking struct{ marked, others []unit.Unit }

// span finds the units that a request marks: those that are remembered, and those that are kept with an incident. The profile in force says which of the latter
// can be learnt from; nil: none.
func (w *watcher) span(d control.DomainStatus, request control.RelearnRequest, p *model.Profile) (marking, error) {
	from, to := request.From, request.To
	var kept []unit.Unit
	switch {
	case !(request.AcceptLoss >= 0 && request.AcceptLoss <= 1):
		return marking{}, fmt.Errorf("%w: an accepted loss of %v is not a share of 0 to 1", control.ErrRefused, request.AcceptLoss)
	case request.Incident != "" && (!from.IsZero() || !to.IsZero()):
		return marking{}, fmt.Errorf("%w: either an incident or a span is marked", control.ErrRefused)
	case request.Incident != "":
		var err error
		if from, to, kept, err = w.m.incidentSpan(d, request.Incident, p); err != nil {
			return marking{}, err
		}
	}
	if !from.Before(to) {
		return marking{}, fmt.Errorf("%w: the span ends before it begins", control.ErrRefused)
	}
	found, oldest, newest := w.recent.between(from, to)
	for _, u := range kept {
		if !slices.ContainsFunc(found, func(o unit.Unit) bool { return o.Start == u.Start }) {
			found = append(found, u)
		}
	}
	slices.SortStableFunc(found, func(a, b unit.Unit) int { return cmp.Compare(a.Start, b.Start) })
	switch {
	case len(found) == 0 && oldest.IsZero():
		return marking{}, fmt.Errorf("%w: no unit of domain %s is remembered yet", control.ErrRefused, d.Name)
	case len(found) == 0:
		return marking{}, fmt.Errorf("%w: no full unit without losses from %s to %s (those from %s to %s are remembered)", control.ErrRefused,
			from.Format(time.RFC3339), to.Format(time.RFC3339), oldest.Format(time.RFC3339), newest.Format(time.RFC3339))
	}
	all, _, _ := w.recent.between(oldest, newest)
	others := slices.DeleteFunc(all, func(u unit.Unit) bool {
		start := time.Unix(0, u.Start)
		return !start.Before(from) && !start.Add(unit.Width).After(to)
	})
	return marking{found, others}, nil
}

// relearnt is a profile that may be put in force, with the units that it was learnt from and the first profile of its chain.
type relearnt struct {
	profile, first *model.Profile
	rows           []model.Row
}

// compare trains a profile again, and says what it does better and worse than the one before.
func (m *Monitor) compare(old *model.Profile, span marking, judging config.Judging) (relearnt, control.Relearnt, error) {
	learnt, err := trainingRows(m.store, old)
	if err != nil {
		return relearnt{}, control.Relearnt{}, err
	}
	first, err := m.store.First(old)
	if err != nil {
		return relearnt{}, control.Relearnt{}, fmt.Errorf("%w: %w (learn it anew with virtsentry learn)", control.ErrRefused, err)
	}
	rows := merge(learnt, span.marked)
	p, err := m.retrain(old, rows, judging)
	if err != nil {
		return relearnt{}, control.Relearnt{}, err
	}
	known := make(map[int64]bool, len(learnt))
	for _, r := range learnt {
		known[r.Start] = true
	}
	others := slices.DeleteFunc(span.others, func(u unit.Unit) bool { return known[u.Start] })
	var answer control.Relearnt
	c := comparison{before: old, after: p, alarms: judging.AlarmsPerDay}
	if answer.Effect, err = c.effect(learnt, rowsOf(span.marked), rowsOf(others)); err != nil {
		return relearnt{}, control.Relearnt{}, err
	}
	answer.First, err = compareFirst(first, rows, judging.AlarmsPerDay)
	return relearnt{profile: p, first: first, rows: rows}, answer, err
}

// replace puts a profile in force instead of the old one that it was learnt again from, which is kept.
func (w *watcher) replace(ref string, old *model.Profile, again relearnt) error {
	return w.ask(func() error {
		if w.judge.profile != old {
			return fmt.Errorf("%w: the profile was changed meanwhile; try again", control.ErrRefused)
		}
		if err := w.judge.suits(again.profile); err != nil {
			return err
		}
		if err := keepRelearnt(w.m.store, again.profile, again.rows, again.first); err != nil {
			return told(ref, err)
		}
		err := w.judge.use(again.profile)
		w.refresh()
		return err
	})
}

// retrain trains a profile from the units that an old one was learnt from and marked ones.
func (m *Monitor) retrain(old *model.Profile, rows []model.Row, judging config.Judging) (*model.Profile, error) {
	began := time.Now()
	p, err := model.Train(m.engine, model.Dataset{Features: old.Features, Rows: rows}, model.Options{
		Domain: old.Domain, Catalogue: old.Catalogue, Fingerprint: old.Fingerprint, Created: time.Now(), Dropped: old.Training.Dropped,
		Nu: judging.Nu, Gamma: judging.Gamma, Level: judging.Level,
	})
	if err != nil {
		m.meter.Training(time.Since(began), TrainingRefused)
		return nil, fmt.Errorf("%w: %w", control.ErrRefused, err)
	}
	m.meter.Training(time.Since(began), TrainingRelearnt)
	return p, nil
}

// keepProfile saves a profile with the units that it was learnt from.
func keepProfile(store *model.Store, p *model.Profile, rows []model.Row) error {
	return keepRelearnt(store, p, rows, nil)
}

// keepRelearnt is keepProfile of a profile that was relearnt, with the first one of the chain.
func keepRelearnt(store *model.Store, p *model.Profile, rows []model.Row, first *model.Profile) error {
	f := unit.File{Features: p.Features}
	for _, r := range rows {
		u := unit.Unit{Start: r.Start, Duration: int64(unit.Width), Counts: make([]uint64, len(r.Values))}
		for i, v := range r.Values {
			u.Counts[i] = uint64(v)
		}
		f.Units = append(f.Units, u)
	}
	var units bytes.Buffer
	if err := unit.Write(&units, f); err != nil {
		return err
	}
	return store.SaveRelearnt(p, units.Bytes(), first)
}

// trainingRows reads the units that a profile was learnt from.
func trainingRows(store *model.Store, p *model.Profile) ([]model.Row, error) {
	const remedy = "learn it anew with virtsentry learn"
	data, err := store.Units(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: the units that the profile was learnt from are not kept, as it came from elsewhere or from an older release (%s)",
			control.ErrRefused, remedy)
	case err != nil:
		return nil, fmt.Errorf("%w: %w (%s)", control.ErrRefused, err, remedy)
	}
	f, err := unit.Read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: the units that the profile was learnt from cannot be read: %w (%s)", control.ErrRefused, err, remedy)
	}
	if !slices.Equal(f.Features, p.Features) || len(f.Units) != p.Training.Units {
		return nil, fmt.Errorf("%w: the kept units are not those that the profile was learnt from (%s)", control.ErrRefused, remedy)
	}
	rows := make([]model.Row, len(f.Units))
	for i, u := range f.Units {
		rows[i] = model.Row{Start: u.Start, Values: rowOf(u)}
	}
	return rows, nil
}

// merge puts marked units among those that were learnt from, in the order of time, each once. The trace's clock is the wall clock when a
// session began; where it was set back since, which shows when a marked unit is older than all that was learnt from, the two are of different
// clocks, and the marked ones follow after the others, with the distances between them kept: training asks for no more than an order in which
// neighbours are neighbours in time.
func merge(rows []model.Row, marked []unit.Unit) []model.Row {
	shift := int64(0)
	oldest := slices.MinFunc(marked, func(a, b unit.Unit) int { return cmp.Compare(a.Start, b.Start) }).Start
	if n := len(rows); n > 0 && oldest < rows[0].Start {
		shift = rows[n-1].Start + 2*int64(unit.Width) - oldest
	}
	rows = slices.Clone(rows)
	for _, u := range marked {
		u.Start += shift
		rows = append(rows, model.Row{Start: u.Start, Values: rowOf(u)})
	}
	slices.SortStableFunc(rows, func(a, b model.Row) int { return cmp.Compare(a.Start, b.Start) })
	rows = slices.CompactFunc(rows, func(a, b model.Row) bool { return a.Start == b.Start })
	return rows[max(0, len(rows)-maxTraining):]
}
