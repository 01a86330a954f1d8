package monitor

import (
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// take hands on the units of a collection, and counts what they cost.
func (w *watcher) take(b batch) {
	took := b.spent + spent(func() { w.handOn(b) })
	w.edit(func(d *control.DomainStatus) { d.CPUSeconds += took.Seconds() })
}

func (w *watcher) handOn(b batch) {
	if b.registered && !w.heard {
		w.heard = true
		w.endTurn()
		w.log.Info("its QEMU reports trace points")
	}
	if w.doubt = nil; b.doubt != nil {
		w.doubt = because(reasonNoAccess, "not known whether the trace is of the domain's QEMU: "+b.doubt.Error())
	}
	if b.late > 0 {
		w.edit(func(d *control.DomainStatus) { d.Units.Late += b.late })
	}
	w.over = b.over
	for _, u := range b.units {
		w.unit(u)
	}
	if w.blind == nil || w.blind.Code != reasonUnreadable {
		w.shut(incidentTrace)
	} else {
		w.report(incidentTrace, w.blind.Text)
	}
	w.refresh()
}

// unit learns or judges one unit and reports it.
func (w *watcher) unit(u unit.Unit) {
	report := control.UnitReport{
		Domain: w.domain.UUID, Name: w.domain.Name, Start: time.Unix(0, u.Start).UTC(), Duration: time.Duration(u.Duration).Seconds(), Lost: u.Lost,
		Counts: named(u.Counts, w.judge.features),
	}
	start := w.source.at(u.Start)
	w.grid = start - u.Start
	end := start + u.Duration
	code := w.use(u, start, end, &report)
	w.ledger.enter(start, end, code, reasonAttaching)
	if report.Judged {
		w.m.meter.Verdict(time.Duration(max(0, now()-end)))
	}
	if w.loss.observe(u.Lost > 0) {
		w.report(incidentLoss, w.loss.text())
	} else {
		w.shut(incidentLoss)
	}
	shown := report // what others read is not changed any more
	w.count(u, &shown)
	report.State = w.refresh()
	final := report
	w.edit(func(d *control.DomainStatus) {
		if d.Last == &shown {
			d.Last = &final
		}
		if d.Alarm == &shown {
			d.Alarm = &final
		}
	})
	w.noteAnomaly(&report)
	w.noteDrift(&report)
	w.noteHistory(u, &report, code)
	w.timeline.unit(&report, code)
	w.m.closer.Judged(report)
	w.m.units.publish(report)
}

// learnt logs that a profile was learnt, and what was left out of it.
func (w *watcher) learnt(p *model.Profile) {
	for _, s := range p.Training.Trimmed {
		w.log.WithFields(logrus.Fields{"units": s.Units, "from": time.Unix(0, s.From).UTC(), "to": time.Unix(0, s.To).UTC()}).
			Warn("left out of learning: they stand far out from the rest. Where they were normal, mark them so with virtsentry relearn")
	}
	if c := p.Training.Convergence; c != nil && !c.Enough() {
		w.log.WithFields(logrus.Fields{"units": p.Training.Units, "found": c.String()}).
			Warn("learnt from as many units as are allowed, though more would be better: what is normal was still news at the end (learning.max_units)")
	}
	w.log.WithFields(logrus.Fields{
		"units": p.Training.Units, "left_out": p.Training.TrimmedUnits(), "support_vectors": p.SupportVectors(), "engine": p.Machine().Engine,
	}).Info("learnt")
}

// use learns or judges a unit, where it may, and fills in its report. It returns the code of the reason why the unit was not scored; empty: it was.
func (w *watcher) use(u unit.Unit, start, end int64, report *control.UnitReport) string {
	switch {
	case w.stranger() != nil:
		return w.stranger().Code
	case w.halted(start, end):
		return reasonPaused
	case w.held.covers(start, end):
		return reasonHeld
	case w.booting(start, end):
		if u.Full() && w.ran {
			w.boot.observe(end, rowOf(u), u.Lost > 0, w.judge.profile)
		}
		return reasonBooting
	case !u.Full():
		return reasonPartial
	}
	if u.Lost == 0 {
		w.recent.keep(u)
	}
	had := w.judge.profile != nil
	if err := w.judge.observe(u, report); err != nil {
		w.log.WithError(err).Error("unit not used")
	}
	if p := w.judge.profile; !had && p != nil {
		w.learnt(p)
	} else if w.judge.keepOwed() {
		w.log.Info("the profile is kept now")
	}
	switch {
	case !had && w.judge.profile != nil:
		return reasonGathering // the unit that completed the profile
	case report.Judged && (u.Lost == 0 || report.Anomalous):
		return ""
	case u.Lost > 0 && w.blind != nil:
		return w.blind.Code // its trace could not be read
	case u.Lost > 0 && w.over != "":
		return reasonOverBudget
	case u.Lost > 0:
		return reasonEventsLost
	}
	if _, why := w.judge.state(); why != nil {
		return why.Code
	}
	return reasonGathering // the unit that completed the profile
}

func (w *watcher) count(u unit.Unit, report *control.UnitReport) {
	w.edit(func(d *control.DomainStatus) {
		d.Units.Seen++
		if u.Lost > 0 {
			d.Units.Lossy++
		}
		if report.Judged {
			d.Units.Judged++
		}
		switch {
		case report.Anomalous:
			d.Units.Unusual++
		case report.Judged && u.Lost > 0:
			d.Units.Unknown++
		}
		d.Units.Lost += u.Lost
		for _, n := range u.Counts {
			d.Units.Hits += n
		}
		d.Last = report
		if report.Anomalous {
			d.Alarm = report
		}
	})
}
