package monitor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// take hands on the units of a collection.
func (w *watcher) take(b batch) {
	if b.registered && !w.heard {
		w.heard = true
		w.log.Info("its QEMU reports trace points")
	}
	if b.doubt != nil && !w.doubted {
		w.doubted = true
		w.log.WithError(b.doubt).Warn("not known whether the trace is of the domain's QEMU")
	}
	if b.late > 0 {
		w.edit(func(d *control.DomainStatus) { d.Units.Late += b.late })
	}
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
		Counts: map[string]uint64{},
	}
	for i, n := range u.Counts {
		if n > 0 {
			report.Counts[w.judge.features[i]] = n
		}
	}
	start := w.source.at(u.Start)
	end := start + u.Duration
	w.ledger.enter(start, end, w.use(u, start, end, &report), reasonAttaching)
	if w.loss.observe(u.Lost > 0) {
		w.report(incidentLoss, fmt.Sprintf("events were lost in %d of the last %d units: whatever happens in the domain may hide in that "+
			"(larger buffers: lttng.sub_buffers)", w.loss.count, lossWindow))
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
	w.m.units.publish(report)
}

// use learns or judges a unit, where it may, and fills in its report. It returns the code of the reason why the unit was not scored; empty: it was.
func (w *watcher) use(u unit.Unit, start, end int64, report *control.UnitReport) string {
	switch {
	case w.foreign != nil:
		return w.foreign.Code
	case w.halted(start, end):
		return reasonPaused
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
		w.log.WithFields(logrus.Fields{"units": p.Training.Units, "support_vectors": len(p.Machine.Alpha), "engine": p.Machine.Engine}).Info("learnt")
	}
	switch {
	case report.Judged && (u.Lost == 0 || report.Anomalous):
		return ""
	case u.Lost > 0 && w.blind != nil:
		return w.blind.Code // its trace could not be read
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
		d.Last = report
		if report.Anomalous {
			d.Alarm = report
		}
	})
}

// booting says whether some of the time from start to end belongs to the guest's start: before libvirt has said that it runs, too.
func (w *watcher) booting(start, end int64) bool {
	return w.boot.holds(start, end) || !w.ran && start < w.boot.since+int64(w.boot.limit)
}

// halted says whether the guest's CPUs stood still for some of the time from start to end.
func (w *watcher) halted(start, end int64) bool {
	if w.paused {
		return end > w.pausedAt
	}
	return end > w.pausedAt && start < w.resumed
}

func (w *watcher) pause() {
	if !w.paused {
		w.paused, w.pausedAt = true, now()
	}
	w.refresh()
}

func (w *watcher) resume() {
	if w.paused {
		w.paused, w.resumed = false, now()
	}
	if w.ran = true; w.restored {
		w.restored = false
		w.boot.over, w.boot.until = true, now()
		w.log.Info("a guest that was restored or has migrated does not boot")
	}
	w.refresh()
}

// reboot says that the guest was reset within its QEMU, and boots again.
func (w *watcher) reboot() {
	at := now()
	if !w.reboots.add(at) {
		return
	}
	w.boot.begin(at, time.Duration(w.settings.Learning.Starting))
	w.judge.decider.Reset() // what it did before is another life
	w.log.Info("the guest boots again")
	w.refresh()
}

// configure puts other settings in force. An error says what of them is not.
func (w *watcher) configure(s config.Domain, wrong error) {
	if wrong != nil {
		w.report(incidentPolicy, wrong.Error())
	} else {
		w.shut(incidentPolicy)
	}
	if s == w.settings {
		return
	}
	w.settings, w.boot.limit = s, time.Duration(s.Learning.Starting)
	w.log.WithField("watch", s.Watch).Info("settings changed")
	if err := w.judge.configure(s); err != nil {
		w.log.WithError(err).Error("settings not in force")
	}
	w.refresh()
}

// report opens an incident.
func (w *watcher) report(kind, text string) {
	if w.open.open(kind, text) {
		w.log.WithFields(logrus.Fields{"incident": kind, "text": text}).Warn("incident opened")
	}
}

