package model

import (
	"fmt"
	"math"
	"math/bits"
)

// State is what a sequence of verdicts says about a guest.
type State int

// The states of a judged guest.
const (
	Normal    State = iota // nothing unusual lately
	Suspect                // some unusual units, too few for an alarm
	Anomalous              // an alarm, until the guest has been quiet again
)

// String returns the state's name: "normal", "suspect" or "anomalous".
func (s State) String() string {
	switch s {
	case Normal:
		return "normal"
	case Suspect:
		return "suspect"
	case Anomalous:
		return "anomalous"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// DeciderConfig says how many units make a state. The zero value of each field
// means its default.
type DeciderConfig struct {
	Window  int // how many of the last judged units are looked at; default 5, at most 64
	Alarm   int // that many anomalous ones among them: Anomalous; default 3
	Suspect int // that many: Suspect; default 2
	Quiet   int // that many quiet units in a row end an alarm; default 60, two minutes
	// AlarmsPerDay is how many false alarms a day are accepted; default [AlarmsPerDay].
	AlarmsPerDay float64
}

// withDefaults returns c with every zero replaced.
func (c DeciderConfig) withDefaults() DeciderConfig {
	setDefault(&c.Window, 5)
	setDefault(&c.Alarm, 3)
	setDefault(&c.Suspect, min(2, c.Alarm))
	setDefault(&c.Quiet, 60)
	setDefault(&c.AlarmsPerDay, AlarmsPerDay)
	return c
}

// Validate says whether the numbers, defaults filled in, make sense together.
func (c DeciderConfig) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Window < 1 || c.Window > 64:
		return fmt.Errorf("decider: window of %d units, want 1 to 64", c.Window)
	case c.Alarm < 1 || c.Alarm > c.Window:
		return fmt.Errorf("decider: alarm at %d of %d units", c.Alarm, c.Window)
	case c.Suspect < 1 || c.Suspect > c.Alarm:
		return fmt.Errorf("decider: suspect at %d units, alarm at %d", c.Suspect, c.Alarm)
	case c.Quiet < 1:
		return fmt.Errorf("decider: quiet after %d units", c.Quiet)
	case !(c.AlarmsPerDay >= leastAlarms && c.AlarmsPerDay <= mostAlarms):
		return fmt.Errorf("decider: %v false alarms a day, want %v to %v", c.AlarmsPerDay, leastAlarms, mostAlarms)
	}
	return nil
}

// The bounds of DeciderConfig.AlarmsPerDay: one in ten years, and one every five minutes.
const (
	leastAlarms = 1.0 / 3650
	mostAlarms  = 288
)

// Decider turns unit verdicts, in the order of time, into a state with
// hysteresis (the paper's 5.1): one odd unit is no alarm, and an alarm does not
// end with one ordinary unit, but stands until the guest has been quiet for a while, so that an attack that
// pauses is one incident. It is not safe for concurrent use.
//
// Two things make an alarm. One is many anomalous units among the last few. The
// other is evidence that gathers: what is weak but lasts, such as one anomalous
// unit in five for minutes, never fills a short window. Each unit is a bet
// against the guest's being normal. An ordinary one leaves three quarters of the
// evidence, an anomalous one multiplies it by the cube root of what makes an alarm
// (so that it takes three). A normal guest's units lose such bets on the whole if at most so many are anomalous
// (0.7 % for one alarm a day), so that the sum of all
// of them (an e-detector of Shiryaev and Roberts' form: Shin, Ramdas, Rinaldo, New
// England Journal of Statistics in Data Science 2, 2024) takes as many units on average as lie
// between two accepted false alarms to reach their number. That is what makes an alarm.
type Decider struct {
	config   DeciderConfig
	state    State
	recent   uint64  // the last units, the latest in bit 0; 1: anomalous
	quiet    int     // quiet units in a row
	evidence float64 // against the guest's being normal
}

// usualFactor is that by which an ordinary unit changes the evidence.
const usualFactor = 0.75

// enough is the evidence that makes an alarm: the units between two accepted false ones, of which windows of units may raise their
// share ([Sequence]).
func (c DeciderConfig) enough() float64 { return perDay / (c.AlarmsPerDay * (1 - windowShare)) }

// lasting is the evidence that makes a guest suspect, and below which a state ends.
func (c DeciderConfig) lasting() float64 { return math.Sqrt(c.enough()) }

// NewDecider returns a decider in state Normal, or the error of
// [DeciderConfig.Validate].
func NewDecider(c DeciderConfig) (*Decider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Decider{config: c.withDefaults()}, nil
}

// State returns the present state.
func (d *Decider) State() State { return d.state }

// Reset forgets all units, as for a guest that was started anew.
func (d *Decider) Reset() { *d = Decider{config: d.config} }

// Observe takes the next unit's verdict and returns the state after it. Counts
// of a lossy unit are lower bounds: it may be anomalous, but its not being so
// says nothing, so that it is passed over as if it had not been: it neither
// adds to the quiet nor pushes an anomalous unit out of the window.
func (d *Decider) Observe(anomalous, lossy bool) State {
	switch {
	case anomalous:
		d.recent = d.recent<<1 | 1
		d.quiet = 0
		d.evidence = min((d.evidence+1)*math.Cbrt(d.config.enough()), d.config.enough())
	case lossy:
		return d.state
	default:
		d.recent <<= 1
		d.quiet++
		d.evidence = (d.evidence + 1) * usualFactor
	}
	d.settle()
	return d.state
}

// Configure puts other numbers in force and keeps what is known: the units of the past are
// counted as the new numbers have it, and a state that is not Normal still lasts until the guest is
// quiet. The error is that of [DeciderConfig.Validate], and nothing has changed.
func (d *Decider) Configure(c DeciderConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	d.config = c.withDefaults()
	d.settle()
	return nil
}

// settle works out the state after a unit, or after a change of the numbers.
func (d *Decider) settle() {
	switch count := d.count(); {
	case d.state != Normal && d.quiet >= d.patience() && d.evidence < d.config.lasting():
		d.Reset()
	case count >= d.config.Alarm || d.evidence >= d.config.enough():
		d.state = Anomalous
	case d.state == Normal && (count >= d.config.Suspect || d.evidence >= d.config.lasting()):
		d.state = Suspect
	}
}

// patience is how many quiet units in a row end the state. Suspicion is over with the window.
func (d *Decider) patience() int {
	if d.state == Suspect {
		return min(d.config.Window, d.config.Quiet)
	}
	return d.config.Quiet
}

// count is the number of anomalous units in the window.
func (d *Decider) count() int {
	return bits.OnesCount64(d.recent & (^uint64(0) >> (64 - d.config.Window)))
}
