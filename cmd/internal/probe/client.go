package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// Client observes one domain through virtsentry-probe. What is observed ends with it. It is not safe for concurrent use, but Close may be called at
// any time, and ends what is under way.
type Client struct {
	wire   *wire
	socket string
	asked  []Source         // what Attach asked for
	ends   map[Source]int64 // of each source's last unit, nanoseconds
}

// Dial connects to the helper. Errors: ErrNoHelper when nobody listens, ErrRefused when the socket is not for the caller.
func Dial(ctx context.Context, socket string) (*Client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	switch {
	case err == nil:
		return &Client{wire: newWire(conn, maxAnswer), socket: socket}, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("probe: connect to %s: %w", socket, ctx.Err())
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("probe: nobody listens on %s: %w", socket, ErrNoHelper)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("probe: the socket %s is not for this user (virtsentry-probe --allow says whom it is for): %w", socket, ErrRefused)
	}
	return nil, fmt.Errorf("probe: connect to %s: %w: %w", socket, ErrNoHelper, err)
}

// Ping asks whether the helper serves the caller, and observes nothing. It may precede Attach. Errors: ErrRefused, ErrNoHelper.
func (c *Client) Ping(ctx context.Context) error {
	var answer Attached
	if err := c.ask(ctx, Attach{}, &answer); err != nil {
		return fmt.Errorf("probe: ask whether the helper answers: %w", err)
	}
	return refused(answer.Error)
}

// Attach begins to observe a domain, once. Errors: ErrRefused when nothing is observed, ErrNoHelper when the helper is gone.
func (c *Client) Attach(ctx context.Context, a Attach) (Attached, error) {
	var answer Attached
	if c.asked != nil {
		return answer, fmt.Errorf("probe: domain %s: a connection observes one domain, once", a.UUID)
	}
	err := c.ask(ctx, a, &answer)
	if err == nil && answer.Error == "" {
		err = checkAttached(a, answer)
	}
	if err == nil {
		err = refused(answer.Error)
	}
	if err != nil {
		_ = c.Close()
		return Attached{}, fmt.Errorf("probe: attach to domain %s: %w", a.UUID, err)
	}
	c.asked, c.ends = a.Sources, map[Source]int64{}
	return answer, nil
}

// Collect reads the units that have ended since the last time; last ends the observation, see [Collect]. Where the observation has ended by itself,
// such as with the domain, what is left comes along with an error that is ErrRefused. After any error the client is of no use any more.
// Errors: ErrRefused, ErrNoHelper.
func (c *Client) Collect(ctx context.Context, last bool) (Collected, error) {
	var answer Collected
	if c.asked == nil {
		return answer, errors.New("probe: collect units: nothing is observed")
	}
	err := c.ask(ctx, Collect{Last: last}, &answer)
	if err == nil {
		err = c.checkCollected(answer)
	}
	if err != nil {
		_ = c.Close()
		return Collected{}, fmt.Errorf("probe: collect units: %w", err)
	}
	if answer.Error != "" {
		_ = c.Close()
		return answer, fmt.Errorf("probe: collect units: %w", refused(answer.Error))
	}
	return answer, nil
}

// Close ends the observation.
func (c *Client) Close() error {
	if err := c.wire.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("probe: close: %w", err)
	}
	return nil
}

// ask sends a request and waits for its answer until ctx ends.
func (c *Client) ask(ctx context.Context, request, answer any) error {
	stop := context.AfterFunc(ctx, func() { _ = c.wire.conn.Close() }) // an answer that is not waited for would be taken for the next one's
	defer stop()
	until, _ := ctx.Deadline() // none: zero, which is no deadline of the connection either
	sent := c.wire.send(until, maxRequest, request)
	if errors.Is(sent, errTooLong) {
		return fmt.Errorf("the request is not sent: %w", sent)
	}
	// Also where it was not sent: the helper may have said why it ended the connection.
	err := c.wire.receive(until, answer)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded) && !until.IsZero() && !time.Now().Before(until):
		return context.DeadlineExceeded
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the helper's answer takes more than %v", messageTime)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the helper on %s has gone: %w", c.socket, ErrNoHelper)
	case sent != nil:
		return fmt.Errorf("%w (and before: %w)", err, sent)
	}
	return err
}

// refused makes an error of what the helper says; none if it says nothing.
func refused(text string) error {
	const most = 500
	if text == "" {
		return nil
	}
	if len(text) > most {
		text = text[:most] + "..."
	}
	return fmt.Errorf("%w: %q", ErrRefused, text)
}
