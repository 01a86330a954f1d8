package config

import "time"

// Actions says what closer looks at domains may take.
type Actions struct {
	// OverheadPercent is what all actions of a domain together may cost at any time, in percent of its speed; 0: no limit.
	OverheadPercent float64 `toml:"overhead_percent"`
	// AllowUnpriced lets actions run of which the price is not known, though there is a limit.
	AllowUnpriced bool     `toml:"allow_unpriced"`
	Duration      Duration `toml:"duration"`     // where nobody says how long
	MaxDuration   Duration `toml:"max_duration"` // that is granted
	// GuestSeconds is how much of its time actions may take from a guest within an hour, seconds; 0: no limit.
	GuestSeconds float64 `toml:"guest_seconds_per_hour"`
	// GuestSyscalls lets guests' own system calls be looked at, for which they are stopped again and again. virtsentry-keeper has to allow it, too.
	GuestSyscalls bool   `toml:"guest_syscalls"`
	KeeperSocket  string `toml:"keeper_socket"` // of virtsentry-keeper
}

// The bounds of an action's time, whatever is configured.
const (
	shortestAction = Duration(4 * time.Second)
	longestAction  = Duration(time.Hour)
)

// keyOverhead is the key of the overhead that is allowed, which has other names in [[domain]] and in a policy element.
const keyOverhead = "actions.overhead_percent"

func (a Actions) check() *problem {
	// Conditions are written so that NaN is refused.
	switch {
	case a.Duration < shortestAction || a.Duration > longestAction:
		return wrong("actions.duration", "%v is not between 4s and 1h", time.Duration(a.Duration))
	case a.MaxDuration < shortestAction || a.MaxDuration > longestAction:
		return wrong("actions.max_duration", "%v is not between 4s and 1h", time.Duration(a.MaxDuration))
	case a.Duration > a.MaxDuration:
		return &problem{keys: []string{"actions.duration", "actions.max_duration"}, text: "an action would usually take longer than any may"}
	case !(a.GuestSeconds >= 0 && a.GuestSeconds <= 3600):
		return wrong("actions.guest_seconds_per_hour", "%v is not between 0 (no limit) and 3600", a.GuestSeconds)
	}
	return nil
}
