// Package control is the daemon's interface for the virtsentry command: JSON over HTTP on a UNIX socket whose peers are checked.
package control

import "time"

// DomainStatus is what the daemon knows of one domain now.
type DomainStatus struct {
	UUID   string    `json:"uuid"`
	Name   string    `json:"name"`
	ID     int       `json:"id,omitempty"` // libvirt's, of this run of it; 0: not known (yet)
	PID    int       `json:"pid"`          // of its QEMU; 0: not found
	State  string    `json:"state"`
	Since  time.Time `json:"since"`
	Reason *Reason   `json:"reason,omitempty"`
	// Coverage is full, partial, none or unknown: whether the state speaks of all devices of the domain.
	Coverage string   `json:"coverage"`
	Unseen   []Unseen `json:"unseen,omitempty"`

	LearntUnits int  `json:"learnt_units"` // units gathered for the first profile, while learning
	WantedUnits int  `json:"wanted_units"`
	Profile     bool `json:"profile"` // a profile is in force
	// Learning is how far the first profile is; nil where one is in force.
	Learning *Learning `json:"learning,omitempty"`
	// Promise is how many false alarms are to be expected of the profile in force; nil where none is.
	Promise *Promise `json:"promise,omitempty"`

	// Missed is for how long the guest's QEMU had run, in seconds, when it was attached to; 0: attached before the guest's first instruction.
	Missed float64 `json:"missed_seconds"`
	Units  Units   `json:"units"`
	Ledger Ledger  `json:"ledger"`
	// Incidents are those that are open.
	Incidents []Incident `json:"incidents,omitempty"`
	// Opened is how many incidents of each kind were opened since the daemon attached to the domain.
	Opened map[string]uint64 `json:"incidents_opened,omitempty"`
	// Anomalies are the newest times in which the domain was anomalous, the oldest first.
	Anomalies []Anomaly `json:"anomalies,omitempty"`
	// Surroundings is what stands around the domain now; nil in a list of several.
	Surroundings *Surroundings `json:"surroundings,omitempty"`
	// Drift is how far the domain has moved away from its profile; nil: not known yet.
	Drift *Drift `json:"drift,omitempty"`
	// Sources are those that the domain is observed by.
	Sources []Source `json:"sources,omitempty"`
	// BufferBytes is the memory of the domain's ring buffers.
	BufferBytes uint64 `json:"buffer_bytes"`
	// CPUSeconds is the daemon's CPU time for reading, learning and judging the domain since it attached. LTTng's daemons have their own.
	CPUSeconds float64 `json:"cpu_seconds"`

	Last    *UnitReport `json:"last,omitempty"`    // the newest unit
	Alarm   *UnitReport `json:"alarm,omitempty"`   // the newest anomalous unit
	Support int         `json:"support_vectors"`   // of the profile
	Trained *time.Time  `json:"trained,omitempty"` // when the profile was made

	// History says why incidents are not kept on disk now; empty: they are.
	History string `json:"history_error,omitempty"`
	// Aside is the newest database of incidents that was damaged and moved aside, as long as it is there; empty: there is none.
	Aside string `json:"history_damaged,omitempty"`
}

// Source is one by which a domain is observed.
type Source struct {
	Name   string `json:"name"`             // ust, tap, functions, syscalls or kvm
	Detail string `json:"detail,omitempty"` // what of the domain it sees
	Error  string `json:"error,omitempty"`  // why it gives nothing
}

// Reason says why a domain is not simply normal.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Learning is how far the gathering of units to learn from is.
type Learning struct {
	Units  int `json:"units"`        // gathered
	Wanted int `json:"wanted_units"` // then it is seen whether they are enough
	Most   int `json:"most_units"`   // that are gathered where they are not
	// Seconds is the time expected until as many are gathered as are wanted, if as many units lose events as up to now.
	Seconds float64 `json:"seconds_left"`
}

// Promise says how far it is known that a profile raises no more false alarms than are accepted. It counts since the profile came in force, or since the daemon
// began.
type Promise struct {
	Accepted float64 `json:"accepted_per_day"`
	Hours    float64 `json:"hours_judged"`
	Alarms   int     `json:"alarms"` // in that time, false or not
	// Bound is how many false alarms a day there are at most, with 95 % confidence, had all of Alarms been false; nil: nothing was judged yet.
	Bound *float64 `json:"bound_per_day"`
	// Provisional means that Bound is above Accepted, or not known.
	Provisional bool `json:"provisional"`
}

