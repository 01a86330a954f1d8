package monitor

import (
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/model"
)

// promiseConfidence is how sure it has to be that there are no more false alarms than are accepted.
const promiseConfidence = 0.95

// promise counts what a profile has shown of the false alarms a day that are promised of it. The counts are those since the profile came in force or the daemon
// began, whichever was later: they are not kept.
type promise struct {
	profile *model.Profile
	judged  time.Duration // in units without losses
	alarms  int           // all: which are false is for an operator to say, who relearns them, and a profile that is learnt again begins anew
	stands  bool          // the newest of them
}

// observe counts a unit that a profile has judged, and the alarm that it raised.
func (p *promise) observe(by *model.Profile, lossy, anomalous bool) {
	if p.profile != by {
		*p = promise{profile: by}
	}
	if !lossy {
		p.judged += model.Width
	}
	if anomalous && !p.stands {
		p.alarms++
	}
	p.stands = anomalous
}

// report says how far the promise of so many false alarms a day (0: the default) is kept to by the profile in force.
func (p *promise) report(of *model.Profile, accepted float64) *control.Promise {
	if accepted == 0 {
		accepted = model.AlarmsPerDay
	}
	r := &control.Promise{Accepted: accepted, Provisional: true}
	if p.profile != of || p.judged == 0 {
		return r
	}
	r.Hours, r.Alarms = p.judged.Hours(), p.alarms
	bound := model.PoissonBound(r.Alarms, promiseConfidence) * 24 / r.Hours
	r.Bound, r.Provisional = &bound, bound > accepted
	return r
}
