package monitor

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// take hands on the units of a collection.
func (w *watcher) take(b batch) {
	if b.registered && !w.heard {
		w.heard = true
		w.log.Info("its QEMU reports trace points")
	}
	if b.late > 0 {
		w.edit(func(d *control.DomainStatus) { d.Units.Late += b.late })
	}
	for _, u := range b.units {
		w.unit(u)
	}
	w.refresh()
}

// unit learns or judges one unit and reports it.
func (w *watcher) unit(u unit.Unit) {
	start := w.source.at(u.Start)
	report := control.UnitReport{
		Domain: w.domain.UUID, Name: w.domain.Name, Start: time.Unix(0, u.Start).UTC(), Duration: time.Duration(u.Duration).Seconds(), Lost: u.Lost,
		Counts: map[string]uint64{},
	}
	for i, n := range u.Counts {
		if n > 0 {
			report.Counts[w.judge.features[i]] = n
		}
	}
	if u.Full() && !w.booting(start) && !w.halted(start) {
		had := w.judge.profile != nil
		if err := w.judge.observe(u, &report); err != nil {
			w.log.WithError(err).Error("unit not used")
		}
		if !had && w.judge.profile != nil {
			p := w.judge.profile
			w.log.WithFields(logrus.Fields{"units": p.Training.Units, "support_vectors": len(p.Machine.Alpha), "engine": p.Machine.Engine}).Info("learnt")
		}
	}
	w.recent.keep(u)
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
	w.m.units.publish(report)
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
		d.Last = report
		if report.Anomalous {
			d.Alarm = report
		}
	})
}

// booting says whether a unit belongs to the guest's start.
func (w *watcher) booting(start time.Time) bool {
	return start.Before(w.booted.Add(time.Duration(w.m.cfg.Learning.Starting)))
}

// halted says whether the guest's CPUs stood still during part of a unit.
func (w *watcher) halted(start time.Time) bool {
	if w.paused {
		return start.Add(unit.Width).After(w.pausedAt)
	}
	return start.Before(w.resumed)
}

func (w *watcher) pause() {
	if !w.paused {
		w.paused, w.pausedAt = true, time.Now()
	}
	w.refresh()
}

func (w *watcher) resume() {
	if w.paused {
		w.paused, w.resumed = false, time.Now()
	}
	w.refresh()
}

func (w *watcher) relearn(units int) {
	w.judge.relearn(units)
	w.refresh()
}

func (w *watcher) blindness(why *control.Reason) {
	w.blind = why
	w.refresh()
}

// state works out what is true now.
func (w *watcher) state() (string, *control.Reason) {
	switch {
	case w.blind != nil:
		return stateBlind, w.blind
	case w.paused:
		return statePaused, because(reasonPaused, "the guest's CPUs do not run")
	case w.source == nil || !w.heard || w.booting(time.Now()):
		return stateStarting, because(reasonBooting, "a starting guest is neither learnt nor judged")
	}
	return w.judge.state()
}

const (
	renewEvery = 15 * time.Minute
	// validity is how long a state may be believed: until its renewal, and some time for a domain whose modify job is taken.
	validity = 20 * time.Minute
	// rewriteEvery bounds how often a state that somebody else changes is written again.
	rewriteEvery = 10 * time.Second
)

// The coverages of a domain.
const (
	coverageFull    = "full"    // all its devices are seen
	coveragePartial = "partial" // some are not
	coverageNone    = "none"
	coverageUnknown = "unknown" // its devices have not been read yet
)

// coverage says which of the domain's devices the units tell of.
func (w *watcher) coverage() (string, []control.Unseen) {
	var unseen []control.Unseen
	for _, d := range w.hardware.Devices {
		if d.Unseen != "" {
			unseen = append(unseen, control.Unseen{Kind: d.Kind, Name: d.Name, Why: d.Unseen})
		}
	}
	switch {
	case w.blind != nil || w.source == nil || !w.heard:
		return coverageNone, unseen
	case !w.known:
		return coverageUnknown, nil
	case len(unseen) > 0:
		return coveragePartial, unseen
	}
	return coverageFull, nil
}

func (w *watcher) setHardware(h libvirt.Hardware) {
	w.hardware, w.known = h, true
	w.identify()
	w.refresh()
}

// identify tells the judge what the guest runs on, once all of it is known. A profile that was learnt on something else is not used.
func (w *watcher) identify() {
	if !w.known || w.source == nil {
		return
	}
	f := model.Fingerprint{
		QEMUBuild: w.build, MachineType: w.hardware.Machine, Accelerator: w.hardware.Accelerator,
		Catalogue: catalogue.Version, Source: sourceName,
	}
	for _, d := range w.hardware.Devices {
		f.Devices = append(f.Devices, strings.TrimSpace(d.Kind+" "+d.Type))
	}
	if diff := w.judge.fit(f); len(diff) > 0 {
		w.log.WithField("differs", strings.Join(diff, "; ")).Warn("the profile was learnt on something else and is not used")
	}
}

