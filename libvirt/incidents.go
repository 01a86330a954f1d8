package libvirt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"time"

	golibvirt "libvirt.org/go/libvirt"
)

// IncidentsURI is the namespace of the incidents element.
const IncidentsURI = "http://virtsentry.org/xmlns/incidents/1"

// MaxIncidents bounds the records of an incidents element, in bytes.
const MaxIncidents = 16 << 10

// IncidentsElement is what happened to a domain so far, so that it can go where the domain goes: the content of its incidents element. Times are UTC.
type IncidentsElement struct {
	Domain  string // UUID
	Host    string // on which this was written; "": not known
	Updated time.Time
	Records []byte // JSON, which is for virtsentry alone
	// Signature is what Sign has made, or what was read; nil: there is none.
	Signature []byte
}

type incidentsXML struct {
	XMLName   xml.Name  `xml:"incidents"`
	Domain    string    `xml:"domain,attr"`
	Host      string    `xml:"host,attr,omitempty"`
	Updated   time.Time `xml:"updated,attr"`
	Signature string    `xml:"signature,attr,omitempty"`
	Text      string    `xml:",chardata"`
}

// Sign signs the element with a key that other hosts have, too: an HMAC-SHA256 (RFC 2104) of all that the element says.
func (e *IncidentsElement) Sign(key []byte) { e.Signature = e.mac(key) }

// Signed says whether one of the keys has signed the element.
func (e *IncidentsElement) Signed(keys [][]byte) bool {
	for _, key := range keys {
		if hmac.Equal(e.Signature, e.mac(key)) {
			return true
		}
	}
	return false
}

func (e *IncidentsElement) mac(key []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(h, "%s\n%q\n%q\n%d\n%x", IncidentsURI, e.Domain, e.Host, stamp(e.Updated).UnixMilli(), sha256.Sum256(e.Records))
	return h.Sum(nil)
}

// SetIncidents records incidents in the domain's live definition. Like SetState it waits for the domain's modify job. Errors: ErrNoDomain when the domain
// does not run, ErrTooLarge.
func (c *Connection) SetIncidents(uuid string, e IncidentsElement) error {
	if len(e.Records) > MaxIncidents {
		return fmt.Errorf("libvirt: domain %s: set incidents: %d bytes, more than %d: %w", uuid, len(e.Records), MaxIncidents, ErrTooLarge)
	}
	text, err := e.element()
	if err != nil {
		return fmt.Errorf("libvirt: domain %s: write incidents element: %w", uuid, err)
	}
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, string(text), prefix, IncidentsURI, golibvirt.DOMAIN_AFFECT_LIVE)
	})
	if err != nil {
		return elementError(uuid, "set incidents", err)
	}
	return nil
}

// Incidents reads the incidents element of a running domain. Errors: ErrNoDomain when the domain does not run, ErrGarbled with what is wrong; nil, nil
// when it has none. Nothing is known of the records.
func (c *Connection) Incidents(uuid string) (*IncidentsElement, error) {
	var text string
	err := c.with(uuid, func(d *golibvirt.Domain) (err error) {
		text, err = d.GetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, IncidentsURI, golibvirt.DOMAIN_AFFECT_LIVE)
		return err
	})
	if isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
		return nil, nil
	}
	if err != nil {
		return nil, elementError(uuid, "read incidents", err)
	}
	e, err := parseIncidents(text)
	if err != nil {
		return nil, fmt.Errorf("libvirt: domain %s: read incidents: %w", uuid, err)
	}
	return e, nil
}

func (e IncidentsElement) element() ([]byte, error) {
	if !uuidForm.MatchString(e.Domain) {
		return nil, fmt.Errorf("domain: %.60q is no UUID in lower case", e.Domain)
	}
	return xml.Marshal(incidentsXML{
		Domain: e.Domain, Host: e.Host, Updated: stamp(e.Updated), Signature: hex.EncodeToString(e.Signature), Text: string(e.Records),
	})
}

func parseIncidents(text string) (*IncidentsElement, error) {
	e, err := readIncidents(text)
	if err != nil {
		return nil, &garbledError{"incidents", err.Error()}
	}
	return e, nil
}

func readIncidents(text string) (*IncidentsElement, error) {
	if most := 4 * MaxIncidents; len(text) > most { // as XML has them escaped
		return nil, fmt.Errorf("larger than %d bytes", most)
	}
	var x incidentsXML
	if err := xml.Unmarshal([]byte(text), &x); err != nil {
		return nil, err
	}
	signature, err := hex.DecodeString(x.Signature)
	switch {
	case err != nil || len(signature) > sha256.Size:
		return nil, fmt.Errorf("signature: %.80q is no SHA-256 in hexadecimal digits", x.Signature)
	case !uuidForm.MatchString(x.Domain):
		return nil, fmt.Errorf("domain: %.60q is no UUID in lower case", x.Domain)
	case x.Updated.IsZero():
		return nil, errors.New("it does not say when it was written")
	case len(x.Text) > MaxIncidents:
		return nil, fmt.Errorf("its records take more than %d bytes", MaxIncidents)
	}
	e := &IncidentsElement{Domain: x.Domain, Host: x.Host, Updated: x.Updated.UTC(), Records: []byte(x.Text)}
	if len(signature) > 0 {
		e.Signature = signature
	}
	return e, nil
}
