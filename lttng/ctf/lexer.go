package ctf

import (
	"fmt"
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEOF    tokenKind = iota
	tokIdent            // identifier or keyword: TSDL's keywords depend on the place
	tokInt              // integer literal, value in token.num
	tokString           // string literal, unescaped text in token.text
	tokPunct            // one of { } [ ] ( ) < > ; , . : = := ... - + *
)

type token struct {
	kind tokenKind
	text string // a part of the metadata text, except for strings with escapes
	num  uint64
	pos  int
}

// is tells whether the token is the punctuation or the identifier s.
func (t token) is(s string) bool {
	return (t.kind == tokPunct || t.kind == tokIdent) && t.text == s
}

func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "end of metadata"
	case tokString:
		return strconv.Quote(t.text)
	default:
		return "'" + t.text + "'"
	}
}

// lexer cuts TSDL text into tokens without copying it.
type lexer struct {
	text string
	pos  int
}

func (l *lexer) errorf(pos int, format string, args ...any) error {
	line := 1 + strings.Count(l.text[:min(pos, len(l.text))], "\n")
	return &Error{Offset: int64(pos), Line: line, Msg: fmt.Sprintf(format, args...)}
}

// next returns the next token; at the end it returns tokEOF for ever.
func (l *lexer) next() (token, error) {
	if err := l.skipBlank(); err != nil {
		return token{}, err
	}
	if l.pos >= len(l.text) {
		return token{kind: tokEOF, pos: len(l.text)}, nil
	}
	start, c := l.pos, l.text[l.pos]
	switch {
	case isIdentStart(c):
		for l.pos < len(l.text) && isIdentPart(l.text[l.pos]) {
			l.pos++
		}
		return token{kind: tokIdent, text: l.text[start:l.pos], pos: start}, nil
	case c >= '0' && c <= '9':
		return l.number()
	case c == '"':
		return l.quoted()
	case c == '\'':
		return l.char()
	}
	n := 0
	switch c {
	case '{', '}', '[', ']', '(', ')', '<', '>', ';', ',', '=', '-', '+', '*':
		n = 1
	case ':':
		n = 1
		if strings.HasPrefix(l.text[start:], ":=") {
			n = 2
		}
	case '.':
		n = 1
		if strings.HasPrefix(l.text[start:], "...") {
			n = 3
		}
	default:
		return token{}, l.errorf(start, "unexpected character %q", c)
	}
	l.pos += n
	return token{kind: tokPunct, text: l.text[start:l.pos], pos: start}, nil
}

func isIdentStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isIdentPart(c byte) bool {
	return isIdentStart(c) || c >= '0' && c <= '9'
}

func (l *lexer) skipBlank() error {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			l.pos++
		case c == '/' && strings.HasPrefix(l.text[l.pos:], "/*"):
			end := strings.Index(l.text[l.pos+2:], "*/")
			if end < 0 {
				return l.errorf(l.pos, "comment without end")
			}
			l.pos += end + 4
		case c == '/' && strings.HasPrefix(l.text[l.pos:], "//"):
			end := strings.IndexByte(l.text[l.pos:], '\n')
			if end < 0 {
				end = len(l.text) - l.pos
			}
			l.pos += end
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) number() (token, error) {
	start := l.pos
	for l.pos < len(l.text) && isIdentPart(l.text[l.pos]) {
		l.pos++
	}
	text := l.text[start:l.pos]
	digits := strings.TrimRight(text, "uUlL")
	base := 10
	switch {
	case strings.HasPrefix(digits, "0x"), strings.HasPrefix(digits, "0X"):
		digits, base = digits[2:], 16
	case len(digits) > 1 && digits[0] == '0':
		digits, base = digits[1:], 8
	}
	v, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return token{}, l.errorf(start, "bad integer %.40q", text)
	}
	return token{kind: tokInt, text: text, num: v, pos: start}, nil
}

func (l *lexer) quoted() (token, error) {
	start := l.pos
	l.pos++
	from := l.pos
	for l.pos < len(l.text) {
		switch l.text[l.pos] {
		case '"':
			t := token{kind: tokString, text: l.text[from:l.pos], pos: start}
			l.pos++
			return t, nil
		case '\\':
			return l.escaped(start, from)
		case '\n':
			return token{}, l.errorf(start, "string without end")
		}
		l.pos++
	}
	return token{}, l.errorf(start, "string without end")
}

// escaped goes on with a string in which the first backslash was met.
func (l *lexer) escaped(start, from int) (token, error) {
	var b strings.Builder
	b.WriteString(l.text[from:l.pos])
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		switch c {
		case '"':
			l.pos++
			return token{kind: tokString, text: b.String(), pos: start}, nil
		case '\n':
			return token{}, l.errorf(start, "string without end")
		case '\\':
			v, err := l.escape()
			if err != nil {
				return token{}, err
			}
			b.WriteByte(v)
		default:
			b.WriteByte(c)
			l.pos++
		}
	}
	return token{}, l.errorf(start, "string without end")
}

// escape reads one escape sequence of C as TSDL has them; pos is at the backslash.
func (l *lexer) escape() (byte, error) {
	start := l.pos
	l.pos++
	if l.pos >= len(l.text) {
		return 0, l.errorf(start, "escape without end")
	}
	c := l.text[l.pos]
	if i := strings.IndexByte(`abfnrtv\'"?`, c); i >= 0 {
		l.pos++
		return "\a\b\f\n\r\t\v\\'\"?"[i], nil
	}
	base, from, limit := 8, l.pos, 3
	if c == 'x' {
		base, from, limit = 16, l.pos+1, 2
	}
	end := from
	for end < len(l.text) && end < from+limit && isDigit(l.text[end], base) {
		end++
	}
	v, err := strconv.ParseUint(l.text[from:end], base, 8)
	if err != nil {
		return 0, l.errorf(start, "bad escape sequence")
	}
	l.pos = end
	return byte(v), nil
}

func isDigit(c byte, base int) bool {
	_, err := strconv.ParseUint(string(rune(c)), base, 8)
	return err == nil
}

// char reads a character constant, an integer in TSDL's constant expressions.
func (l *lexer) char() (token, error) {
	start := l.pos
	l.pos++
	if l.pos >= len(l.text) {
		return token{}, l.errorf(start, "character without end")
	}
	v := l.text[l.pos]
	if v == '\\' {
		var err error
		if v, err = l.escape(); err != nil {
			return token{}, err
		}
	} else {
		l.pos++
	}
	if l.pos >= len(l.text) || l.text[l.pos] != '\'' {
		return token{}, l.errorf(start, "character without end")
	}
	l.pos++
	return token{kind: tokInt, text: l.text[start:l.pos], num: uint64(v), pos: start}, nil
}
