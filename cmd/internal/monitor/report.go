package monitor

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
)

const (
	renewEvery = 15 * time.Minute
	// validity is how long a state may be believed: until its renewal, and some time for a domain whose modify job is taken.
	validity = 20 * time.Minute
	// rewriteEvery bounds how often a state that somebody else changes is written again.
	rewriteEvery = 10 * time.Second
)

// rewrite records the state again, because somebody else has changed it: at once, or as soon as it may be again.
func (w *watcher) rewrite() {
	w.changed = time.Since(w.again) < rewriteEvery
	if w.changed {
		return
	}
	w.again = time.Now()
	w.log.Warn("the state was changed or removed by somebody else; writing it again")
	w.announce()
}

// republish writes the profile element again, because somebody else has changed it.
func (w *watcher) republish() {
	if time.Since(w.anew) < rewriteEvery || w.publish.busy() { // another one is on its way
		return
	}
	w.anew, w.published = time.Now(), nil
	w.log.Warn("the profile element was changed or removed by somebody else; writing it again")
	if w.judge.profile == nil {
		w.publish.put(publication{})
		return
	}
	w.publishProfile()
}

// refresh works out the state, announces it when it has changed, and renews it in time.
func (w *watcher) refresh() string {
	w.inherit()
	value, reason := w.state()
	if value == stateDisabled || value == stateBlind && (w.source == nil || !w.heard) {
		w.ledger.fill(now(), reason.Code)
	}
	if w.reboots.many(now(), w.boot.end()) {
		w.report(incidentReboots, fmt.Sprintf("the guest has booted again %d times in %v: it is not judged while it boots", len(w.reboots), time.Duration(rebootsSpan)))
	} else {
		w.shut(incidentReboots)
	}
	switch value {
	case stateAnomalous:
		w.report(incidentAnomaly, reason.Text)
	case stateNormal, stateSuspect: // in no other state has it been seen to end
		w.shut(incidentAnomaly)
	}
	w.timeline.note(time.Now(), value, codeOf(reason))
	coverage, unseen := w.coverage()
	changed, retold := w.said.IsZero(), false
	previous := ""
	w.edit(func(d *control.DomainStatus) {
		if !changed {
			previous = d.State
		}
		changed = changed || d.State != value || codeOf(d.Reason) != codeOf(reason) || d.Coverage != coverage || !slices.Equal(d.Unseen, unseen) ||
			!slices.EqualFunc(d.Incidents, w.open, func(a, b control.Incident) bool { return a.Kind == b.Kind })
		retold = codeOf(reason) == reasonGathering && codeOf(d.Reason) == reasonGathering && d.Reason.Text != reason.Text
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
	if changed || retold || time.Since(w.said) >= renewEvery || clockSet(w.said, w.saidAt) {
		w.announce()
	}
	if w.changed {
		w.rewrite()
	}
	return value
}

// clockSet says whether the host's clock was set after a time, which is known by that clock and by CLOCK_MONOTONIC, nanoseconds. A state is valid by the
// host's clock; so is one that was announced before.
func clockSet(said time.Time, saidAt int64) bool {
	const slewed = time.Second // within the 15 minutes in which a state is renewed anyway, ntpd(8) slews it by less
	elapsed := time.Now().Round(0).Sub(said.Round(0))
	return (elapsed - time.Duration(now()-saidAt)).Abs() > slewed
}

// progress fills in how far the profile is.
func (w *watcher) progress(d *control.DomainStatus) {
	j := w.judge
	d.Profile, d.LearntUnits, d.WantedUnits, d.Support, d.Trained = false, j.gathered.length, j.plan.wanted, 0, nil
	d.Learning, d.Promise = j.plan.progress(j.gathered.length), nil
	if p := j.profile; p != nil {
		d.Promise = j.promise.report(p, j.cfg.Judging.AlarmsPerDay)
		d.Learning, d.Profile, d.LearntUnits, d.Support, d.Trained = nil, true, p.Training.Units, p.SupportVectors(), &p.Created
	}
}

// announce records the state in libvirt. Of a process that is no more there is nothing to tell, least of all to the domain's next one.
func (w *watcher) announce() {
	if w.stopping.Load() && !w.m.ending.Load() {
		return
	}
	w.said, w.saidAt = time.Now(), now()
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
		s.Incidents = append(s.Incidents, libvirt.Incident{Kind: x.Kind, Since: x.Since, Text: x.Text})
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
		c.Incidents = append(c.Incidents, hooks.Incident{ID: x.ID, Kind: x.Kind, Since: x.Since, Text: x.Text})
	}
	for _, u := range now.Unseen {
		c.Unseen = append(c.Unseen, hooks.Unseen(u))
	}
	if a := now.Alarm; a != nil && (now.State == stateSuspect || now.State == stateAnomalous) {
		c.Unit = &hooks.Unit{Start: a.Start, Score: a.Score, PValue: a.PValue, Lost: a.Lost}
		for _, v := range a.Explain {
			c.Features = append(c.Features, hooks.Feature{
				Name: v.Feature, Subsystem: v.Subsystem, Seconds: v.Seconds, Observed: v.Observed, UsualLow: v.UsualLow, UsualHigh: v.UsualHigh, Words: v.Words,
			})
		}
	}
	return c
}

func explained(list []control.Variable) *libvirt.Explanation {
	out := new(libvirt.Explanation)
	for _, v := range list[:min(sentenceParts, len(list))] {
		out.Features = append(out.Features, libvirt.ExplainedFeature{
			Name: v.Feature, Subsystem: v.Subsystem, Seconds: v.Seconds, Observed: v.Observed, UsualLow: v.UsualLow, UsualHigh: v.UsualHigh, Text: v.Words,
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
