package monitor

import (
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// The states of a domain, as the state element and the command show them.
const (
	stateStarting  = "starting"  // boots: neither learnt nor judged
	stateLearning  = "learning"  // gathers units for its first profile
	stateNormal    = "normal"    // as its profile knows it
	stateSuspect   = "suspect"   // some unusual units, not yet enough
	stateAnomalous = "anomalous" // unusual for several units
	stateUnknown   = "unknown"   // events were lost: may be normal, may be not
	stateBlind     = "blind"     // not seen at all
	statePaused    = "paused"    // its virtual CPUs do not run
	stateDisabled  = "disabled"  // the operator does not want it watched
)

// The codes of reasons, a closed list.
const (
	reasonBooting       = "booting"
	reasonAttaching     = "attaching"
	reasonLateAttach    = "late-attach"  // of seconds alone, not of states
	reasonPartial       = "partial-unit" // of seconds alone
	reasonPolicy        = "policy"
	reasonBuffers       = "buffer-memory"
	reasonIdentity      = "identity"
	reasonGathering     = "gathering"
	reasonNoUnit        = "no-unit-yet"
	reasonSuspicion     = "suspicion"
	reasonAnomaly       = "anomaly"
	reasonPaused        = "paused"
	reasonHeld          = "held-up"
	reasonUnseen        = "partly-unseen"
	reasonEventsLost    = "events-lost"
	reasonOverBudget    = "over-budget"
	reasonUnreadable    = "trace-unreadable"
	reasonNoProcess     = "no-process"
	reasonNoDaemon      = "no-session-daemon"
	reasonNoAccess      = "no-access"
	reasonNoHelper      = "no-probe-helper"
	reasonNoTracePoints = "no-trace-points"
	reasonAttachFailed  = "attach-failed"
	reasonCollectFailed = "collect-failed"
	reasonProfile       = "profile-unusable"
	reasonRefused       = "training-refused"
	reasonStopped       = "daemon-stopped"
)

func because(code, text string) *control.Reason { return &control.Reason{Code: code, Text: text} }

// state works out what is true now.
func (w *watcher) state() (string, *control.Reason) {
	now := now()
	switch {
	case !w.settings.Watch && w.source == nil:
		return stateDisabled, because(reasonPolicy, "the operator does not want it watched")
	case w.stranger() != nil:
		return stateBlind, w.stranger()
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
	if why != nil && why.Code == reasonEventsLost && w.over != "" {
		why = because(reasonOverBudget, w.over)
	}
	if (value == stateNormal || value == stateSuspect) && w.loss.open {
		if w.over != "" {
			return stateUnknown, because(reasonOverBudget, w.over)
		}
		return stateUnknown, because(reasonEventsLost, w.loss.text())
	}
	if why := w.held.reason(now); why != nil {
		switch value {
		case stateLearning:
			return value, why
		case stateNormal, stateSuspect:
			return stateUnknown, why
		}
	}
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
