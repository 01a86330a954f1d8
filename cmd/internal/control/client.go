package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// ErrNoDaemon says that nobody answers on the control socket.
var ErrNoDaemon = errors.New("no virtsentryd answers (is it running, and does --socket name its control.socket?)")

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

// Domains lists the domains that the daemon watches.
func (c *Client) Domains(ctx context.Context) ([]DomainStatus, error) {
	var list []DomainStatus
	return list, c.do(ctx, http.MethodGet, "/v1/domains", nil, &list)
}

// Domain reads the status of one domain, by name or UUID. Errors: ErrNoDomain.
func (c *Client) Domain(ctx context.Context, ref string) (DomainStatus, error) {
	var d DomainStatus
	return d, c.do(ctx, http.MethodGet, "/v1/domains/"+url.PathEscape(ref), nil, &d)
}

// Learn makes the daemon learn a domain anew. Errors: ErrNoDomain, ErrRefused.
func (c *Client) Learn(ctx context.Context, ref string, units int) error {
	return c.do(ctx, http.MethodPost, "/v1/domains/"+url.PathEscape(ref)+"/learn", LearnRequest{Units: units}, nil)
}

// Units calls f for every unit of every domain, as they come, until ctx ends, f returns an error or the daemon goes.
func (c *Client) Units(ctx context.Context, f func(UnitReport) error) error {
	body, err := c.send(ctx, http.MethodGet, "/v1/units", nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var u UnitReport
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			return fmt.Errorf("control: read unit: %w", err)
		}
		if err := f(u); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("control: read units: %w", err)
	}
	return ctx.Err()
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

// send returns the body of a good answer, which the caller closes.
func (c *Client) send(ctx context.Context, method, path string, request any) (io.ReadCloser, error) {
	var body io.Reader
	if request != nil {
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
		var network *net.OpError
		if errors.As(err, &network) {
			return nil, fmt.Errorf("control: %s: %w: %w", c.socket, ErrNoDaemon, network.Err)
		}
		return nil, fmt.Errorf("control: %s: %w", c.socket, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	return nil, failed(answer)
}

func failed(answer *http.Response) error {
	var f failure
	if json.NewDecoder(io.LimitReader(answer.Body, maxLine)).Decode(&f) != nil || f.Error == "" {
		f.Error = answer.Status
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return remote{f.Error, ErrNoDomain}
	case http.StatusConflict:
		return remote{f.Error, ErrRefused}
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
