package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// errorTrailer follows a recording that ended early and says why.
const errorTrailer = "Virtsentry-Error"

const (
	maxRecording = 24 * time.Hour
	// writeLimit is how long a client may take for the next piece of a recording.
	writeLimit = 15 * time.Second
)

// record streams a recording. What goes wrong before its first byte is answered as ever, and what does later follows it.
func record(w http.ResponseWriter, r *http.Request, b Backend, request RecordRequest) {
	if !(request.Seconds > 0 && request.Seconds <= maxRecording.Seconds()) {
		reply(w, nil, fmt.Errorf("%w: a recording of %v seconds; it may take %v at most", ErrRefused, request.Seconds, maxRecording))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(request.Seconds*float64(time.Second)))
	defer cancel()
	out := &recording{w: w, steer: http.NewResponseController(w)}
	err := b.Record(ctx, r.PathValue("ref"), out)
	if err == nil && r.Context().Err() != nil {
		err = fmt.Errorf("%w: the daemon has ended before the recording", ErrRefused)
	}
	switch {
	case err != nil && !out.begun:
		reply(w, nil, err)
	case err != nil:
		w.Header().Set(errorTrailer, oneLine(err.Error()))
	}
}

// oneLine makes a text fit for a header.
func oneLine(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, []byte(s)))
}

// recording hands on each piece at once, and does not wait for ever for a client that reads none.
type recording struct {
	w     http.ResponseWriter
	steer *http.ResponseController
	begun bool
}

func (r *recording) Write(p []byte) (int, error) {
	if !r.begun {
		r.begun = true
		r.w.Header().Set("Content-Type", "application/x-tar")
		r.w.Header().Set("Trailer", errorTrailer)
	}
	if err := r.steer.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return 0, err
	}
	n, err := r.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, r.steer.Flush()
}

// Record calls read with the trace of a domain for so long, a tar archive. Errors: read's own, ErrNoDomain, ErrRefused, and ErrNoDaemon when the
// daemon ended before the recording did.
func (c *Client) Record(ctx context.Context, ref string, length time.Duration, read func(io.Reader) error) error {
	answer, err := c.ask(ctx, http.MethodPost, domainPath(ref)+"/record", RecordRequest{Seconds: length.Seconds()})
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	whole := &stretch{Reader: answer.Body}
	err = read(whole)
	if err == nil {
		_, err = io.Copy(io.Discard, whole) // the trailer comes behind the last byte
	}
	switch why := answer.Trailer.Get(errorTrailer); {
	case why != "":
		return remote{why, ErrRefused}
	case ctx.Err() != nil:
		return fmt.Errorf("control: %s: %w", c.socket, ctx.Err())
	case whole.broken != nil:
		return fmt.Errorf("control: %s: the daemon has gone: %w", c.socket, ErrNoDaemon)
	}
	return err
}

// stretch is a stream that notes how it ends.
type stretch struct {
	io.Reader
	broken error // nil: as it should
}

func (c *stretch) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.broken = err
	}
	return n, err
}
