// Package control is the daemon's interface for the virtsentry command: JSON over HTTP on a UNIX socket whose peers are checked.
package control

import "time"

// DomainStatus is what the daemon knows of one domain now.
type DomainStatus struct {
	UUID   string    `json:"uuid"`
	Name   string    `json:"name"`
	PID    int       `json:"pid"` // of its QEMU; 0: not found
	State  string    `json:"state"`
	Since  time.Time `json:"since"`
	Reason *Reason   `json:"reason,omitempty"`
	// Coverage is full, partial, none or unknown: whether the state speaks of all devices of the domain.
	Coverage string   `json:"coverage"`
	Unseen   []Unseen `json:"unseen,omitempty"`

	LearntUnits int  `json:"learnt_units"` // units gathered for the first profile, while learning
	WantedUnits int  `json:"wanted_units"`
	Profile     bool `json:"profile"` // a profile is in force

	// Missed is for how long the guest's QEMU had run, in seconds, when it was attached to; 0: attached before the guest's first instruction.
	Missed  float64     `json:"missed_seconds"`
	Units   Units       `json:"units"`
	Last    *UnitReport `json:"last,omitempty"`    // the newest unit
	Alarm   *UnitReport `json:"alarm,omitempty"`   // the newest anomalous unit
	Support int         `json:"support_vectors"`   // of the profile
	Trained *time.Time  `json:"trained,omitempty"` // when the profile was made
}

// Reason says why a domain is not simply normal.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
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
	Explain   []Variable        `json:"explain,omitempty"` // most telling first
	Sentence  string            `json:"sentence,omitempty"`
}

// Variable is one feature's part in a verdict, in counts a unit.
type Variable struct {
	Feature   string  `json:"feature"`
	Subsystem string  `json:"subsystem"`
	Words     string  `json:"words"`
	Observed  float64 `json:"observed"`
	Typical   float64 `json:"typical"`
	UsualLow  float64 `json:"usual_low"`
	UsualHigh float64 `json:"usual_high"`
	Deviation float64 `json:"deviation"` // in the profile's scaled units, signed
}

// LearnRequest asks for a new profile.
type LearnRequest struct {
	Units int `json:"units"` // 0: as configured
}
