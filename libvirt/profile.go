package libvirt

import (
	"bytes"
	"crypto/hmac"
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

	"github.com/andybalholm/brotli"
	golibvirt "libvirt.org/go/libvirt"
)

// ProfileURI is the namespace of the profile element.
const ProfileURI = "http://virtsentry.org/xmlns/profile/1"

// Bounds of a profile, in bytes. The element is part of the domain's definition, which libvirt writes and sends as a whole, so that one that is written
// takes 64 KiB at most.
const (
	maxProfileFile    = 4 << 20
	maxProfileContent = 47 << 10 // in base64 four thirds of it
	maxProfileElement = 96 << 10 // perhaps broken into lines by others
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
	// Content is File as PackProfile makes it; nil: it is made when it is needed.
	Content []byte
	// Signature is what Sign has made, or what was read; nil: there is none.
	Signature []byte
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
	Signature   string    `xml:"signature,attr,omitempty"`
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
// goes; and out of its persistent definition, where a migration may have put it, so that it does not come back when the domain starts. That there is
// none is no error. Errors: ErrNoDomain when the domain does not run.
func (c *Connection) RemoveProfile(uuid string) error {
	err := c.with(uuid, func(d *golibvirt.Domain) error {
		err := d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "", prefix, ProfileURI, golibvirt.DOMAIN_AFFECT_LIVE)
		if err != nil && !isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
			return err
		}
		definition, err := lasting(d)
		if err != nil || definition == golibvirt.DOMAIN_AFFECT_LIVE {
			return err
		}
		if _, err = d.GetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, ProfileURI, definition); err != nil {
			return err
		}
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "", prefix, ProfileURI, definition)
	})
	if err != nil && !isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
		return elementError(uuid, "remove profile", err)
	}
	return nil
}

// Digest is the same for the same writing of a profile, and for no other. That of the zero value stands for no element.
func (p ProfileElement) Digest() [sha256.Size]byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q %d %d %d %d ", p.Domain, p.Host, p.Format, p.Units, stamp(p.Trained).UnixMilli(), stamp(p.Updated).UnixMilli())
	_, _ = h.Write(p.File)
	_, _ = h.Write(p.Signature)
	return [sha256.Size]byte(h.Sum(nil))
}

// Sign signs the element with a key that other hosts have, too: an HMAC-SHA256 (RFC 2104) of all that the element says.
func (p *ProfileElement) Sign(key []byte) { p.Signature = p.mac(key) }

// Signed says whether one of the keys has signed the element.
func (p *ProfileElement) Signed(keys [][]byte) bool {
	for _, key := range keys {
		if hmac.Equal(p.Signature, p.mac(key)) {
			return true
		}
	}
	return false
}

func (p *ProfileElement) mac(key []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(h, "%s\n%q\n%q\n%d\n%d\n%d\n%d\n%x", ProfileURI, p.Domain, p.Host, p.Format, p.Units,
		stamp(p.Trained).UnixMilli(), stamp(p.Updated).UnixMilli(), sha256.Sum256(p.File))
	return h.Sum(nil)
}

// PackProfile compresses a profile file (brotli, RFC 7932). Errors: ErrTooLarge when it cannot be the content of an element.
func PackProfile(file []byte) ([]byte, error) {
	if len(file) > maxProfileFile {
		return nil, fmt.Errorf("profile file of %d bytes, more than %d: %w", len(file), maxProfileFile, ErrTooLarge)
	}
	var packed bytes.Buffer
	for _, level := range []int{brotli.DefaultCompression, brotli.BestCompression} { // the best takes seconds, and a fifth less room
		if packed.Len() > maxProfileContent*3/2 {
			break
		}
		packed.Reset()
		w := brotli.NewWriterLevel(&packed, level)
		if _, err := w.Write(file); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		if packed.Len() <= maxProfileContent {
			return packed.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("profile file of %d bytes, compressed %d, more than %d: %w", len(file), packed.Len(), maxProfileContent, ErrTooLarge)
}

// UnpackProfile is the reverse of PackProfile. It takes no more memory than a profile file may have, so that a small element cannot fill it.
func UnpackProfile(content []byte) ([]byte, error) {
	if len(content) > maxProfileContent {
		return nil, fmt.Errorf("the compressed profile file is larger than %d bytes", maxProfileContent)
	}
	r := bytes.NewReader(content)
	file, err := io.ReadAll(io.LimitReader(brotli.NewReader(r), maxProfileFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("uncompress the profile file: %w", err)
	case len(file) > maxProfileFile:
		return nil, fmt.Errorf("the profile file is larger than %d bytes", maxProfileFile)
	}
	return file, nil
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
	content := p.Content
	if content == nil {
		var err error
		if content, err = PackProfile(p.File); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(p.File)
	return xml.Marshal(profileXML{
		Domain: p.Domain, Format: p.Format, Trained: stamp(p.Trained), Units: p.Units, Updated: stamp(p.Updated), Host: p.Host,
		Compression: compression, SHA256: hex.EncodeToString(sum[:]), Signature: hex.EncodeToString(p.Signature),
		Text: base64.StdEncoding.EncodeToString(content),
	})
}

// compression is the name of brotli, as in HTTP's Content-Encoding.
const compression = "br"

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
	if x.Compression != compression {
		return nil, fmt.Errorf("compression: %.60q is not %s", x.Compression, compression)
	}
	content, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(x.Text), ""))
	if err != nil {
		return nil, err
	}
	file, err := UnpackProfile(content)
	if err != nil {
		return nil, err
	}
	signature, err := hex.DecodeString(x.Signature)
	if err != nil || len(signature) > sha256.Size {
		return nil, fmt.Errorf("signature: %.80q is no SHA-256 in hexadecimal digits", x.Signature)
	}
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != x.SHA256 {
		return nil, fmt.Errorf("the profile file has the checksum %x, not %.64q", sum, x.SHA256)
	}
	p := &ProfileElement{
		Domain: x.Domain, Host: x.Host, Format: x.Format, Trained: x.Trained.UTC(), Updated: x.Updated.UTC(), Units: x.Units, File: file,
	}
	if len(signature) > 0 {
		p.Signature = signature
	}
	if p.Trained.IsZero() || p.Updated.IsZero() {
		return nil, errors.New("it does not say when it was learnt, or when it was written")
	}
	return p, p.check()
}
