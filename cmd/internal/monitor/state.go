package monitor

import "github.com/virtsentry/virtsentry/cmd/internal/control"

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
	reasonSuspicion     = "suspicion"
	reasonAnomaly       = "anomaly"
	reasonPaused        = "paused"
	reasonUnseen        = "partly-unseen"
	reasonEventsLost    = "events-lost"
	reasonUnreadable    = "trace-unreadable"
	reasonNoProcess     = "no-process"
	reasonNoDaemon      = "no-session-daemon"
	reasonNoAccess      = "no-access"
	reasonNoTracePoints = "no-trace-points"
	reasonAttachFailed  = "attach-failed"
	reasonCollectFailed = "collect-failed"
	reasonProfile       = "profile-unusable"
	reasonRefused       = "training-refused"
	reasonStopped       = "daemon-stopped"
)

func because(code, text string) *control.Reason { return &control.Reason{Code: code, Text: text} }
