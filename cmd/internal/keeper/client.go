package keeper

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
)

// errDry is a keeper's answer to a question; errEarly that of one that has ended before it began.
var (
	errDry   = errors.New(ReasonDry)
	errEarly = errors.New("it has ended before it began")
)

// Trace is one look at a guest's system calls, through virtsentry-keeper. It ends with Close at the latest, and with its owner. Next is not safe for concurrent use; Close may
// be called at any time.
type Trace struct {
	Begin Begin

	conn net.Conn
	in   *bufio.Reader
	end  End
}

// Ask asks the keeper for a domain's system calls. It returns as soon as they are counted. ctx is for that only: what is asked for ends with Close.
// Errors: ErrNoKeeper; ErrRefused, with the keeper's words.
func Ask(ctx context.Context, socket string, r Request) (*Trace, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("keeper: nobody listens on %s: %w", socket, ErrNoKeeper)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("keeper: the socket %s is not for this user (virtsentry-keeper --allow says whom it is for): %w", socket, ErrRefused)
	default:
		return nil, fmt.Errorf("keeper: connect to %s: %w", socket, err)
	}
	t := &Trace{conn: conn, in: bufio.NewReader(conn)}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	m, err := t.begin(r)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("keeper: domain %s: %w", r.UUID, errors.Join(err, ctx.Err()))
	}
	t.Begin = *m.Begin
	return t, nil
}

// Check asks the keeper whether it would count a domain's system calls, without doing it. Errors: those of Ask; nil: it would.
func Check(ctx context.Context, socket string, r Request) error {
	r.Dry = true
	_, err := Ask(ctx, socket, r)
	if errors.Is(err, errDry) {
		return nil
	}
	return err
}

func (t *Trace) begin(r Request) (message, error) {
	sent := send(t.conn, r)
	m, err := t.receive(startTime) // also where it was not sent: the keeper may have said why
	switch {
	case err != nil:
		return m, errors.Join(err, sent)
	case m.End != nil:
		if r.Dry && m.End.Error == "" {
			return m, errDry
		}
		return m, cmp.Or(refused(*m.End), errEarly)
	case m.Begin == nil:
		return m, errors.New("the keeper does not begin")
	}
	return m, nil
}

// receive reads the next message.
func (t *Trace) receive(within time.Duration) (m message, err error) {
	if err := t.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return m, err
	}
	line, err := readLine(t.in, maxMessage)
	if err == nil {
		err = decode(line, &m)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return m, fmt.Errorf("the keeper says nothing for %v", within)
	case errors.Is(err, io.EOF):
		return m, fmt.Errorf("the keeper has gone: %w", ErrNoKeeper)
	}
	return m, err
}

// Next waits for the next unit. Errors: io.EOF when it is over as it should be, of which End tells; ErrRefused, with the keeper's words, when it ended otherwise; ErrNoKeeper when
// the keeper has died, whose guard has the guest run on within seconds.
func (t *Trace) Next() (guestcalls.Unit, error) {
	const late = 10 * time.Second
	m, err := t.receive(guestcalls.Length + late)
	switch {
	case err != nil:
		return guestcalls.Unit{}, fmt.Errorf("keeper: %w", err)
	case m.Unit != nil:
		return *m.Unit, nil
	case m.End != nil:
		t.end = *m.End
		if err := refused(t.end); err != nil {
			return guestcalls.Unit{}, fmt.Errorf("keeper: %w", err)
		}
		return guestcalls.Unit{}, io.EOF
	}
	return guestcalls.Unit{}, errors.New("keeper: a message says nothing")
}

// End says how it ended, after Next has said that it did.
func (t *Trace) End() End { return t.end }

// Stop asks the keeper to end it. Units that are left follow, and the end, by which the guest is let go: Next.
func (t *Trace) Stop() error {
	half, can := t.conn.(interface{ CloseWrite() error })
	if !can {
		return t.Close()
	}
	if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("keeper: stop: %w", err)
	}
	return nil
}

// Close ends it: the keeper takes the break away and lets the guest run.
func (t *Trace) Close() error {
	if err := t.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("keeper: close: %w", err)
	}
	return nil
}

// refused makes an error of an end that has one.
func refused(e End) error {
	const most = 500
	if e.Error == "" {
		return nil
	}
	return fmt.Errorf("%w: %q", ErrRefused, e.Error[:min(len(e.Error), most)])
}
