package monitor

// States lists the states that a domain may be in.
func States() []string {
	return []string{
		stateStarting, stateLearning, stateNormal, stateSuspect, stateAnomalous, stateUnknown, stateBlind, statePaused, stateDisabled,
	}
}

// Reasons lists the codes of reasons, of states and of seconds that were not scored.
func Reasons() []string {
	return []string{
		reasonAnomaly, reasonAttachFailed, reasonAttaching, reasonBooting, reasonBuffers, reasonCollectFailed, reasonStopped, reasonEventsLost,
		reasonGathering, reasonHeld, reasonIdentity, reasonLateAttach, reasonNoAccess, reasonNoHelper, reasonNoProcess, reasonNoDaemon, reasonNoTracePoints,
		reasonNoUnit, reasonOverBudget, reasonPartial, reasonUnseen, reasonPaused, reasonPolicy, reasonProfile, reasonSuspicion, reasonUnreadable,
		reasonRefused,
	}
}

// IncidentKinds lists the kinds of incidents.
func IncidentKinds() []string {
	return []string{incidentAnomaly, incidentDrift, incidentIdentity, incidentLoss, incidentPolicy, incidentReboots, incidentTrace}
}
