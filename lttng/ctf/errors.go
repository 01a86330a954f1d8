package ctf

import (
	"errors"
	"fmt"
)

// ErrNotTrace says that a directory holds no CTF trace (it has no metadata file).
var ErrNotTrace = errors.New("no CTF trace: no metadata file")

// Error is a defect in a trace's file: what is wrong and where.
type Error struct {
	File   string // path of the file, empty when the bytes came from no file
	Offset int64  // byte offset in the file, or in the plain text of a metadata file
	Line   int    // line in the plain text of a metadata file, 0 in a data file
	Msg    string // what is wrong
}

// Error names file, place and defect.
func (e *Error) Error() string {
	file := e.File
	if file == "" {
		file = "trace"
	}
	if e.Line > 0 {
		return fmt.Sprintf("%s: line %d (text offset %d): %s", file, e.Line, e.Offset, e.Msg)
	}
	return fmt.Sprintf("%s: byte %d: %s", file, e.Offset, e.Msg)
}
