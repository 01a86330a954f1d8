package monitor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/history"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	// announceLimit bounds how long an announcement waits for its incidents to be on disk.
	announceLimit = 2 * time.Second
	// historyLimit bounds how long domains are not watched yet because it is not known what an earlier daemon left open.
	historyLimit = 3 * time.Second
	// beforeShare is which part of the units that are kept with an incident is from before it.
	beforeShare = 5
)

// chronicle is what is told to the history of a domain's incidents. The zero value is ready; the watcher's goroutine owns it.
type chronicle struct {
	past []pastUnit // the newest units, for what may be opened after them
	open map[string]*account
}

// pastUnit is a unit, and what was unusual in it.
type pastUnit struct {
	control.KeptUnit // without its counts
	counts           chunk
	features         []string // of its counts
	explain          []control.Variable
	sentence         string
}

// whole is the unit with its counts.
func (p *pastUnit) whole() control.KeptUnit {
	u := p.KeptUnit
	p.counts.all(func(one unit.Unit) { u.Counts = named(one.Counts, p.features) })
	return u
}

// named are the counts that are not zero, by their features' names.
func named(counts []uint64, features []string) map[string]uint64 {
	some := map[string]uint64{}
	for i, n := range counts {
		if n > 0 {
			some[features[i]] = n
		}
	}
	return some
}

// account is an incident that is open.
type account struct {
	record control.IncidentRecord
	fresh  bool // no unit was told since it was opened
	kept   int  // units told after it was opened

	// What the ledger said when it was opened, and what of its span lies before that. Until ledger is known, nothing is counted.
	counted  bool
	ledger   control.Ledger
	scored   float64
	unscored map[string]float64

	// earlier is what an earlier daemon knew of it; nil: this one has opened it, or has seen it be true.
	earlier *control.IncidentRecord
	quiet   int // usual units in a row since then
}

// life names the run of a domain that a process is.
func (m *Monitor) life(p qemu.Process) string {
	return fmt.Sprintf("%s/%d/%d", m.bootID, p.PID, p.Start)
}

// inherit goes on with what an earlier daemon left open.
func (w *watcher) inherit() {
	if w.life != "" && len(w.came) > 0 {
		w.m.history.Adopt(w.life, w.came)
		w.came = nil
		w.carry()
	}
	for _, r := range w.m.history.Inherit(w.domain.UUID, w.life) {
		a := &account{record: r, scored: r.Scored, unscored: maps.Clone(r.Unscored), earlier: &r}
		if !w.settings.Watch {
			w.close(a, control.ClosedPolicy)
			continue
		}
		w.account(a)
		w.open.open(r.Kind, r.Text)
		w.open.identify(r.Kind, r.ID, r.Since)
		if r.Kind == incidentAnomaly && !r.From.IsZero() {
			w.past.resume(control.Anomaly{Begin: r.From, End: r.To, Units: r.Units, Text: r.Text})
		}
		w.log.WithFields(logrus.Fields{"incident": r.Kind, "id": r.ID, "host": r.Host}).Info("incident goes on: an earlier daemon, or another host's, opened it")
		if _, wrong := w.m.settings(w.domain); r.Kind == incidentPolicy && wrong == nil {
			w.shut(incidentPolicy) // it was put right while no daemon ran
		}
	}
}

func (w *watcher) account(a *account) {
	if w.chronicle.open == nil {
		w.chronicle.open = map[string]*account{}
	}
	w.chronicle.open[a.record.Kind] = a
}

// begin tells of an incident that was opened just now.
func (w *watcher) begin(kind, text string) {
	now := time.Now()
	w.m.surveyor.want(w.domain.UUID) // as it is now, not some minutes ago
	r := w.m.history.Open(control.IncidentRecord{
		UUID: w.domain.UUID, Name: w.domain.Name, Host: w.m.host, Kind: kind, Since: now, Updated: now, Text: text, Life: w.life, Surroundings: w.surroundings(now),
	})
	w.open.identify(kind, r.ID, r.Since)
	w.account(&account{record: r, fresh: true, counted: true, ledger: w.ledger.report(), scored: r.Scored, unscored: maps.Clone(r.Unscored)})
	w.carry()
}

