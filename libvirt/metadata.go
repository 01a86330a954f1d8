package libvirt

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"time"

	golibvirt "libvirt.org/go/libvirt"
)

// StateURI is the namespace of the state element.
const StateURI = "http://virtsentry.org/xmlns/state/1"

// prefix is the namespace prefix under which libvirt shows our elements in a domain's XML.
const prefix = "virtsentry"

// State is what the daemon says of a domain: the content of its state element. Times are UTC.
type State struct {
	XMLName     xml.Name     `xml:"state"`
	Value       string       `xml:"value,attr"` // normal, anomalous, learning, ...
	Since       time.Time    `xml:"since,attr"`
	Updated     time.Time    `xml:"updated,attr"`
	ValidUntil  time.Time    `xml:"valid-until,attr"` // nothing is known after it: whoever wrote this has not renewed it
	Host        string       `xml:"host,attr"`        // on which it was written: a migrated domain brings its element along
	BootID      string       `xml:"boot-id,attr"`     // of that host (random(4)): after a reboot, the element is of another life
	Coverage    string       `xml:"coverage,attr"`    // full, partial, none, unknown
	Unseen      *Unseen      `xml:"unseen,omitempty"`
	Reason      *Reason      `xml:"reason,omitempty"`
	Incidents   []Incident   `xml:"incident,omitempty"` // that are open
	Unit        *JudgedUnit  `xml:"unit,omitempty"`
	Explanation *Explanation `xml:"explanation,omitempty"`
}

// Unseen lists the devices that coverage lacks.
type Unseen struct {
	Devices []UnseenDevice `xml:"device"`
}

// UnseenDevice is a device of which the state says nothing.
type UnseenDevice struct {
	Kind string `xml:"kind,attr"`
	Name string `xml:"name,attr"`
	Why  string `xml:",chardata"`
}

// Explanation lists the features that carry the verdict, the most telling first.
type Explanation struct {
	Features []ExplainedFeature `xml:"feature"`
}

// Reason says why a domain is in a state that is not simply seen to be normal.
type Reason struct {
	Code string `xml:"code,attr"` // stable, for programs
	Text string `xml:",chardata"` // for people
}

// Incident is something open that an operator should look at.
type Incident struct {
	Kind  string    `xml:"kind,attr"` // anomaly, drift, loss, trace, reboots, identity, policy
	Since time.Time `xml:"since,attr"`
	Text  string    `xml:",chardata"`
}

// JudgedUnit is the unit whose verdict led to the state.
type JudgedUnit struct {
	Start  time.Time `xml:"start,attr"`
	Score  float64   `xml:"score,attr"`   // decision value of the one-class SVM: below 0 is outside
	PValue float64   `xml:"p-value,attr"` // share of held-out normal units that scored no better
	Lost   uint64    `xml:"lost,attr"`    // events that may be missing from the unit
}

// ExplainedFeature is one feature that carries a verdict, in counts of the time looked at.
type ExplainedFeature struct {
	Name      string  `xml:"name,attr"`
	Subsystem string  `xml:"subsystem,attr"`
	Seconds   float64 `xml:"seconds,attr,omitempty"` // looked at: the unit, or several in a row, of which it is the last
	Observed  float64 `xml:"observed,attr"`
	UsualLow  float64 `xml:"usual-low,attr"`
	UsualHigh float64 `xml:"usual-high,attr"`
	Text      string  `xml:",chardata"`
}

// SetState records the state in the domain's live definition, which raises METADATA_CHANGE at every client
// (virDomainSetMetadata). It waits for the domain's modify job, so it can take as long as a migration. Errors: ErrNoDomain when the domain
// does not run.
func (c *Connection) SetState(uuid string, s State) error {
	text, err := s.element()
	if err != nil {
		return fmt.Errorf("libvirt: domain %s: write state element: %w", uuid, err)
	}
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, string(text), prefix, StateURI, golibvirt.DOMAIN_AFFECT_LIVE)
	})
	switch {
	case isCode(err, golibvirt.ERR_NO_DOMAIN), isCode(err, golibvirt.ERR_OPERATION_INVALID):
		return fmt.Errorf("libvirt: domain %s: set state: %w (%w)", uuid, ErrNoDomain, err)
	case err != nil:
		return fmt.Errorf("libvirt: domain %s: set state: %w", uuid, err)
	}
	return nil
}

// ErrGarbled says that an element of a domain is none that this program writes or reads.
var ErrGarbled = errors.New("not an element of virtsentry")

// State reads the state element of a running domain. Errors: ErrNoDomain when the domain does not run, ErrGarbled; nil, nil when it has none.
func (c *Connection) State(uuid string) (*State, error) {
	var text string
	err := c.with(uuid, func(d *golibvirt.Domain) (err error) {
		text, err = d.GetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, StateURI, golibvirt.DOMAIN_AFFECT_LIVE)
		return err
	})
	switch {
	case isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA):
		return nil, nil
	case isCode(err, golibvirt.ERR_NO_DOMAIN), isCode(err, golibvirt.ERR_OPERATION_INVALID):
		return nil, fmt.Errorf("libvirt: domain %s: read state: %w (%w)", uuid, ErrNoDomain, err)
	case err != nil:
		return nil, fmt.Errorf("libvirt: domain %s: read state: %w", uuid, err)
	}
	s, err := parseState([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("libvirt: domain %s: read state: %w", uuid, err)
	}
	return s, nil
}

// Same says whether both are the same writing of a state.
func (s State) Same(o State) bool {
	a, errA := s.element()
	b, errB := o.element()
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// element is the state as it is written.
func (s State) element() ([]byte, error) {
	s.XMLName = xml.Name{Local: "state"}
	s.Since, s.Updated, s.ValidUntil = stamp(s.Since), stamp(s.Updated), stamp(s.ValidUntil)
	s.Incidents = slices.Clone(s.Incidents)
	for i := range s.Incidents {
		s.Incidents[i].Since = stamp(s.Incidents[i].Since)
	}
	if s.Unit != nil {
		unit := *s.Unit
		unit.Start = stamp(unit.Start)
		s.Unit = &unit
	}
	return xml.Marshal(s)
}

func parseState(text []byte) (*State, error) {
	var s State
	if err := xml.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGarbled, err)
	}
	if s.Value == "" {
		return nil, fmt.Errorf("%w: no value", ErrGarbled)
	}
	return &s, nil
}

// stamp cuts a time to what is worth recording.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
