package unit

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// The first columns of a unit file.
var fixedColumns = []string{"start_ns", "duration_ns", "lost"}

// maxLine bounds a line of a unit file that is read: 50,000 columns of 20 digits.
const maxLine = 1 << 20

// ErrFeatureName says that a feature cannot stand in a unit file's header.
var ErrFeatureName = errors.New("feature name is empty or has a comma, a quote or a control character")

// File is the content of a unit file.
type File struct {
	Features []string
	Units    []Unit // Counts has an element for each feature
}

// ParseError is a defect in a unit file.
type ParseError struct {
	Line   int // from 1 on; the header is line 1
	Column int // from 1 on; 0 where the whole line is meant
	Msg    string
}

// Error names place and defect.
func (e *ParseError) Error() string {
	if e.Column == 0 {
		return fmt.Sprintf("unit file: line %d: %s", e.Line, e.Msg)
	}
	return fmt.Sprintf("unit file: line %d, column %d: %s", e.Line, e.Column, e.Msg)
}

func goodName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == ',' || r == '"' })
}

// Write writes a unit file: a header line with start_ns, duration_ns, lost and the
// features' names, then a line of integers for each unit. A unit with fewer counts
// than features has zeros for the rest.
func Write(w io.Writer, f File) error {
	b := bufio.NewWriterSize(w, 64<<10)
	line := make([]byte, 0, 1024)
	line = append(line, strings.Join(fixedColumns, ",")...)
	for _, name := range f.Features {
		if !goodName(name) {
			return fmt.Errorf("write unit file: %.80q: %w", name, ErrFeatureName)
		}
		line = append(append(line, ','), name...)
	}
	if _, err := b.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write unit file: %w", err)
	}
	for _, u := range f.Units {
		if len(u.Counts) > len(f.Features) {
			return fmt.Errorf("write unit file: unit at %d has %d counts for %d features", u.Start, len(u.Counts), len(f.Features))
		}
		line = appendUnit(line[:0], u, len(f.Features))
		if _, err := b.Write(line); err != nil {
			return fmt.Errorf("write unit file: %w", err)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write unit file: %w", err)
	}
	return nil
}

// appendUnit appends a unit's line with n counts.
func appendUnit(line []byte, u Unit, n int) []byte {
	line = strconv.AppendInt(line, u.Start, 10)
	line = strconv.AppendInt(append(line, ','), u.Duration, 10)
	line = strconv.AppendUint(append(line, ','), u.Lost, 10)
	for i := range n {
		v := uint64(0)
		if i < len(u.Counts) {
			v = u.Counts[i]
		}
		line = strconv.AppendUint(append(line, ','), v, 10)
	}
	return append(line, '\n')
}

// Read reads a unit file strictly: the columns in order and each once, every value a
// plain decimal integer, units in order without overlap, none longer than Width or
// across the grid. Errors in the content are of type *ParseError.
func Read(r io.Reader) (File, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 64<<10), maxLine)
	var f File
	line := 0
	for sc.Scan() {
		line++
		var err error
		if line == 1 {
			f.Features, err = parseHeader(sc.Text())
		} else {
			err = f.parseUnit(sc.Text(), line)
		}
		if err != nil {
			return File{}, err
		}
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return File{}, &ParseError{Line: line + 1, Msg: fmt.Sprintf("longer than %d bytes", maxLine)}
		}
		return File{}, fmt.Errorf("read unit file: %w", err)
	}
	if line == 0 {
		return File{}, &ParseError{Line: 1, Msg: "empty, not even a header"}
	}
	return f, nil
}

// suffixGzip is that of the name of a compressed unit file.
const suffixGzip = ".gz"

// maxFileBytes bounds a unit file, compressed or not: a day of the widest set is not a tenth of it.
const maxFileBytes = 1 << 30

// ReadFile reads the unit file of a name, decompressed where the name ends in .gz. Errors name it; those in the content wrap a
// *ParseError.
func ReadFile(name string) (File, error) {
	file, err := os.Open(name)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = file.Close() }()
	f, err := readFile(file, strings.HasSuffix(name, suffixGzip))
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func readFile(r io.Reader, compressed bool) (File, error) {
	if compressed {
		z, err := gzip.NewReader(r)
		if err != nil {
			return File{}, fmt.Errorf("read unit file: %w", err)
		}
		r = z
	}
	limited := &io.LimitedReader{R: r, N: maxFileBytes}
	f, err := Read(limited)
	if limited.N <= 0 {
		return File{}, fmt.Errorf("read unit file: more than %d bytes", maxFileBytes)
	}
	return f, err
}

func parseHeader(line string) ([]string, error) {
	names := strings.Split(line, ",")
	for i, want := range fixedColumns {
		if i >= len(names) || names[i] != want {
			return nil, &ParseError{Line: 1, Column: i + 1, Msg: fmt.Sprintf("the header needs %q here", want)}
		}
	}
	names = names[len(fixedColumns):]
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		column := i + 1 + len(fixedColumns)
		if !goodName(name) {
			return nil, &ParseError{Line: 1, Column: column, Msg: ErrFeatureName.Error()}
		}
		if seen[name] {
			return nil, &ParseError{Line: 1, Column: column, Msg: fmt.Sprintf("feature %.80q a second time", name)}
		}
		seen[name] = true
	}
	return names, nil
}

func (f *File) parseUnit(line string, n int) error {
	fields := strings.Split(line, ",")
	if want := len(fixedColumns) + len(f.Features); len(fields) != want {
		return &ParseError{Line: n, Msg: fmt.Sprintf("%d columns where the header has %d", len(fields), want)}
	}
	u := Unit{Counts: make([]uint64, len(f.Features))}
	var err error
	if u.Start, err = strconv.ParseInt(fields[0], 10, 64); err != nil || !plain(fields[0]) {
		return &ParseError{Line: n, Column: 1, Msg: "start_ns is no integer of 64 bits"}
	}
	if u.Duration, err = strconv.ParseInt(fields[1], 10, 64); err != nil || !plain(fields[1]) {
		return &ParseError{Line: n, Column: 2, Msg: "duration_ns is no integer of 64 bits"}
	}
	for i, s := range fields[2:] {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil || !plain(s) {
			return &ParseError{Line: n, Column: i + 3, Msg: "no unsigned integer of 64 bits"}
		}
		if i == 0 {
			u.Lost = v
		} else {
			u.Counts[i-1] = v
		}
	}
	return f.addUnit(u, n)
}

// plain tells whether an integer that strconv accepts is written as this package does.
func plain(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits[0] != '+' && (digits[0] != '0' || s == "0")
}

func (f *File) addUnit(u Unit, line int) error {
	switch {
	case u.Duration < 0 || u.Duration > width:
		return &ParseError{Line: line, Column: 2, Msg: fmt.Sprintf("duration_ns is not within 0 to %d", width)}
	case u.Start > math.MaxInt64-u.Duration:
		return &ParseError{Line: line, Column: 1, Msg: "the unit ends after the last representable time"}
	case u.Duration > 0 && slot(u.Start) != slot(u.Start+u.Duration-1):
		return &ParseError{Line: line, Column: 1, Msg: fmt.Sprintf("the unit is not on the grid of %d ns", width)}
	}
	if n := len(f.Units) - 1; n >= 0 && u.Start < f.Units[n].Start+f.Units[n].Duration {
		return &ParseError{Line: line, Column: 1, Msg: "the unit starts before the one above ends"}
	}
	f.Units = append(f.Units, u)
	return nil
}