// surroundings are what stood around the domain since a time.
func (w *watcher) surroundings(since time.Time) *control.Surroundings {
	s := w.m.Surroundings(w.domain.UUID, since, time.Time{})
	return &s
}

// confirm says that an incident of an earlier daemon is true now.
func (w *watcher) confirm(kind string) {
	if a := w.chronicle.open[kind]; a != nil {
		a.earlier = nil
	}
}

// pending says whether it cannot be said yet that an incident of an earlier daemon is over: too little was seen since.
func (w *watcher) pending(kind string) bool {
	a := w.chronicle.open[kind]
	if a == nil || a.earlier == nil {
		return false
	}
	switch kind {
	case incidentAnomaly:
		return a.quiet < w.quietUnits()
	case incidentLoss:
		return len(w.loss.lossy) < lossWindow
	case incidentDrift:
		return w.drift.report() == nil
	}
	return false
}

// quietUnits is how many usual units in a row end an anomaly.
func (w *watcher) quietUnits() int {
	if n := w.settings.Judging.QuietUnits; n > 0 {
		return n
	}
	return int(2 * time.Minute / unit.Width)
}

// conclude tells that an incident is closed.
func (w *watcher) conclude(kind, why string) {
	a := w.chronicle.open[kind]
	if a == nil {
		return
	}
	delete(w.chronicle.open, kind)
	if a.earlier == nil {
		w.renew(a)
		w.close(a, why)
		return
	}
	// When it ended, nobody looked.
	r := *a.earlier
	r.Closed, r.Until = control.ClosedDaemon, r.Updated
	w.m.history.Put(r, true)
	w.carry()
}

func (w *watcher) close(a *account, why string) {
	now := time.Now()
	a.record.Closed, a.record.Until, a.record.Updated = why, now, now
	a.record.Surroundings = w.surroundings(a.record.Since)
	w.m.history.Put(a.record, true)
	w.carry()
}

// concludeAll closes what is open, because the domain's life has ended.
func (w *watcher) concludeAll(why string) {
	for kind := range w.chronicle.open {
		w.conclude(kind, why)
	}
}

// suspend tells what is known of what is open, because the daemon ends.
func (w *watcher) suspend() {
	for _, a := range w.chronicle.open {
		if a.earlier == nil {
			w.renew(a)
			w.m.history.Put(a.record, true)
		}
	}
}

// renew brings a record up to now.
func (w *watcher) renew(a *account) {
	r := &a.record
	r.Updated = time.Now()
	for _, x := range w.open {
		if x.Kind == r.Kind {
			r.Text = x.Text
		}
	}
	if n := len(w.past.list); r.Kind == incidentAnomaly && n > 0 {
		p := w.past.list[n-1]
		r.From, r.To, r.Units = p.Begin, p.End, p.Units
	}
	_, unseen := w.coverage()
	for _, u := range unseen {
		if !slices.Contains(r.Unseen, u) {
			r.Unseen = append(slices.Clone(r.Unseen), u)
		}
	}
	if !a.counted {
		return
	}
	now := w.ledger.report()
	r.Scored, r.Unscored = a.scored+now.Scored-a.ledger.Scored, maps.Clone(a.unscored)
	for code, seconds := range now.Reasons {
		if d := seconds - a.ledger.Reasons[code]; d > 0 {
			if r.Unscored == nil {
				r.Unscored = map[string]float64{}
			}
			r.Unscored[code] += d
		}
	}
}

