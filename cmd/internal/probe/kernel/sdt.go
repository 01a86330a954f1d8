package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// Sections of SDT probes, as <sys/sdt.h> makes them.
const (
	sdtSection = ".note.stapsdt"
	sdtBase    = ".stapsdt.base"
	sdtOwner   = "stapsdt"
	sdtType    = 3
	maxSDT     = 16 << 20 // bytes of notes; a QEMU with all its trace points has half a MiB
)

// sdtProbe is one place in an executable where a probe is.
type sdtProbe struct {
	provider, name string
	arguments      string // "8@%rdi -4@-20(%rbp)"
	location       uint64 // address of the instruction
	semaphore      uint64 // address of the counter of those that watch, 16 bits; 0: none
}

// readSDT returns the probes of an executable; none where it has no notes.
func readSDT(f *elf.File) ([]sdtProbe, error) {
	s := f.Section(sdtSection)
	if s == nil {
		return nil, nil
	}
	if f.Class != elf.ELFCLASS64 {
		return nil, fmt.Errorf("section %s: %s is not supported", sdtSection, f.Class)
	}
	data, err := sectionData(s, maxSDT)
	if err != nil {
		return nil, err
	}
	var base uint64
	if b := f.Section(sdtBase); b != nil {
		base = b.Addr
	}
	probes, err := parseSDT(data, f.ByteOrder, base)
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", sdtSection, err)
	}
	return probes, nil
}

// sectionData reads a section of at most limit bytes, which must be in the file as it is in memory.
func sectionData(s *elf.Section, limit uint64) ([]byte, error) {
	if s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_COMPRESSED != 0 || s.FileSize > limit {
		return nil, fmt.Errorf("section %s: %d bytes of type %s (%s): want %d at most, not compressed", s.Name, s.FileSize, s.Type, s.Flags, limit)
	}
	data, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", s.Name, err)
	}
	return data, nil
}

// parseSDT parses notes. Addresses are moved by as much as the section .stapsdt.base was since they were written (prelink); base is where it
// is, 0 where there is none. Format: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation.
func parseSDT(data []byte, order binary.ByteOrder, base uint64) ([]sdtProbe, error) {
	var probes []sdtProbe
	for len(data) > 0 {
		const header = 12
		if len(data) < header {
			return nil, errors.New("a note is cut off")
		}
		nameSize, descSize, kind := order.Uint32(data), order.Uint32(data[4:]), order.Uint32(data[8:])
		data = data[header:]
		name, rest, ok := cutAligned(data, nameSize)
		if !ok {
			return nil, errors.New("the owner of a note is longer than its section")
		}
		desc, rest, ok := cutAligned(rest, descSize)
		if !ok {
			return nil, errors.New("a note is longer than its section")
		}
		data = rest
		if kind != sdtType || string(bytes.TrimRight(name, "\x00")) != sdtOwner {
			continue
		}
		p, err := parseSDTProbe(desc, order, base)
		if err != nil {
			return nil, err
		}
		probes = append(probes, p)
	}
	return probes, nil
}

// parseSDTProbe parses what a note says: three addresses and three strings.
func parseSDTProbe(desc []byte, order binary.ByteOrder, base uint64) (sdtProbe, error) {
	const addresses = 3 * 8
	if len(desc) < addresses {
		return sdtProbe{}, errors.New("a note is too short for its addresses")
	}
	p := sdtProbe{location: order.Uint64(desc), semaphore: order.Uint64(desc[16:])}
	if then := order.Uint64(desc[8:]); base != 0 && then != 0 {
		p.location += base - then
		if p.semaphore != 0 {
			p.semaphore += base - then
		}
	}
	rest := desc[addresses:]
	for _, s := range []*string{&p.provider, &p.name, &p.arguments} {
		text, after, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return sdtProbe{}, errors.New("a string in a note has no end")
		}
		*s, rest = string(text), after
	}
	return p, nil
}

// cutAligned returns the first n bytes, and what comes after them from the next multiple of four on. The last one may lack its filling.
func cutAligned(data []byte, n uint32) (cut, rest []byte, ok bool) {
	if uint64(n) > uint64(len(data)) {
		return nil, nil, false
	}
	end := min((uint64(n)+3)&^3, uint64(len(data)))
	return data[:n], data[end:], true
}
