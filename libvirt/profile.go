package libvirt

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"time"

	golibvirt "libvirt.org/go/libvirt"
)

// ProfileURI is the namespace of the profile element.
const ProfileURI = "http://virtsentry.org/xmlns/profile/1"

// Bounds of a profile, in bytes. The element is part of the domain's definition, which libvirt writes and sends as a whole.
const (
	maxProfileFile       = 4 << 20
	maxProfileCompressed = 256 << 10
	maxProfileElement    = 512 << 10 // in base64, perhaps broken into lines
)

// ErrTooLarge says that a profile does not go into a domain's metadata, however often that is tried.
var ErrTooLarge = errors.New("too large for the domain's metadata")

// ProfileElement is what was learnt of a domain, so that it can go where the domain goes: the content of its profile element. Times are UTC.
type ProfileElement struct {
	Domain  string // UUID of the domain that it was learnt from
	Host    string // on which this was written; "": not known
	Format  int    // version of the file's format, from 1
	Trained time.Time
	Updated time.Time // when this was written
	Units   int       // that it was learnt from
	File    []byte    // the profile file
}

// profileXML is the element as it is written.
type profileXML struct {
	XMLName     xml.Name  `xml:"profile"`
	Domain      string    `xml:"domain,attr"`
	Format      int       `xml:"format,attr"`
	Trained     time.Time `xml:"trained,attr"`
	Units       int       `xml:"units,attr"`
	Updated     time.Time `xml:"updated,attr"`
	Host        string    `xml:"host,attr,omitempty"`
	Compression string    `xml:"compression,attr"`
	SHA256      string    `xml:"sha256,attr"`
	Text        string    `xml:",chardata"`
}

// SetProfile records a profile in the domain's live definition; the zero value removes what is there, as RemoveProfile does. Like SetState it
// waits for the domain's modify job. Errors: ErrNoDomain when the domain does not run, ErrTooLarge.
func (c *Connection) SetProfile(uuid string, p ProfileElement) error {
	if p.Domain == "" && len(p.File) == 0 {
		return c.RemoveProfile(uuid)
	}
	text, err := p.element()
	if err != nil {
		return fmt.Errorf("libvirt: domain %s: write profile element: %w", uuid, err)
	}
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, string(text), prefix, ProfileURI, golibvirt.DOMAIN_AFFECT_LIVE)
	})
	if err != nil {
		return elementError(uuid, "set profile", err)
	}
	return nil
}

// RemoveProfile takes the profile element out of the domain's live definition, so that a profile that is thrown away does not go where the domain
// goes. That there is none is no error. Errors: ErrNoDomain when the domain does not run.
func (c *Connection) RemoveProfile(uuid string) error {
	err := c.with(uuid, func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "", prefix, ProfileURI, golibvirt.DOMAIN_AFFECT_LIVE)
	})
	if err != nil && !isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
		return elementError(uuid, "remove profile", err)
	}
	return nil
}

// Profile reads the profile element of a running domain. Errors: ErrNoDomain when the domain does not run, ErrGarbled with what is wrong; nil, nil
// when it has none. The element is whole and its file has the checksum that it names; nothing else is known of the file.
func (c *Connection) Profile(uuid string) (*ProfileElement, error) {
	var text string
	err := c.with(uuid, func(d *golibvirt.Domain) (err error) {
		text, err = d.GetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, ProfileURI, golibvirt.DOMAIN_AFFECT_LIVE)
		return err
	})
	if isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
		return nil, nil
	}
	if err != nil {
		return nil, elementError(uuid, "read profile", err)
	}
	p, err := parseProfile(text)
	if err != nil {
		return nil, fmt.Errorf("libvirt: domain %s: read profile: %w", uuid, err)
	}
	return p, nil
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// check looks at what is the same in memory and in the element.
func (p ProfileElement) check() error {
	switch {
	case !uuidForm.MatchString(p.Domain):
		return fmt.Errorf("domain: %.60q is no UUID in lower case", p.Domain)
	case p.Format < 1 || p.Format > math.MaxUint32:
		return fmt.Errorf("format: %d is no version", p.Format)
	case p.Units < 0 || p.Units > math.MaxUint32:
		return fmt.Errorf("units: %d is no count", p.Units)
	case len(p.File) == 0:
		return errors.New("the profile file is empty")
	}
	return nil
}

func (p ProfileElement) element() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if len(p.File) > maxProfileFile {
		return nil, fmt.Errorf("profile file of %d bytes, more than %d: %w", len(p.File), maxProfileFile, ErrTooLarge)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(p.File); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if packed.Len() > maxProfileCompressed {
		return nil, fmt.Errorf("profile file of %d bytes, compressed %d, more than %d: %w", len(p.File), packed.Len(), maxProfileCompressed, ErrTooLarge)
	}
	sum := sha256.Sum256(p.File)
	return xml.Marshal(profileXML{
		Domain: p.Domain, Format: p.Format, Trained: stamp(p.Trained), Units: p.Units, Updated: stamp(p.Updated), Host: p.Host,
		Compression: "gzip", SHA256: hex.EncodeToString(sum[:]), Text: base64.StdEncoding.EncodeToString(packed.Bytes()),
	})
}

func parseProfile(text string) (*ProfileElement, error) {
	p, err := unpackProfile(text)
	if err != nil {
		return nil, &garbledError{"profile", err.Error()}
	}
	return p, nil
}

func unpackProfile(text string) (*ProfileElement, error) {
	if len(text) > maxProfileElement {
		return nil, fmt.Errorf("larger than %d bytes", maxProfileElement)
	}
	var x profileXML
	if err := xml.Unmarshal([]byte(text), &x); err != nil {
		return nil, err
	}
	packed, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(x.Text), ""))
	if err != nil {
		return nil, err
	}
	if len(packed) > maxProfileCompressed {
		return nil, fmt.Errorf("its content is larger than %d bytes", maxProfileCompressed)
	}
	file, err := uncompress(x.Compression, packed)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != x.SHA256 {
		return nil, fmt.Errorf("the profile file has the checksum %x, not %.64q", sum, x.SHA256)
	}
	p := &ProfileElement{
		Domain: x.Domain, Host: x.Host, Format: x.Format, Trained: x.Trained.UTC(), Updated: x.Updated.UTC(), Units: x.Units, File: file,
	}
	if p.Trained.IsZero() || p.Updated.IsZero() {
		return nil, errors.New("it does not say when it was learnt, or when it was written")
	}
	return p, p.check()
}

// uncompress reads no more than a profile may have, so that a small element cannot fill the memory.
func uncompress(compression string, packed []byte) ([]byte, error) {
	switch compression {
	case "none":
		return packed, nil
	case "gzip":
	default:
		return nil, fmt.Errorf("compression: %.60q is neither none nor gzip", compression)
	}
	r := bytes.NewReader(packed)
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	file, err := io.ReadAll(io.LimitReader(z, maxProfileFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(file) > maxProfileFile:
		return nil, fmt.Errorf("the profile file is larger than %d bytes", maxProfileFile)
	case r.Len() > 0:
		return nil, errors.New("something follows the compressed profile file")
	}
	return file, nil
}
