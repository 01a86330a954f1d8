package libvirt

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	golibvirt "libvirt.org/go/libvirt"
)

// PolicyURI is the namespace of the policy element.
const PolicyURI = "http://virtsentry.org/xmlns/policy/1"

// maxPolicy bounds a policy element, in bytes.
const maxPolicy = 16 << 10

// Policy is what the operator wants for one domain: the content of its policy element. Nil: the element says nothing of it.
// packaging/schemas/policy-1.rng says what each means, and its range.
type Policy struct {
	Watch             *bool
	FalseAlarmsPerDay *float64
	OverheadPercent   *float64
	GuestSyscalls     *bool // whether its system calls may be looked at by introspection

	// Learning.
	Units    *int           // of two seconds
	Starting *time.Duration // not negative

	// Judging.
	Nu, Gamma, Level          *float64
	Window, Alarm, QuietUnits *int // units of two seconds
}

// Policy reads the policy element of a domain: that of the persistent definition, or of the live one for a transient domain. Errors: ErrNoDomain;
// ErrGarbled, with what is wrong, for an element that says anything else than the schema allows; nil, nil when there is none.
func (c *Connection) Policy(uuid string) (*Policy, error) {
	text, err := c.PolicyElement(uuid)
	if err != nil || text == "" {
		return nil, err
	}
	p, err := ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("libvirt: domain %s: read policy: %w", uuid, err)
	}
	return p, nil
}

// PolicyElement reads the policy element that Policy does, as it stands; empty when there is none. Errors: ErrNoDomain.
func (c *Connection) PolicyElement(uuid string) (text string, err error) {
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		definition, err := lasting(d)
		if err != nil {
			return err
		}
		text, err = d.GetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, PolicyURI, definition)
		return err
	})
	if isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
		return "", nil
	}
	if err != nil {
		return "", elementError(uuid, "read policy", err)
	}
	return text, nil
}

// RestorePolicy writes a policy element, as PolicyElement has given it out, where Policy looks for one, unless there is one. Like SetState it waits for the
// domain's modify job. Errors: ErrNoDomain.
func (c *Connection) RestorePolicy(uuid, text string) error {
	err := c.with(uuid, func(d *golibvirt.Domain) error {
		definition, err := lasting(d)
		if err != nil {
			return err
		}
		_, err = d.GetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, PolicyURI, definition)
		if !isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
			return err
		}
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, text, prefix, PolicyURI, definition)
	})
	if err != nil {
		return elementError(uuid, "restore policy", err)
	}
	return nil
}

// elementError is the error of an operation on an element of a domain that is perhaps not there.
func elementError(uuid, operation string, err error) error {
	if isCode(err, golibvirt.ERR_NO_DOMAIN) || isCode(err, golibvirt.ERR_OPERATION_INVALID) {
		return fmt.Errorf("libvirt: domain %s: %s: %w (%w)", uuid, operation, ErrNoDomain, err)
	}
	return fmt.Errorf("libvirt: domain %s: %s: %w", uuid, operation, err)
}

// garbledError is an ErrGarbled that says of which element, and why.
type garbledError struct{ element, why string }

func (e *garbledError) Error() string { return e.element + " element: " + e.why }

// Is says that it is an ErrGarbled, for errors.Is.
func (e *garbledError) Is(target error) bool { return target == ErrGarbled }

// ParsePolicy reads an element strictly: what is not known may be a mistake in writing what is, and is not passed over. Errors: ErrGarbled.
func ParsePolicy(text string) (*Policy, error) {
	var p Policy
	if err := p.parse(text); err != nil {
		return nil, &garbledError{"policy", err.Error()}
	}
	return &p, nil
}

