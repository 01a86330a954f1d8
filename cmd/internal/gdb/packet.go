package gdb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// frame puts a packet around a text: $text#checksum.
func frame(text string) []byte {
	out := make([]byte, 0, len(text)+4)
	out = append(out, '$')
	sum := byte(0)
	add := func(c byte) { out, sum = append(out, c), sum+c }
	for i := range len(text) {
		switch c := text[i]; c {
		case '$', '#', '}', '*':
			add('}')
			add(c ^ 0x20)
		default:
			add(c)
		}
	}
	const digits = "0123456789abcdef"
	return append(out, '#', digits[sum>>4], digits[sum&15])
}

// errChecksum asks for the packet once more.
var errChecksum = errors.New("checksum is wrong")

// readPacket reads what is behind a $, up to the checksum, and undoes escapes and run lengths. Errors: errChecksum; ErrProtocol; those of reading.
func readPacket(r *bufio.Reader) (string, error) {
	var text []byte
	sum, raw := byte(0), 0
	for {
		c, err := r.ReadByte()
		if err != nil {
			return "", unexpected(err)
		}
		if c == '#' {
			break
		}
		if raw++; raw > maxPacket || len(text) > maxPacket {
			return "", fmt.Errorf("%w: a packet of more than %d bytes", ErrProtocol, maxPacket)
		}
		sum += c
		if c != '}' && c != '*' {
			text = append(text, c)
			continue
		}
		next, err := r.ReadByte()
		if err != nil {
			return "", unexpected(err)
		}
		sum += next
		if text, err = expand(text, c, next); err != nil {
			return "", err
		}
	}
	var end [2]byte
	if _, err := io.ReadFull(r, end[:]); err != nil {
		return "", unexpected(err)
	}
	high, low := nibble(end[0]), nibble(end[1])
	if high < 0 || low < 0 || byte(high<<4|low) != sum {
		return "", errChecksum
	}
	return string(text), nil
}

// expand undoes an escape, or repeats the last character.
func expand(text []byte, kind, c byte) ([]byte, error) {
	if kind == '}' {
		return append(text, c^0x20), nil
	}
	times := int(c) - 29
	if times < 3 || c > 126 || len(text) == 0 {
		return nil, fmt.Errorf("%w: a run length of %d", ErrProtocol, times)
	}
	for last := text[len(text)-1]; times > 0; times-- {
		text = append(text, last)
	}
	return text, nil
}

func nibble(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unexpected makes an error of the end of the stream, which has come within a packet.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
