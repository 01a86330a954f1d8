package gdb

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
)

// maxDescription bounds a file of the target description, bytes, and maxFiles how many there may be.
const (
	maxDescription = 128 << 10
	maxFiles       = 16
	maxRegisters   = 512
)

// Register is where a register is in the block that Registers reads, and its number.
type Register struct {
	Number int
	Offset int // bytes
	Size   int // bytes
}

// Target describes the registers of a guest's CPU, by their names.
type Target struct {
	Architecture string // "i386:x86-64"
	Registers    map[string]Register
}

// description is a file of the target description: the DTD of gdb-target.
type description struct {
	Architecture string      `xml:"architecture"`
	Includes     []include   `xml:"include"`
	Features     []feature   `xml:"feature"`
	Own          []regMember `xml:"reg"` // of a file that is one feature
}

type include struct {
	File string `xml:"href,attr"`
}

type feature struct {
	Registers []regMember `xml:"reg"`
}

type regMember struct {
	Name   string `xml:"name,attr"`
	Bits   int    `xml:"bitsize,attr"`
	Number *int   `xml:"regnum,attr"`
}

// Describe reads the target description. Errors: *Error of a stub that has none; ErrProtocol.
func (c *Conn) Describe() (Target, error) {
	t := Target{Registers: map[string]Register{}}
	top, err := c.file("target.xml")
	if err != nil {
		return t, err
	}
	d, err := parseDescription(top)
	if err != nil {
		return t, err
	}
	t.Architecture = strings.TrimSpace(d.Architecture)
	list := d.registers()
	if len(d.Includes) > maxFiles {
		return t, fmt.Errorf("%w: a target description of %d files", ErrProtocol, len(d.Includes))
	}
	for _, i := range d.Includes {
		text, err := c.file(i.File)
		if err != nil {
			return t, err
		}
		part, err := parseDescription(text)
		if err != nil {
			return t, err
		}
		list = append(list, part.registers()...)
	}
	return t, t.place(list)
}

func parseDescription(text string) (d description, err error) {
	if err := xml.Unmarshal([]byte(text), &d); err != nil {
		return d, fmt.Errorf("%w: target description: %w", ErrProtocol, err)
	}
	return d, nil
}

func (d description) registers() []regMember {
	list := d.Own
	for _, f := range d.Features {
		list = append(list, f.Registers...)
	}
	return list
}

// place finds out where registers are: one after the other, in the order of their numbers, which count on from the last one that is given.
func (t *Target) place(list []regMember) error {
	number, offset := 0, 0
	for _, r := range list {
		if r.Number != nil && *r.Number != number {
			if *r.Number < number {
				return fmt.Errorf("%w: target description: register %.20q has number %d after %d", ErrProtocol, r.Name, *r.Number, number)
			}
			return nil // what is behind a hole is not in the block in a place that is known
		}
		if r.Bits <= 0 || r.Bits%8 != 0 || r.Bits > 4096 || number >= maxRegisters {
			return fmt.Errorf("%w: target description: register %.20q of %d bits", ErrProtocol, r.Name, r.Bits)
		}
		if _, twice := t.Registers[r.Name]; twice {
			return fmt.Errorf("%w: target description: register %.20q is there twice", ErrProtocol, r.Name)
		}
		t.Registers[r.Name] = Register{Number: number, Offset: offset, Size: r.Bits / 8}
		number, offset = number+1, offset+r.Bits/8
	}
	return nil
}

var fileForm = regexp.MustCompile(`^[a-z0-9_.-]{1,64}$`)

// file reads a file of the target description.
func (c *Conn) file(name string) (string, error) {
	if !fileForm.MatchString(name) {
		return "", fmt.Errorf("%w: target description in a file %.40q", ErrProtocol, name)
	}
	var all strings.Builder
	for all.Len() < maxDescription {
		part, err := c.Command(fmt.Sprintf("qXfer:features:read:%s:%x,%x", name, all.Len(), c.most))
		if err != nil {
			return "", err
		}
		if part[0] != 'm' && part[0] != 'l' || part == "m" {
			return "", fmt.Errorf("%w: %.20q as a part of %s", ErrProtocol, part, name)
		}
		all.WriteString(part[1:])
		if part[0] == 'l' {
			return all.String(), nil
		}
	}
	return "", fmt.Errorf("%w: %s is longer than %d bytes", ErrProtocol, name, maxDescription)
}

// Value reads a register of up to 64 bits out of a block; false: it is not there.
func (t Target) Value(block []byte, name string) (v uint64, has bool) {
	r, known := t.Registers[name]
	if !known || r.Size > 8 || r.Offset+r.Size > len(block) {
		return 0, false
	}
	for i := r.Size - 1; i >= 0; i-- {
		v = v<<8 | uint64(block[r.Offset+i])
	}
	return v, true
}
