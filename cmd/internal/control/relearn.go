package control

import (
	"context"
	"net/http"
	"time"
)

// RelearnRequest marks a span of a domain's units as normal.
type RelearnRequest struct {
	// The span, on the units' clock. Both zero: that of Incident.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Incident is the number of one of the domain's anomalies, or "last", or the id of one of its incidents that are kept.
	Incident string `json:"incident,omitempty"`
	// DryRun only shows what would come of it.
	DryRun bool `json:"dry_run,omitempty"`
	// AcceptLoss is by how much the share of an attack's units that are found may fall, 0 to 1, for the new profile to be put in force.
	AcceptLoss float64 `json:"accept_loss"`
}

// Relearnt is a profile that was learnt again, and what it does better and worse than the one before it.
type Relearnt struct {
	Profile ProfileInfo `json:"profile"` // the new one, whether it is in force or not
	DryRun  bool        `json:"dry_run"`
	Effect  Effect      `json:"effect"`
	// Lost are the attacks of which too much would not be found any more. Where there are any, the new profile was not put in force.
	Lost  []string `json:"lost,omitempty"`
	First First    `json:"first"`
}

// Effect is what two profiles, the one before and the one after, say of the same units.
type Effect struct {
	// Attacks are simulated: what they add at a weak rate is added to units that the old profile was learnt from.
	Attacks []AttackEffect `json:"attacks"`
	// Reference are units that the old profile was learnt from, Marked those of the span, and Remembered those outside of both
	// that the daemon still has.
	Reference  Verdicts `json:"reference"`
	Marked     Verdicts `json:"marked"`
	Remembered Verdicts `json:"remembered"`
}

// AttackEffect says which shares of an attack's units are found.
type AttackEffect struct {
	Name string `json:"name"`
	// Simulated is false where the domain's feature set does not show what the attack adds; then nothing is known of it.
	Simulated bool    `json:"simulated"`
	Before    float64 `json:"before"`
	After     float64 `json:"after"`
	// Marked is the share that is found of the attack beside what the marked units do, by the new profile; to the old one these are unusual
	// without it.
	Marked float64 `json:"marked"`
}

// Verdicts counts units that two profiles find anomalous.
type Verdicts struct {
	Units  int `json:"units"`
	Before int `json:"before"`
	After  int `json:"after"`
}

// First compares the units that a profile was learnt from with the first profile of its chain of relearnings, so that what a guest does
// cannot move away step by step without being seen.
type First struct {
	Created time.Time `json:"created"` // of the first profile
	Units   int       `json:"units"`   // compared: the profile's, or an even choice of them
	// Unusual is the share of them that are among the first profile's least usual tenth: 0.1 where nothing has moved.
	Unusual float64 `json:"unusual"`
	// Anomalous is the share that the first profile finds anomalous.
	Anomalous float64 `json:"anomalous"`
}

// Anomaly is a time in which a domain was anomalous.
type Anomaly struct {
	Number int       `json:"number"` // since the daemon attached to the domain, from 1
	Begin  time.Time `json:"begin"`  // of the first units that led to it, on the units' clock
	End    time.Time `json:"end"`    // of the last anomalous one, so far
	Open   bool      `json:"open"`
	Units  int       `json:"units"` // anomalous ones
	Text   string    `json:"text"`
	// Surroundings is what stood around the domain then; nil where only the time is told.
	Surroundings *Surroundings `json:"surroundings,omitempty"`
}

// Drift says how far what a domain does has moved away from what its profile was learnt on, which is the fixed reference.
type Drift struct {
	Drifted bool `json:"drifted"` // more than chance makes of it: there is an incident
	// Recent is over the last two hours, Overall over all time since the profile is in force.
	Recent  Shift `json:"recent"`
	Overall Shift `json:"overall"`
}

// Shift is how many of a span's units are unusual; units of an alarm do not count.
type Shift struct {
	Units int     `json:"units"`
	Share float64 `json:"share"` // of them that are among the reference's least usual tenth: 0.1 where nothing has moved
	Low   float64 `json:"low"`   // the true share is more than this, with 99.9 % confidence
}

// Relearn trains a domain's profile again with a span of its units marked as normal. Errors: ErrNoDomain, ErrNoProfile, ErrRefused.
func (c *Client) Relearn(ctx context.Context, ref string, request RelearnRequest) (Relearnt, error) {
	var r Relearnt
	return r, c.do(ctx, http.MethodPost, domainPath(ref)+"/relearn", request, &r)
}
