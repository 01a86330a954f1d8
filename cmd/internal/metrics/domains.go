package metrics

import (
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/monitor"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// add adds a series to a metric: its value, and the values of all labels but the UUID.
type add func(value float64, labels ...string)

// domainFamily is a metric of each domain.
type domainFamily struct {
	Family
	read func(control.DomainStatus, add)
}

// ofDomain is a metric of each domain: what tells its series apart besides the UUID.
func ofDomain(name string, kind Kind, help string, read func(control.DomainStatus, add), labels ...Label) domainFamily {
	uuid := Label{Name: "uuid", Words: "the domain's UUID"}
	return domainFamily{Family{Name: name, Kind: kind, Help: help, Labels: append([]Label{uuid}, labels...)}, read}
}

// value is the reading of a metric that has one series for each domain.
func value(f func(control.DomainStatus) float64) func(control.DomainStatus, add) {
	return func(d control.DomainStatus, add add) { add(f(d)) }
}

// What became of a unit, a closed list: each is one of these.
const (
	unitUsual    = "usual"
	unitUnusual  = "unusual"
	unitUnknown  = "unknown"
	unitUnjudged = "unjudged"
)

// domains has the metrics of each domain in the order of the reference.
var domains = slices.Concat(stateFamilies, unitFamilies, profileFamilies, costFamilies)

var stateFamilies = []domainFamily{
	ofDomain("virtsentry_domain_info", Gauge, "Always 1: what else is known of a domain, to be joined by its UUID.",
		func(d control.DomainStatus, add add) { add(1, d.Name, d.Coverage, sourceNames(d)) },
		Label{Name: "name", Words: "as virsh shows it"},
		Label{Name: "coverage", Values: []string{"full", "partial", "none", "unknown"}},
		Label{Name: "sources", Words: "what it is observed by, such as ust+tap"}),
	ofDomain("virtsentry_domain_state", Gauge, "1 for the state that the domain is in, 0 for all others.",
		func(d control.DomainStatus, add add) {
			for _, s := range monitor.States() {
				add(truth(d.State == s), s)
			}
		}, Label{Name: "state", Values: monitor.States()}),
	ofDomain("virtsentry_domain_state_since_timestamp_seconds", Gauge, "When the domain came into its present state.",
		value(func(d control.DomainStatus) float64 { return seconds(d.Since) })),
	ofDomain("virtsentry_domain_reason", Gauge, "1 for the code of the reason of the present state; there is no series of any other, and none where the state needs no reason.",
		func(d control.DomainStatus, add add) {
			if d.Reason != nil {
				add(1, d.Reason.Code)
			}
		}, Label{Name: "reason", Values: monitor.Reasons()}),
	ofDomain("virtsentry_domain_unseen_devices", Gauge, "Devices of the domain of which its state says nothing.",
		value(func(d control.DomainStatus) float64 { return float64(len(d.Unseen)) })),
	ofDomain("virtsentry_domain_source_up", Gauge, "1 for what the domain is observed by, 0 for what it should be observed by and gives nothing.",
		func(d control.DomainStatus, add add) {
			for i, s := range d.Sources {
				if !slices.ContainsFunc(d.Sources[:i], func(o control.Source) bool { return o.Name == s.Name }) {
					add(truth(s.Error == ""), s.Name)
				}
			}
		}, Label{Name: "source", Values: sources()}),
	ofDomain("virtsentry_domain_incident_open", Gauge, "1 while an incident of that kind is open, 0 otherwise.",
		func(d control.DomainStatus, add add) {
			for _, kind := range monitor.IncidentKinds() {
				add(truth(slices.ContainsFunc(d.Incidents, func(x control.Incident) bool { return x.Kind == kind })), kind)
			}
		}, Label{Name: "kind", Values: monitor.IncidentKinds()}),
	ofDomain("virtsentry_domain_incidents_opened_total", Counter, "Incidents that were opened; those of kind anomaly are the alarms.",
		func(d control.DomainStatus, add add) {
			for _, kind := range monitor.IncidentKinds() {
				add(float64(d.Opened[kind]), kind)
			}
		}, Label{Name: "kind", Values: monitor.IncidentKinds()}),
}

var unitFamilies = []domainFamily{
	ofDomain("virtsentry_domain_units_total", Counter,
		"Units that were seen, by what came of them: judged usual or unusual; unknown: events were lost in them, and what was seen is usual; unjudged: learnt from, or partial, or of a time that is not judged.",
		func(d control.DomainStatus, add add) {
			u := d.Units
			add(float64(u.Judged-u.Unusual-u.Unknown), unitUsual)
			add(float64(u.Unusual), unitUnusual)
			add(float64(u.Unknown), unitUnknown)
			add(float64(u.Seen-u.Judged), unitUnjudged)
		}, Label{Name: "result", Values: []string{unitUsual, unitUnusual, unitUnknown, unitUnjudged}}),
	ofDomain("virtsentry_domain_units_lossy_total", Counter, "Units in which events were lost, or recorded in part only.",
		value(func(d control.DomainStatus) float64 { return float64(d.Units.Lossy) })),
	ofDomain("virtsentry_domain_units_unread_total", Counter, "Units whose trace could not be read.",
		value(func(d control.DomainStatus) float64 { return float64(d.Units.Unread) })),
	ofDomain("virtsentry_domain_hits_total", Counter, "Counts of all features together: an event counts once for each feature that it belongs to.",
		value(func(d control.DomainStatus) float64 { return float64(d.Units.Hits) })),
	ofDomain("virtsentry_domain_events_lost_total", Counter, "Events that may be missing from the units, at most: discarded by full ring buffers, or not recorded.",
		value(func(d control.DomainStatus) float64 { return float64(d.Units.Lost) })),
	ofDomain("virtsentry_domain_events_late_total", Counter, "Events that came after their unit had been given out, and are in none.",
		value(func(d control.DomainStatus) float64 { return float64(d.Units.Late) })),
	ofDomain("virtsentry_domain_scored_seconds_total", Counter, "Seconds of the guest's life, since its QEMU began, in units that were scored.",
		value(func(d control.DomainStatus) float64 { return d.Ledger.Scored })),
	ofDomain("virtsentry_domain_unscored_seconds_total", Counter, "Seconds of the guest's life that were not scored, by the reason; together with the scored ones they are all of it.",
		func(d control.DomainStatus, add add) {
			for _, code := range monitor.Reasons() {
				if s, there := d.Ledger.Reasons[code]; there {
					add(s, code)
				}
			}
		}, Label{Name: "reason", Values: monitor.Reasons()}),
	ofDomain("virtsentry_domain_last_unit_end_timestamp_seconds", Gauge, "End of the newest unit.",
		func(d control.DomainStatus, add add) {
			if u := d.Last; u != nil {
				add(seconds(u.Start) + u.Duration)
			}
		}),
	ofDomain("virtsentry_domain_last_unit_score", Gauge, "Score of the newest unit, if it was judged: below 0 it lies outside of what was learnt.",
		judged(func(u *control.UnitReport) float64 { return u.Score })),
	ofDomain("virtsentry_domain_last_unit_p_value", Gauge, "Conformal p-value of the newest unit, 0 to 1, if it was judged: the share of usual units that are at least as unusual.",
		judged(func(u *control.UnitReport) float64 { return u.PValue })),
}

var profileFamilies = []domainFamily{
	ofDomain("virtsentry_domain_learning_units", Gauge, "Units gathered to learn from; there is none where a profile is in force.",
		learning(func(l *control.Learning) int { return l.Units })),
	ofDomain("virtsentry_domain_learning_wanted_units", Gauge, "Units that are gathered before it is seen whether they are enough.",
		learning(func(l *control.Learning) int { return l.Wanted })),
	ofDomain("virtsentry_domain_profile_units", Gauge, "Units that the profile in force was learnt from.",
		profile(func(d control.DomainStatus) float64 { return float64(d.LearntUnits) })),
	ofDomain("virtsentry_domain_profile_support_vectors", Gauge, "Support vectors of the profile in force.",
		profile(func(d control.DomainStatus) float64 { return float64(d.Support) })),
	ofDomain("virtsentry_domain_profile_created_timestamp_seconds", Gauge, "When the profile in force was made.",
		func(d control.DomainStatus, add add) {
			if d.Trained != nil {
				add(seconds(*d.Trained))
			}
		}),
	ofDomain("virtsentry_domain_drift_ratio", Gauge, "Share of the newest two hours' units that are as unusual as few were when the profile was learnt, once there are enough.",
		func(d control.DomainStatus, add add) {
			if d.Drift != nil {
				add(d.Drift.Recent.Share)
			}
		}),
}

var costFamilies = []domainFamily{
	ofDomain("virtsentry_domain_buffer_bytes", Gauge, "Memory of the domain's ring buffers.",
		value(func(d control.DomainStatus) float64 { return float64(d.BufferBytes) })),
	ofDomain("virtsentry_domain_cpu_seconds_total", Counter, "CPU time that the daemon took to read, learn and judge the domain; that of LTTng's daemons is not in it.",
		value(func(d control.DomainStatus) float64 { return d.CPUSeconds })),
}

func judged(f func(*control.UnitReport) float64) func(control.DomainStatus, add) {
	return func(d control.DomainStatus, add add) {
		if d.Last != nil && d.Last.Judged {
			add(f(d.Last))
		}
	}
}

func learning(f func(*control.Learning) int) func(control.DomainStatus, add) {
	return func(d control.DomainStatus, add add) {
		if d.Learning != nil {
			add(float64(f(d.Learning)))
		}
	}
}

func profile(f func(control.DomainStatus) float64) func(control.DomainStatus, add) {
	return func(d control.DomainStatus, add add) {
		if d.Profile {
			add(f(d))
		}
	}
}

// sources are those that a domain may be observed by.
func sources() []string {
	names := []string{config.UST}
	for _, s := range probe.Sources() {
		names = append(names, string(s))
	}
	return names
}

// sourceNames are those that give something, in the order in which a profile's fingerprint has them.
func sourceNames(d control.DomainStatus) string {
	var names []string
	for _, s := range d.Sources {
		if s.Error == "" {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, "+")
}

// seconds is a time since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
