package libvirt

import (
	"errors"
	"fmt"
	"sync"

	golibvirt "libvirt.org/go/libvirt"
)

// ErrNoDomain says that libvirt does not know (or no longer runs) a domain.
var ErrNoDomain = errors.New("no such domain")

// ErrClosed says that a connection was used after its Close.
var ErrClosed = errors.New("the connection to libvirt is closed")

// Keepalive of a connection: a server that does not answer this many messages, so many seconds apart, is given up.
const (
	keepaliveSeconds = 5
	keepaliveCount   = 3
)

// Connection is one connection to a libvirt daemon. Its methods may be called from several goroutines.
// It does not reconnect: when Closed is closed, make a new one and reconcile with Running.
type Connection struct {
	mu    sync.RWMutex // held for writing by Close, which frees conn; for reading by whoever uses conn
	freed bool

	conn                  *golibvirt.Connect
	callbacks             []int
	events                chan Event
	lost                  chan struct{}
	closed                chan struct{}
	brokenOnce, closeOnce sync.Once
}

// Connect opens a connection and registers for events. URIs: https://libvirt.org/uri.html.
func Connect(uri string) (*Connection, error) {
	if err := startLoop(); err != nil {
		return nil, err
	}
	conn, err := golibvirt.NewConnect(uri)
	if err != nil {
		return nil, fmt.Errorf("libvirt: connect to %s: %w", uri, err)
	}
	c := &Connection{
		conn:   conn,
		events: make(chan Event, queueLength),
		lost:   make(chan struct{}, 1),
		closed: make(chan struct{}),
	}
	if err := c.register(); err != nil {
		return nil, errors.Join(fmt.Errorf("libvirt: register for events of %s: %w", uri, err), c.Close())
	}
	return c, nil
}

func (c *Connection) register() error {
	if err := c.conn.RegisterCloseCallback(func(*golibvirt.Connect, golibvirt.ConnectCloseReason) { c.markClosed() }); err != nil {
		// The test driver has no wire that could break.
		if !isCode(err, golibvirt.ERR_NO_SUPPORT) {
			return err
		}
	}
	if err := c.conn.SetKeepAlive(keepaliveSeconds, keepaliveCount); err != nil && !isCode(err, golibvirt.ERR_NO_SUPPORT) {
		return err
	}
	return c.registerEvents()
}

func (c *Connection) markClosed() { c.brokenOnce.Do(func() { close(c.closed) }) }

// Events is the stream of events. It is never closed; see Closed.
func (c *Connection) Events() <-chan Event { return c.events }

// Lost delivers a value after events were dropped because their reader was slow: reconcile with Running.
func (c *Connection) Lost() <-chan struct{} { return c.lost }

// Closed is closed when the connection has broken, or after Close.
func (c *Connection) Closed() <-chan struct{} { return c.closed }

// Close ends the connection. It may be called more than once.
func (c *Connection) Close() error {
	var err error
	c.closeOnce.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.freed = true
		// A broken connection has nothing left to deregister from: what counts is that libvirt lets go of our callbacks.
		for _, id := range c.callbacks {
			_ = c.conn.DomainEventDeregister(id)
		}
		_ = c.conn.UnregisterCloseCallback()
		c.markClosed()
		if _, closeErr := c.conn.Close(); closeErr != nil {
			err = fmt.Errorf("libvirt: close connection: %w", closeErr)
		}
	})
	return err
}

func isCode(err error, code golibvirt.ErrorNumber) bool {
	var e golibvirt.Error
	return errors.As(err, &e) && e.Code == code
}
