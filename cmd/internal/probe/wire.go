package probe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Messages are JSON objects, one a line, over a stream: a message of a SOCK_SEQPACKET socket must fit into its send buffer (some 200 KiB), and an
// answer after a while of silence does not.

// Sizes of a message beyond which a connection ends, bytes.
const (
	maxRequest = 64 << 10
	maxAnswer  = 8 << 20
)

// messageTime is how long a message may take from its first byte to its last, and how long the other side may take to receive one.
const messageTime = 5 * time.Second

// errTooLong says that a message is longer than it may be.
var errTooLong = errors.New("message is too long")

// wire is a connection that carries messages. It is not safe for concurrent use.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	most int // bytes of a message that is received
}

func newWire(conn net.Conn, most int) *wire {
	return &wire{conn: conn, in: bufio.NewReader(conn), most: most}
}

// receive waits for a message until a time, or for ever if that is zero, and decodes it into v. A message that has begun is to end within messageTime.
// Errors: io.EOF when the connection ended instead of a message.
func (w *wire) receive(until time.Time, v any) error {
	_ = w.conn.SetReadDeadline(until) // it fails where reading does
	if _, err := w.in.Peek(1); err != nil {
		return err
	}
	if end := time.Now().Add(messageTime); until.IsZero() || end.Before(until) {
		_ = w.conn.SetReadDeadline(end)
	}
	line, err := readLine(w.in, w.most)
	if err != nil {
		return err
	}
	return decode(line, v)
}

// readLine reads up to a line's end, and never keeps more than what a message may have.
func readLine(in *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, errTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// decode reads one JSON object. Fields that v has not are refused, and so is anything behind it.
func decode(line []byte, v any) error {
	if trimmed := bytes.TrimSpace(line); len(trimmed) == 0 || trimmed[0] != '{' {
		return errors.New("message is no JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("message is not understood: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("message has something behind it")
	}
	return nil
}

// send encodes v and sends it.
func (w *wire) send(until time.Time, most int, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(line) >= most {
		return errTooLong
	}
	_ = w.conn.SetWriteDeadline(until)
	_, err = w.conn.Write(append(line, '\n'))
	return err
}
