package probe

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// status is what is of interest in the file in which libvirt keeps the state of a running domain, RUN-DIR/qemu/NAME.xml. It belongs to root, and
// holds the live definition.
type status struct {
	XMLName xml.Name `xml:"domstatus"`
	PID     int      `xml:"pid,attr"`
	Domain  struct {
		Name       string `xml:"name"`
		UUID       string `xml:"uuid"`
		Emulator   string `xml:"devices>emulator"`
		Interfaces []struct {
			Type   string `xml:"type,attr"`
			Target struct {
				Dev string `xml:"dev,attr"`
			} `xml:"target"`
		} `xml:"devices>interface"`
	} `xml:"domain"`
}

// mostDepth is how deep elements of a status file may lie in each other.
const mostDepth = 64

// parseStatus reads a status file.
func parseStatus(text []byte) (s status, err error) {
	if err := checkDepth(text); err != nil {
		return status{}, err
	}
	if err := xml.Unmarshal(text, &s); err != nil {
		return status{}, fmt.Errorf("no status of a domain: %w", err)
	}
	if s.Domain.Name == "" || s.Domain.UUID == "" || s.PID < 0 {
		return status{}, errors.New("no status of a domain: it lacks a name, a UUID or the process's id")
	}
	return s, nil
}

func checkDepth(text []byte) error {
	depth := 0
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no status of a domain: %w", err)
		}
		switch token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
		if depth > mostDepth {
			return fmt.Errorf("no status of a domain: elements lie more than %d deep in each other", mostDepth)
		}
	}
}

// taps names the devices that the interfaces have on the host.
func (s status) taps() (names []string) {
	for _, i := range s.Domain.Interfaces {
		if i.Target.Dev != "" {
			names = append(names, i.Target.Dev)
		}
	}
	return names
}