func (p *Policy) parse(text string) error {
	if len(text) > maxPolicy {
		return fmt.Errorf("larger than %d bytes", maxPolicy)
	}
	d := xml.NewDecoder(strings.NewReader(text))
	var open []string // elements
	seen := map[string]bool{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := strings.Join(append(open, token.Name.Local), "/")
			if space := token.Name.Space; seen[name] || space != "" && space != PolicyURI {
				return fmt.Errorf("element %.60q is not expected here", token.Name.Local)
			}
			seen[name] = true
			if err := p.element(name, token.Attr); err != nil {
				return err
			}
			open = append(open, token.Name.Local)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if s := trim(string(token)); s != "" {
				return fmt.Errorf("text %.60q is not expected here", s)
			}
		case xml.Directive:
			return errors.New("a document type is not allowed")
		}
	}
	if !seen["policy"] {
		return errors.New("there is no element")
	}
	return nil
}

// element takes the attributes of an element, which is named by its path.
func (p *Policy) element(path string, attributes []xml.Attr) error {
	var known map[string]func(string) error
	switch path {
	case "policy":
		known = map[string]func(string) error{
			"watch":                yesNo(&p.Watch),
			"false-alarms-per-day": number(&p.FalseAlarmsPerDay, 43200, true),
			"overhead-percent":     number(&p.OverheadPercent, 100, true),
			"guest-syscalls":       yesNo(&p.GuestSyscalls),
		}
	case "policy/learning":
		known = map[string]func(string) error{
			"units":    count(&p.Units, 30, 43200),
			"starting": duration(&p.Starting),
		}
	case "policy/judging":
		known = map[string]func(string) error{
			"nu":          number(&p.Nu, 1, false),
			"gamma":       number(&p.Gamma, 1e9, true),
			"level":       number(&p.Level, 1, false),
			"window":      count(&p.Window, 1, 64),
			"alarm":       count(&p.Alarm, 1, 64),
			"quiet-units": count(&p.QuietUnits, 1, 43200),
		}
	default:
		return fmt.Errorf("element %.60q is not known", path)
	}
	for _, a := range attributes {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		set := known[a.Name.Local]
		if set == nil || a.Name.Space != "" {
			return fmt.Errorf("%s: attribute %.60q is not known, or there twice", path, a.Name.Local)
		}
		delete(known, a.Name.Local)
		if err := set(trim(a.Value)); err != nil {
			return fmt.Errorf("%s: %s: %.60q %w", path, a.Name.Local, a.Value, err)
		}
	}
	return nil
}

// trim takes away what XML calls white space.
func trim(s string) string { return strings.Trim(s, " \t\r\n") }

func yesNo(to **bool) func(string) error {
	return func(s string) error {
		if s != "yes" && s != "no" {
			return errors.New("is neither yes nor no")
		}
		v := s == "yes"
		*to = &v
		return nil
	}
}

// The forms of numbers and durations that the schema has. Go reads more.
var (
	realForm     = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
	countForm    = regexp.MustCompile(`^[0-9]+$`)
	durationForm = regexp.MustCompile(`^(0|([0-9]+(\.[0-9]+)?(h|m|s))+)$`)
)

// number reads one above 0 and below high, or up to it.
func number(to **float64, high float64, included bool) func(string) error {
	return func(s string) error {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !realForm.MatchString(s) || !(v > 0) || v > high || v == high && !included {
			if included {
				return fmt.Errorf("is no number above 0 and up to %g", high)
			}
			return fmt.Errorf("is no number between 0 and %g", high)
		}
		*to = &v
		return nil
	}
}

func count(to **int, low, high int) func(string) error {
	return func(s string) error {
		v, err := strconv.Atoi(s)
		if err != nil || !countForm.MatchString(s) || v < low || v > high {
			return fmt.Errorf("is no whole number from %d to %d", low, high)
		}
		*to = &v
		return nil
	}
}

func duration(to **time.Duration) func(string) error {
	return func(s string) error {
		v, err := time.ParseDuration(s)
		if err != nil || !durationForm.MatchString(s) {
			return errors.New("is no duration such as 90s or 2m")
		}
		*to = &v
		return nil
	}
}
