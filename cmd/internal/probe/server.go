package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// Limits of what clients may ask of a helper.
const (
	maxConnections = 1024
	connectionRate = 100 // a second
	requestRate    = 20  // a second, on each connection
	maxAttaching   = 2   // at once: the kernel checks each program
)

// Times within which a client has to do something.
const (
	attachTime = 10 * time.Second // from its connection on
	silence    = 2 * time.Minute  // between two requests: what has piled up since would be all the larger
	recheck    = 30 * time.Second // between looks at which tap devices a domain has
)

// Finder finds domains; Domains does.
type Finder interface {
	Find(uuid string) (Target, error)
	Alive(Target) bool
}

// Counter counts for one source of one domain, in the kernel.
type Counter interface {
	// Collect returns the units that have ended since the last time, and with last the one that has not, too. An error ends it; there may be
	// units all the same.
	Collect(last bool) ([]unit.Unit, error)
	// Stats are hits so far, and the time that they took in nanoseconds.
	Stats() (hits, ns uint64)
	// Detail says for people what is counted.
	Detail() string
	// Close detaches all programs.
	Close() error
}

// Options of an observation are those of Attach.
type Options struct {
	Offset  int64
	Headers bool
}

// Server is the helper.
type Server struct {
	Domains Finder
	Attach  func(Source, Target, Options) (Counter, error)
	Allowed Allowed
	// Idle ends Serve when there was no connection for so long; 0: never. For a socket that a service manager keeps.
	Idle time.Duration
	Log  logrus.FieldLogger

	peer      func(net.Conn) (Peer, error) // of tests; nil: peerOf
	attaching chan struct{}                // holds one for each client that attaches
	open      atomic.Int64                 // connections
	left      atomic.Int64                 // when the last one ended, in nanoseconds since 1970
}

// Serve serves clients on l until ctx ends, or until nobody wants anything any more (Idle), and closes l. When it returns, nothing is attached.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer func() { _ = l.Close() }()
	s.attaching = make(chan struct{}, maxAttaching)
	s.left.Store(time.Now().UnixNano())
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel() // first
	rate := pace{every: time.Second / connectionRate, burst: connectionRate}
	for {
		conn, err := s.accept(l)
		switch {
		case ctx.Err() != nil:
			if conn != nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if s.open.Load() == 0 && time.Since(time.Unix(0, s.left.Load())) >= s.Idle {
				s.Log.Infof("probe: no connection for %v: ends, until the next one", s.Idle)
				return nil
			}
			continue
		case temporary(err): // such as too many open files
			s.Log.WithError(err).Error("probe: a connection was not taken")
			rate.wait(ctx)
			continue
		case err != nil:
			return fmt.Errorf("probe: take connection: %w", err)
		}
		s.open.Add(1)
		sessions.Go(func() {
			defer func() {
				s.left.Store(time.Now().UnixNano())
				s.open.Add(-1)
			}()
			s.serve(ctx, conn)
		})
		rate.wait(ctx)
	}
}

// accept waits for a connection. With Idle it gives up now and then.
func (s *Server) accept(l net.Listener) (net.Conn, error) {
	if d, can := l.(interface{ SetDeadline(time.Time) error }); can && s.Idle > 0 {
		if err := d.SetDeadline(time.Now().Add(s.Idle/4 + time.Millisecond)); err != nil {
			return nil, err
		}
	}
	return l.Accept()
}

func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// serve serves one connection, and ends it.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	n := &session{Server: s, wire: newWire(conn, maxRequest), pace: pace{every: time.Second / requestRate, burst: requestRate}, log: s.Log}
	peerOf := peerOf
	if s.peer != nil {
		peerOf = s.peer
	}
	peer, err := peerOf(conn)
	if err == nil {
		n.log = s.Log.WithFields(logrus.Fields{"client": peer.PID, "uid": peer.UID})
		switch {
		case !s.Allowed.admits(peer):
			err = fmt.Errorf("user %d may not use this helper (virtsentry-probe --allow)", peer.UID)
		case s.open.Load() > maxConnections:
			err = fmt.Errorf("more than %d connections", maxConnections)
		}
	}
	if err != nil {
		n.refuse(err)
		return
	}
	n.run(ctx)
}
