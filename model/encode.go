package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The profile file is one header line and a JSON document, which may be read with
// any text tool:
//
//	virtsentry-profile VERSION sha256 HEX LENGTH
//	{...}
//
// LENGTH is the number of bytes after the header line, HEX their SHA-256. JSON
// numbers are written with as many digits as give the same float64 back.
const (
	magic = "virtsentry-profile"
	// FormatVersion is the version of the file format written and understood.
	FormatVersion = 5
	// MaxFileBytes is the size that no profile file may exceed.
	MaxFileBytes = 16 << 20
	maxHeader    = 160
)

// Encode returns p as the content of a profile file.
func (p *Profile) Encode() ([]byte, error) {
	body, err := json.Marshal(p) // without indentation, which would double it
	if err != nil {
		return nil, fmt.Errorf("encode profile: %w", err)
	}
	body = append(body, '\n')
	header := fmt.Sprintf("%s %d sha256 %s %d\n", magic, FormatVersion, digest(body), len(body))
	if len(header)+len(body) > MaxFileBytes {
		return nil, fmt.Errorf("encode profile: %w: %d bytes", ErrTooLarge, len(header)+len(body))
	}
	return append([]byte(header), body...), nil
}

// Decode reads a profile file from r and checks all of it, the machine's
// certificate included as far as that is possible without the training units.
// Unknown fields are refused. Errors wrap [ErrFormat], [ErrVersion],
// [ErrChecksum], [ErrTooLarge], [ErrInvalid] or r's own.
func Decode(r io.Reader) (*Profile, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxFileBytes)
	}
	body, err := verify(data)
	if err != nil {
		return nil, err
	}
	p := new(Profile)
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := decoder.Token(); err != io.EOF { //nolint:errorlint // Token returns io.EOF itself
		return nil, fmt.Errorf("%w: content after the end", ErrInvalid)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p, nil
}

// verify checks the header of a file and returns what it covers.
func verify(data []byte) ([]byte, error) {
	head := data[:min(len(data), maxHeader)]
	end := bytes.IndexByte(head, '\n')
	if end < 0 {
		return nil, fmt.Errorf("%w: no header", ErrFormat)
	}
	field := strings.Split(string(head[:end]), " ")
	if field[0] != magic || len(field) < 2 {
		return nil, fmt.Errorf("%w: header is not %q", ErrFormat, magic)
	}
	// The version first: another one may have another header.
	if field[1] != strconv.Itoa(FormatVersion) {
		return nil, fmt.Errorf("%w: have %.20q, understand %d", ErrVersion, field[1], FormatVersion)
	}
	if len(field) != 5 || field[2] != "sha256" {
		return nil, fmt.Errorf("%w: malformed header", ErrFormat)
	}
	body := data[end+1:]
	if field[4] != strconv.Itoa(len(body)) {
		return nil, fmt.Errorf("%w: have %d bytes, header says %.20q", ErrFormat, len(body), field[4])
	}
	if field[3] != digest(body) {
		return nil, ErrChecksum
	}
	return body, nil
}

// digest is the SHA-256 of body in hexadecimal digits.
func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
