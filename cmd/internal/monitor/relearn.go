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
func (m *Monitor) Relearn(ref string, from, to time.Time) (control.ProfileInfo, error) {
	d, err := m.Domain(ref)
	if err != nil {
		return control.ProfileInfo{}, err
	}
	w := m.watcher(d.UUID)
	if w == nil {
		return control.ProfileInfo{}, fmt.Errorf("%.256s: %w", ref, control.ErrNoDomain)
	}
	if !from.Before(to) {
		return control.ProfileInfo{}, fmt.Errorf("%w: the span ends before it begins", control.ErrRefused)
	}
	marked, oldest, newest := w.recent.between(from, to)
	switch {
	case oldest.IsZero():
		return control.ProfileInfo{}, fmt.Errorf("%w: no unit of domain %s is remembered yet", control.ErrRefused, d.Name)
	case len(marked) == 0:
		return control.ProfileInfo{}, fmt.Errorf("%w: no full unit without losses in that time (those from %s to %s are remembered)",
			control.ErrRefused, oldest.Format(time.RFC3339), newest.Format(time.RFC3339))
	}
	var old *model.Profile
	var judging config.Judging
	if err := w.ask(func() error { old, judging = w.judge.profile, w.judge.cfg.Judging; return nil }); err != nil {
		return control.ProfileInfo{}, err
	}
	if old == nil {
		return control.ProfileInfo{}, fmt.Errorf("%.256s: %w in force: it is being learnt", ref, control.ErrNoProfile)
	}
	// Training takes its time, and units are judged on meanwhile.
	p, rows, err := m.retrain(old, marked, judging)
	if err != nil {
		return control.ProfileInfo{}, err
	}
	err = w.ask(func() error {
		if w.judge.profile != old {
			return fmt.Errorf("%w: the profile was changed meanwhile; try again", control.ErrRefused)
		}
		if err := w.judge.suits(p); err != nil {
			return err
		}
		if err := keepProfile(m.store, p, rows); err != nil {
			return told(ref, err)
		}
		err := w.judge.use(p)
		w.refresh()
		return err
	})
	if err != nil {
		return control.ProfileInfo{}, err
	}
	return m.changed("profile relearnt", p), nil
}

// retrain trains a profile from the units that an old one was learnt from and the marked ones.
func (m *Monitor) retrain(old *model.Profile, marked []unit.Unit, judging config.Judging) (*model.Profile, []model.Row, error) {
	rows, err := trainingRows(m.store, old)
	if err != nil {
		return nil, nil, err
	}
	rows = merge(rows, marked)
	p, err := model.Train(m.engine, model.Dataset{Features: old.Features, Rows: rows}, model.Options{
		Domain: old.Domain, Catalogue: old.Catalogue, Fingerprint: old.Fingerprint, Created: time.Now(), Dropped: old.Training.Dropped,
		Nu: judging.Nu, Gamma: judging.Gamma, Level: judging.Level,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", control.ErrRefused, err)
	}
	return p, rows, nil
}

// keepProfile saves a profile with the units that it was learnt from.
func keepProfile(store *model.Store, p *model.Profile, rows []model.Row) error {
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
	return store.SaveWithUnits(p, units.Bytes())
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