// rewrite records the state again, because somebody else has changed it.
func (w *watcher) rewrite() {
	if time.Since(w.again) < rewriteEvery {
		return
	}
	w.again = time.Now()
	w.log.Warn("the state was changed or removed by somebody else; writing it again")
	w.announce()
}

// refresh works out the state, announces it when it has changed, and renews it in time.
func (w *watcher) refresh() string {
	value, reason := w.state()
	coverage, unseen := w.coverage()
	changed := w.said.IsZero()
	previous := ""
	w.edit(func(d *control.DomainStatus) {
		if !changed {
			previous = d.State
		}
		changed = changed || d.State != value || codeOf(d.Reason) != codeOf(reason) || d.Coverage != coverage || !slices.Equal(d.Unseen, unseen)
		if d.State != value {
			d.Since = time.Now()
		}
		d.State, d.Reason, d.Coverage, d.Unseen = value, reason, coverage, unseen
		w.progress(d)
	})
	if changed {
		entry := w.log.WithFields(logrus.Fields{"state": value, "coverage": coverage})
		if reason != nil {
			entry = entry.WithField("reason", reason.Code)
		}
		entry.Info("state changed")
		w.m.hooks.Notify(w.change(previous))
	}
	if changed || time.Since(w.said) >= renewEvery {
		w.announce()
	}
	return value
}

// progress fills in how far the profile is.
func (w *watcher) progress(d *control.DomainStatus) {
	j := w.judge
	d.Profile, d.LearntUnits, d.WantedUnits, d.Support, d.Trained = false, len(j.trained.Rows), j.wanted, 0, nil
	if p := j.profile; p != nil {
		d.Profile, d.LearntUnits, d.Support, d.Trained = true, p.Training.Units, len(p.Machine.Alpha), &p.Created
	}
}

// announce records the state in libvirt.
func (w *watcher) announce() {
	w.said = time.Now()
	now := w.status()
	s := libvirt.State{
		Value: now.State, Since: now.Since, Updated: w.said, ValidUntil: w.said.Add(validity),
		Host: w.m.host, BootID: w.m.bootID, Coverage: now.Coverage,
	}
	if codeOf(now.Reason) == reasonStopped {
		s.ValidUntil = w.said.Add(foreverBlind)
	}
	if now.Reason != nil {
		s.Reason = &libvirt.Reason{Code: now.Reason.Code, Text: now.Reason.Text}
	}
	if len(now.Unseen) > 0 {
		s.Unseen = new(libvirt.Unseen)
		for _, u := range now.Unseen {
			s.Unseen.Devices = append(s.Unseen.Devices, libvirt.UnseenDevice(u))
		}
	}
	if (now.State == stateSuspect || now.State == stateAnomalous) && now.Alarm != nil {
		s.Unit = &libvirt.JudgedUnit{Start: now.Alarm.Start, Score: round(now.Alarm.Score), PValue: round(now.Alarm.PValue), Lost: now.Alarm.Lost}
		s.Explanation = explained(now.Alarm.Explain)
	}
	w.record.put(s)
}

// change is the present state as hooks are told of it.
func (w *watcher) change(previous string) hooks.Change {
	now := w.status()
	c := hooks.Change{
		UUID: now.UUID, Name: now.Name, Host: w.m.host, State: now.State, Previous: previous, Since: now.Since.UTC(), Coverage: now.Coverage,
	}
	if now.Reason != nil {
		c.Reason = &hooks.Reason{Code: now.Reason.Code, Text: now.Reason.Text}
	}
	for _, u := range now.Unseen {
		c.Unseen = append(c.Unseen, hooks.Unseen(u))
	}
	if a := now.Alarm; a != nil && (now.State == stateSuspect || now.State == stateAnomalous) {
		c.Unit = &hooks.Unit{Start: a.Start, Score: a.Score, PValue: a.PValue, Lost: a.Lost}
		for _, v := range a.Explain {
			c.Features = append(c.Features, hooks.Feature{
				Name: v.Feature, Subsystem: v.Subsystem, Observed: v.Observed, UsualLow: v.UsualLow, UsualHigh: v.UsualHigh, Words: v.Words,
			})
		}
	}
	return c
}

func explained(list []control.Variable) *libvirt.Explanation {
	out := new(libvirt.Explanation)
	for _, v := range list[:min(sentenceParts, len(list))] {
		out.Features = append(out.Features, libvirt.ExplainedFeature{
			Name: v.Feature, Subsystem: v.Subsystem, Observed: v.Observed, UsualLow: v.UsualLow, UsualHigh: v.UsualHigh, Text: v.Words,
		})
	}
	return out
}

// round cuts a figure to what is worth recording.
func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

func (w *watcher) edit(f func(*control.DomainStatus)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.now)
}

func codeOf(r *control.Reason) string {
	if r == nil {
		return ""
	}
	return r.Code
}