// Unseen is a device of which the state says nothing.
type Unseen struct {
	Kind string `json:"kind"` // disk, interface, filesystem, hostdev
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Units counts a domain's units since the daemon attached to it.
type Units struct {
	Seen   uint64 `json:"seen"`
	Judged uint64 `json:"judged"`
	Lossy  uint64 `json:"lossy"`  // events were lost in them
	Unread uint64 `json:"unread"` // their trace could not be read
	Late   uint64 `json:"late"`   // events that came after their unit had been given out
	// Unusual and Unknown are those of Judged that were anomalous, and those that say nothing, as events were lost in them and the rest was usual.
	Unusual uint64 `json:"unusual"`
	Unknown uint64 `json:"unknown"`
	Lost    uint64 `json:"lost_events"` // that may be missing from the units, at most
	Hits    uint64 `json:"hits"`        // counts of all features together: an event counts once for each feature that it belongs to
}

// UnitReport is one unit and what was thought of it.
type UnitReport struct {
	Domain    string            `json:"domain"` // UUID
	Name      string            `json:"name"`
	State     string            `json:"state"` // the domain's state after it
	Start     time.Time         `json:"start"`
	Duration  float64           `json:"duration_seconds"`
	Lost      uint64            `json:"lost"`
	Counts    map[string]uint64 `json:"counts"`
	Judged    bool              `json:"judged"`
	Score     float64           `json:"score"`
	PValue    float64           `json:"p_value"`
	Anomalous bool              `json:"anomalous"`
	Explain   []Variable        `json:"explain,omitempty"` // of an anomalous unit, most telling first
	Sentence  string            `json:"sentence,omitempty"`
}

// Variable is one feature's part in a verdict, in counts of the time looked at.
type Variable struct {
	Feature   string  `json:"feature"`
	Seconds   float64 `json:"seconds"` // looked at: the unit, or several in a row, of which it is the last
	Subsystem string  `json:"subsystem"`
	Words     string  `json:"words"`
	Observed  float64 `json:"observed"`
	Typical   float64 `json:"typical"`
	UsualLow  float64 `json:"usual_low"`
	UsualHigh float64 `json:"usual_high"`
	Deviation float64 `json:"deviation"` // how far from usual, in the feature's own usual spread, signed
}

// LearnRequest asks for a new profile.
type LearnRequest struct {
	Units int `json:"units"` // 0: as configured
}

// RecordRequest asks for a domain's trace.
type RecordRequest struct {
	Seconds float64 `json:"seconds"` // more than 0, at most a day's
}

// CloneRequest names the domain whose profile another one gets.
type CloneRequest struct {
	From string `json:"from"`
}

// Ledger says what became of every second of a guest's life: it is in a unit that was scored, or there is a reason why not. Life is
// Scored plus all Reasons.
type Ledger struct {
	Life    float64            `json:"life_seconds"`    // since its QEMU began, up to the end of the newest unit
	Scored  float64            `json:"scored_seconds"`  // in units that were scored
	Reasons map[string]float64 `json:"reasons_seconds"` // by the codes of reasons
}

// Incident is something that an operator should look at.
type Incident struct {
	ID    string    `json:"id,omitempty"` // by which it is kept, IncidentRecord
	Kind  string    `json:"kind"`         // anomaly, drift, loss, trace, reboots, identity or policy
	Since time.Time `json:"since"`
	Text  string    `json:"text"`
}

// ProfileInfo describes a profile.
type ProfileInfo struct {
	UUID      string    `json:"uuid"`
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	Catalogue string    `json:"catalogue"`
	Units     int       `json:"units"`   // learnt from
	Dropped   int       `json:"dropped"` // left out: events were lost in them
	Trimmed   []Trimmed `json:"trimmed,omitempty"`
	// Converged says whether the units were enough to learn from, and Convergence in words what was found; nil: nobody has looked.
	Converged   *bool         `json:"converged,omitempty"`
	Convergence string        `json:"convergence,omitempty"`
	Engine      string        `json:"engine"`
	Nu          float64       `json:"nu"`
	Gamma       float64       `json:"gamma"`
	Rho         float64       `json:"rho"`
	Support     int           `json:"support_vectors"`
	KKTResidual float64       `json:"kkt_residual"` // of the solution, by its certificate
	Level       float64       `json:"level"`
	QEMUBuild   string        `json:"qemu_build"`
	MachineType string        `json:"machine_type"`
	Accelerator string        `json:"accelerator"`
	Source      string        `json:"source"`
	Devices     []string      `json:"devices"`
	Features    []UsualCounts `json:"features"`
	Previous    bool          `json:"previous"` // there is one before it, for a rollback
	InForce     bool          `json:"in_force"` // a running domain is judged by it now
}

// Trimmed is a time whose units were left out of training, because they stood far out from the rest.
type Trimmed struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Units int       `json:"units"`
}

// UsualCounts is the usual range of a feature's count in a unit.
type UsualCounts struct {
	Feature   string  `json:"feature"`
	Subsystem string  `json:"subsystem"`
	Words     string  `json:"words"`
	Low       float64 `json:"low"`
	Typical   float64 `json:"typical"`
	High      float64 `json:"high"`
}