// shut ends an incident.
func (w *watcher) shut(kind string) {
	if w.open.shut(kind) {
		w.log.WithField("incident", kind).Info("incident ended")
	}
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
	now := now()
	switch {
	case !w.settings.Watch:
		return stateDisabled, because(reasonPolicy, "the operator does not want it watched")
	case w.foreign != nil:
		return stateBlind, w.foreign
	case w.usurped != nil:
		return stateBlind, w.usurped
	case w.blind != nil:
		return stateBlind, w.blind
	case w.paused:
		return statePaused, because(reasonPaused, "the guest's CPUs do not run")
	case w.booting(now, now):
		return stateStarting, because(reasonBooting, "a starting guest is neither learnt nor judged until it has settled")
	case w.source == nil || !w.heard:
		return stateStarting, because(reasonAttaching, "its QEMU has not reported a trace point yet")
	}
	value, why := w.judge.state()
	if coverage, unseen := w.coverage(); value == stateNormal && coverage == coveragePartial {
		// Nobody may take this for plainly normal.
		names := make([]string, len(unseen))
		for i, d := range unseen {
			names[i] = d.Kind + " " + d.Name
		}
		why = because(reasonUnseen, "as its profile knows it in what is seen; not seen: "+strings.Join(names, ", "))
	}
	return value, why
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
	case !w.settings.Watch || w.foreign != nil || w.usurped != nil || w.blind != nil || w.source == nil || !w.heard:
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
	w.check()
	w.identify()
	w.refresh()
}

// check makes sure that the process runs the domain's emulator.
func (w *watcher) check() {
	if w.proc.PID == 0 || w.hardware.Emulator == "" { // libvirt's test driver has none
		return
	}
	err := w.m.processes.Check(w.proc, w.hardware.Emulator)
	switch {
	case errors.Is(err, qemu.ErrOtherExecutable):
		w.foreign = because(reasonIdentity, err.Error())
		w.report(incidentIdentity, err.Error())
	case err != nil:
		w.log.WithError(err).Warn("not known whether its process runs its emulator")
	case w.foreign != nil:
		w.foreign = nil
		w.shut(incidentIdentity)
	}
}

// identify tells the judge what the guest runs on, once all of it is known. A profile that was learnt on something else is not used.
func (w *watcher) identify() {
	if !w.known || w.source == nil {
		return
	}
	f := model.Fingerprint{
		QEMUBuild: w.build, MachineType: w.hardware.Machine, Accelerator: w.hardware.Accelerator,
		Catalogue: w.m.set.Version(), Source: sourceName,
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
	if value == stateDisabled || w.source == nil && value == stateBlind {
		w.ledger.fill(now(), reason.Code)
	}
	if w.reboots.many(now()) {
		w.report(incidentReboots, fmt.Sprintf("the guest has booted again %d times in %v: it is not judged while it boots", len(w.reboots), time.Duration(rebootsSpan)))
	} else {
		w.shut(incidentReboots)
	}
	if value == stateAnomalous {
		w.report(incidentAnomaly, reason.Text)
	} else {
		w.shut(incidentAnomaly)
	}
	coverage, unseen := w.coverage()
	changed := w.said.IsZero()
	previous := ""
	w.edit(func(d *control.DomainStatus) {
		if !changed {
			previous = d.State
		}
		changed = changed || d.State != value || codeOf(d.Reason) != codeOf(reason) || d.Coverage != coverage || !slices.Equal(d.Unseen, unseen) ||
			!slices.EqualFunc(d.Incidents, w.open, func(a, b control.Incident) bool { return a.Kind == b.Kind })
		if d.State != value {
			d.Since = time.Now()
		}
		d.State, d.Reason, d.Coverage, d.Unseen, d.Incidents, d.Ledger = value, reason, coverage, unseen, w.open, w.ledger.report()
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
	w.publishProfile()
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

// announce records the state in libvirt. Of a process that is no more there is nothing to tell, least of all to the domain's next one.
func (w *watcher) announce() {
	if w.stopping.Load() && !w.m.ending.Load() {
		return
	}
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
	for _, x := range now.Incidents {
		s.Incidents = append(s.Incidents, libvirt.Incident(x))
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
	for _, x := range now.Incidents {
		c.Incidents = append(c.Incidents, hooks.Incident(x))
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