// noteHistory takes note of a unit, with the code of the reason why it was not scored (empty: it was), and tells of what is open.
func (w *watcher) noteHistory(counted unit.Unit, u *control.UnitReport, code string) {
	now := pastUnit{control.KeptUnit{
		Start: u.Start, Duration: u.Duration, Lost: u.Lost, State: u.State, Reason: code, Judged: u.Judged, Anomalous: u.Anomalous,
		Score: u.Score, PValue: u.PValue,
	}, lone(counted), w.judge.features, u.Explain, u.Sentence}
	c, most := &w.chronicle, w.m.cfg.History.Units
	if forget := len(c.past) + 1 - max(1, most/beforeShare); forget > 0 {
		c.past = slices.Delete(c.past, 0, forget)
	}
	c.past = append(c.past, now)
	for _, a := range c.open {
		tell := c.past[len(c.past)-1:]
		atOnce := a.fresh
		if a.fresh {
			a.fresh = false
			tell = c.past
			w.lookBack(a)
		} else {
			a.peak(now)
		}
		if !a.counted {
			w.resumeCount(a, u.Start)
		}
		a.settle(u)
		if room := most - a.kept; most > 0 && room > 0 {
			tell = tell[max(0, len(tell)-room):]
			a.kept += len(tell)
			units := make([]control.KeptUnit, len(tell))
			for i := range tell {
				units[i] = tell[i].whole()
			}
			w.m.history.AddUnits(a.record.ID, w.judge.counted.Version(), w.judge.features, units...)
		}
		if a.earlier == nil {
			w.renew(a)
			w.m.history.Put(a.record, atOnce)
			if atOnce {
				w.carry()
			}
		}
	}
}

// lookBack takes in the units that led to an incident. Those of an anomaly began before it was opened.
func (w *watcher) lookBack(a *account) {
	from := w.chronicle.past[len(w.chronicle.past)-1].Start
	if n := len(w.past.list); a.record.Kind == incidentAnomaly && n > 0 {
		from = w.past.list[n-1].Begin
	}
	for _, p := range w.chronicle.past {
		if p.Start.Before(from) {
			continue
		}
		a.peak(p)
		if a.record.Kind != incidentAnomaly {
			continue
		}
		// The ledger that it began with has these units already.
		if p.Reason == "" {
			a.scored += p.Duration
			continue
		}
		if a.unscored == nil {
			a.unscored = map[string]float64{}
		}
		a.unscored[p.Reason] += p.Duration
	}
}

// resumeCount begins to count the seconds of an incident of an earlier daemon: those until now, nobody looked.
func (w *watcher) resumeCount(a *account, start time.Time) {
	if gap := start.Sub(a.record.Updated); gap > 0 {
		if a.unscored == nil {
			a.unscored = map[string]float64{}
		}
		a.unscored[reasonStopped] += gap.Seconds()
	}
	a.counted, a.ledger = true, w.ledger.report()
}

// settle takes note of a unit for an incident of an earlier daemon.
func (a *account) settle(u *control.UnitReport) {
	switch {
	case a.earlier == nil || !u.Judged:
	case u.Anomalous:
		a.quiet = 0
	case u.Lost == 0:
		a.quiet++
	}
}

// peak takes note of a unit that may be the least probable one. Where two are equally improbable, the one that lies farther out is.
func (a *account) peak(p pastUnit) {
	if !p.Anomalous {
		return
	}
	r := &a.record
	if r.Kind != incidentAnomaly {
		if r.Units++; r.From.IsZero() {
			r.From = p.Start
		}
		r.To = p.Start.Add(unit.Width)
	}
	if k := r.Peak; k != nil && (p.PValue > k.PValue || p.PValue == k.PValue && p.Score >= k.Score) {
		return
	}
	r.Peak = &control.Peak{Start: p.Start, Score: p.Score, PValue: p.PValue, Lost: p.Lost, Sentence: p.sentence, Explain: p.explain}
}

// newHistory is the store of a monitor's incidents.
func newHistory(m *Monitor) *history.Store {
	c := m.cfg.History
	return history.New(history.Config{File: c.File, Days: c.Days, Incidents: c.Incidents, UnitDays: c.UnitDays}, m.log)
}
