package monitor

import (
	"fmt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/model"
)

// driftEvery is how many judged units apart it is looked whether a domain drifts: a minute.
const driftEvery = 30

// driftWatch watches whether what a domain does moves away from what its profile was learnt on. The profile in force is never changed by it.
// It begins anew with another profile, and when the daemon starts.
type driftWatch struct {
	profile *model.Profile
	watch   *model.Drift
	units   int
}

// observe takes a unit that was judged by a profile, and says whether it is time to look. Lossy units, whose counts are too low, and those of an
// alarm, which are not normal operation, are passed over.
func (d *driftWatch) observe(p *model.Profile, u *control.UnitReport) bool {
	if d.profile != p {
		*d = driftWatch{profile: p}
		if p != nil {
			d.watch = model.NewDrift(p)
		}
		return true
	}
	if p == nil || !u.Judged || u.Lost > 0 || u.State == stateAnomalous {
		return false
	}
	d.watch.Observe(u.PValue)
	d.units++
	return d.units%driftEvery == 0
}

// report is what is known; nil: not enough yet.
func (d *driftWatch) report() *control.Drift {
	if d.watch == nil {
		return nil
	}
	recent, ok := d.watch.Recent()
	if !ok {
		return nil
	}
	overall, _ := d.watch.Overall()
	return &control.Drift{Drifted: d.watch.Drifted(), Recent: shown(recent), Overall: shown(overall)}
}

func shown(s model.Shift) control.Shift {
	return control.Shift{Units: s.Units, Share: round(s.Share), Low: round(s.Low)}
}

// noteDrift takes note of a unit, and reports a drift.
func (w *watcher) noteDrift(u *control.UnitReport) {
	if !w.drift.observe(w.judge.profile, u) {
		return
	}
	now := w.drift.report()
	w.edit(func(d *control.DomainStatus) { d.Drift = now })
	if now == nil || !now.Drifted {
		w.shut(incidentDrift)
		return
	}
	w.report(incidentDrift, driftText(*now, w.domain.Name))
}

// driftText says in words what has moved, and what to do about it.
func driftText(d control.Drift, name string) string {
	return fmt.Sprintf("%.0f %% of the newest %d units, and %.0f %% since the profile is in force, are as unusual as %.0f %% were when it was learnt: "+
		"what the domain does has changed (where that is meant: virtsentry relearn %s --from -1h)",
		100*d.Recent.Share, d.Recent.Units, 100*d.Overall.Share, 100*model.UnusualLevel, name)
}
