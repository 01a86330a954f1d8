package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
)

// Errors of a Client, beside those of a Backend.
var (
	// ErrNoDaemon says that nobody answers on the control socket, or no longer.
	ErrNoDaemon = errors.New("no virtsentryd answers (is it running, and does --socket name its control.socket?)")
	// ErrDenied says that the user may not use the control socket.
	ErrDenied = errors.New("only root and the daemon's own user may use the control socket")
)

// maxLine bounds one line of a stream, and maxReply a whole answer.
const (
	maxLine  = 1 << 20
	maxReply = 64 << 20
)

// Client talks to a daemon.
type Client struct {
	socket string
	http   http.Client
}

// NewClient makes a client of the daemon at a control socket. Nothing is sent before the first request.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Daemon says what the daemon's process takes.
func (c *Client) Daemon(ctx context.Context) (Daemon, error) {
	var d Daemon
	return d, c.do(ctx, http.MethodGet, "/v1/daemon", nil, &d)
}

// Domains lists the domains that the daemon watches.
func (c *Client) Domains(ctx context.Context) ([]DomainStatus, error) {
	var list []DomainStatus
	return list, c.do(ctx, http.MethodGet, "/v1/domains", nil, &list)
}

// Domain reads the status of one domain, by id, UUID or name. Errors: ErrNoDomain.
func (c *Client) Domain(ctx context.Context, ref string) (DomainStatus, error) {
	var d DomainStatus
	return d, c.do(ctx, http.MethodGet, domainPath(ref), nil, &d)
}

func domainPath(ref string) string { return "/v1/domains/" + segment(ref) }

// segment is a ref as one part of a path. What a path cannot hold names no domain, and neither does what stands for it.
func segment(ref string) string {
	if ref == "" || ref == "." || ref == ".." {
		return "%00"
	}
	return url.PathEscape(ref)
}

// Learn makes the daemon learn a domain anew. Errors: ErrNoDomain, ErrRefused.
func (c *Client) Learn(ctx context.Context, ref string, units int) error {
	return c.do(ctx, http.MethodPost, domainPath(ref)+"/learn", LearnRequest{Units: units}, nil)
}

// Units calls f for every unit of every domain, as they come, until ctx ends or f returns an error, which it returns, or the daemon goes.
// Errors: ErrNoDaemon, at the latest when the daemon ends.
func (c *Client) Units(ctx context.Context, f func(UnitReport) error) error {
	body, err := c.send(ctx, http.MethodGet, "/v1/units", nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		var u UnitReport
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			return fmt.Errorf("control: read unit: %w", err)
		}
		if err := f(u); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("control: read units: %w", err)
	}
	return fmt.Errorf("control: %s: the daemon has gone: %w", c.socket, ErrNoDaemon)
}

// wholeLines is bufio.ScanLines without the part of a line that a daemon wrote when it was killed.
func wholeLines(data []byte, _ bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}

func (c *Client) do(ctx context.Context, method, path string, request, answer any) error {
	body, err := c.send(ctx, method, path, request)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(body, maxReply)).Decode(answer); err != nil {
		return fmt.Errorf("control: read answer: %w", err)
	}
	return nil
}

// send returns the body of a good answer, which the caller closes. A request is sent as JSON, an io.Reader as it is.
func (c *Client) send(ctx context.Context, method, path string, request any) (io.ReadCloser, error) {
	answer, err := c.ask(ctx, method, path, request)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// ask returns a good answer, whose body the caller closes.
func (c *Client) ask(ctx context.Context, method, path string, request any) (*http.Response, error) {
	body, plain := request.(io.Reader)
	if request != nil && !plain {
		text, err := json.Marshal(request)
		if err != nil {
			return nil, fmt.Errorf("control: write request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://virtsentryd"+path, body)
	if err != nil {
		return nil, fmt.Errorf("control: make request: %w", err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.unanswered(ctx, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	return nil, failed(answer)
}

// unanswered says why a request got no answer.
func (c *Client) unanswered(ctx context.Context, err error) error {
	var request *url.Error // its text repeats the made-up address
	if errors.As(err, &request) {
		err = request.Err
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("control: %s: %w", c.socket, ctx.Err())
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("control: %s: %w: %w", c.socket, ErrDenied, err)
	}
	return fmt.Errorf("control: %s: %w: %w", c.socket, ErrNoDaemon, err)
}

func failed(answer *http.Response) error {
	var f failure
	if json.NewDecoder(io.LimitReader(answer.Body, maxLine)).Decode(&f) != nil || f.Error == "" {
		f.Error = answer.Status
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return remote{f.Error, ErrNoDomain}
	case http.StatusGone:
		return remote{f.Error, ErrNoProfile}
	case http.StatusUnprocessableEntity:
		return remote{f.Error, ErrNoIncident}
	case http.StatusPreconditionFailed:
		return remote{f.Error, ErrNoAction}
	case http.StatusConflict:
		return remote{f.Error, ErrRefused}
	case http.StatusForbidden:
		return remote{f.Error, ErrDenied}
	}
	return errors.New(f.Error)
}

// remote is an error of the daemon's, in its own words.
type remote struct {
	text string
	is   error
}

func (r remote) Error() string { return r.text }
func (r remote) Unwrap() error { return r.is }
