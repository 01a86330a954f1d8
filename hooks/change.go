package hooks

import "time"

// Schema is the version of Change as JSON. It grows when a field changes its meaning or goes; new fields do not change it.
const Schema = 1

// Change is a change of one domain's state, as a hook reads it on standard input: one JSON object. The whole state is in it, so that a
// hook needs no earlier one. Times are UTC.
type Change struct {
	Schema   int       `json:"schema"` // set by the Runner
	UUID     string    `json:"uuid"`
	Name     string    `json:"name"` // may begin with a hyphen, and hold spaces and whatever else libvirt allows
	Host     string    `json:"host"`
	State    string    `json:"state"`    // normal, anomalous, learning, ...
	Previous string    `json:"previous"` // empty for the first state after the daemon began to watch
	Since    time.Time `json:"since"`
	Reason   *Reason   `json:"reason,omitempty"`
	// Incidents are those that are open now. A change of them alone is a change, too.
	Incidents []Incident `json:"incidents,omitempty"`
	Coverage  string     `json:"coverage,omitempty"` // full, partial, none, unknown: whether the state speaks of all devices of the domain
	Unseen    []Unseen   `json:"unseen,omitempty"`
	Unit      *Unit      `json:"unit,omitempty"`
	Features  []Feature  `json:"features,omitempty"` // that carry the verdict, the most telling first
	Missed    uint64     `json:"missed"`             // changes of this domain that no hook was run for, since the one before; set by the Runner
}

// Reason says why a domain is in a state that is not simply seen to be normal.
type Reason struct {
	Code string `json:"code"` // from a closed list, for programs
	Text string `json:"text"` // for people
}

// Unseen is a device of which the state says nothing.
type Unseen struct {
	Kind string `json:"kind"` // interface, disk, ...
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Incident is something that an operator should look at.
type Incident struct {
	ID    string    `json:"id,omitempty"` // by which virtsentry incidents show knows it
	Kind  string    `json:"kind"`         // anomaly, drift, loss, trace, reboots, identity, policy
	Since time.Time `json:"since"`
	Text  string    `json:"text"`
}

// Unit is the unit whose verdict led to the state.
type Unit struct {
	Start  time.Time `json:"start"`
	Score  float64   `json:"score"`   // below 0 is outside what was learnt
	PValue float64   `json:"p_value"` // share of held-out normal units that scored no better
	Lost   uint64    `json:"lost"`    // events that may be missing from the unit
}

// Feature is one feature's part in a verdict, in counts a unit.
type Feature struct {
	Name      string  `json:"name"`
	Subsystem string  `json:"subsystem"`
	Words     string  `json:"words"`
	Seconds   float64 `json:"seconds"` // looked at: the unit, or several in a row, of which it is the last
	Observed  float64 `json:"observed"`
	UsualLow  float64 `json:"usual_low"`
	UsualHigh float64 `json:"usual_high"`
}

// arguments are those of the hook, shaped like those that libvirt gives to its own: domain, operation, sub-operation, an extra one.
func (c Change) arguments() []string {
	code := "-"
	if c.Reason != nil && c.Reason.Code != "" {
		code = c.Reason.Code
	}
	return []string{c.Name, c.State, code, "-"}
}
