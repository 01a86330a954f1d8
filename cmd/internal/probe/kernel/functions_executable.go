package kernel

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	maxSymbols  = 64 << 20 // bytes of a table of symbols, or of their names; QEMU's have a quarter of a MiB each
	maxSegments = 256
)

// executable is the file that a process runs. Nothing in it is taken on trust.
type executable struct {
	file     *os.File
	elf      *elf.File
	segments []elf.ProgHeader // those that are loaded
}

// openExecutable opens a file for x86-64. The caller closes it.
func openExecutable(path string) (*executable, error) {
	what := "open executable " + path
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would have it wait
	if err != nil {
		return nil, explain(what, err)
	}
	x := &executable{file: file}
	if err := x.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", what, err), file.Close())
	}
	return x, nil
}

func (x *executable) read() error {
	info, err := x.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("it is no regular file: %s", info.Mode())
	}
	if x.elf, err = readELF(x.file); err != nil {
		return err
	}
	for _, p := range x.elf.Progs {
		if p.Type == elf.PT_LOAD && len(x.segments) < maxSegments {
			x.segments = append(x.segments, p.ProgHeader)
		}
	}
	return nil
}

// readELF reads the headers of a file for x86-64.
func readELF(r io.ReaderAt) (*elf.File, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("it is no ELF file: %w", err)
	}
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 {
		return nil, fmt.Errorf("it is for %s and %s, of which only %s and %s is supported: %w", f.Machine, f.Class, elf.EM_X86_64, elf.ELFCLASS64, ErrUnsupported)
	}
	return f, nil
}

// path is by which the kernel finds the very file that was read, as long as it is open.
func (x *executable) path() string { return fmt.Sprintf("/proc/self/fd/%d", x.file.Fd()) }

func (x *executable) close() error { return x.file.Close() }

// offset returns where in the file the byte of an address is, in a segment with the flag.
func (x *executable) offset(address uint64, flag elf.ProgFlag) (uint64, bool) {
	for _, s := range x.segments {
		if s.Flags&flag != 0 && address >= s.Vaddr && address-s.Vaddr < s.Filesz {
			return s.Off + (address - s.Vaddr), true
		}
	}
	return 0, false
}

// endbr64 is where an indirect branch may arrive (Intel CET). To step over it costs eight times as much as what usually comes after it.
const endbr64 = "\xf3\x0f\x1e\xfa"

// mark returns the length of the mark with which a function begins that is at the offset, 0 without.
func (x *executable) mark(offset uint64) uint64 {
	b := make([]byte, len(endbr64))
	if _, err := x.file.ReadAt(b, int64(offset)); err != nil || string(b) != endbr64 {
		return 0
	}
	return uint64(len(b))
}

// exported returns the addresses of the exported functions that are wanted.
func (x *executable) exported(wanted map[string]bool) (map[string]uint64, error) {
	for _, t := range []elf.SectionType{elf.SHT_DYNSYM, elf.SHT_GNU_VERSYM, elf.SHT_GNU_VERNEED, elf.SHT_GNU_VERDEF} {
		s := x.elf.SectionByType(t)
		if s == nil {
			continue
		}
		if s.FileSize > maxSymbols {
			return nil, fmt.Errorf("section %s has %d bytes, more than %d", s.Name, s.FileSize, maxSymbols)
		}
		if link := int(s.Link); link < len(x.elf.Sections) && x.elf.Sections[link].FileSize > maxSymbols {
			return nil, fmt.Errorf("section %s has %d bytes, more than %d", x.elf.Sections[link].Name, x.elf.Sections[link].FileSize, maxSymbols)
		}
	}
	symbols, err := x.elf.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return nil, fmt.Errorf("read exported symbols: %w", err)
	}
	found := make(map[string]uint64, len(wanted))
	for _, s := range symbols {
		if wanted[s.Name] && elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF {
			found[s.Name] = s.Value
		}
	}
	return found, nil
}
