package keeper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// mostConnections are served at once, those that are being refused included.
const mostConnections = 64

// Server serves clients on a UNIX socket.
type Server struct {
	// Trace does what a request asks for; Keeper.Trace.
	Trace   func(context.Context, Request, Sink) End
	Allowed probe.Allowed
	Domains int // that are looked at, at once
	// Idle ends Serve when there was no connection for so long; 0: never. For a socket that a service manager keeps.
	Idle time.Duration
	Log  logrus.FieldLogger

	open   atomic.Int64 // connections
	left   atomic.Int64 // when the last one ended, nanoseconds since 1970
	traces chan struct{}
}

// Serve serves clients on l until ctx ends, or until nobody wants anything any more (Idle), and closes l. When it returns, all traces have ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer func() { _ = l.Close() }()
	s.traces = make(chan struct{}, s.Domains)
	s.left.Store(time.Now().UnixNano())
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel(errEnd(ReasonStop)) // first
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
				s.Log.Infof("keeper: no connection for %v: ends, until the next one", s.Idle)
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("keeper: take connection: %w", err)
		}
		if s.open.Add(1) > mostConnections {
			_ = conn.Close()
			s.open.Add(-1)
			continue
		}
		sessions.Go(func() {
			defer func() {
				s.left.Store(time.Now().UnixNano())
				s.open.Add(-1)
			}()
			s.serve(ctx, conn)
		})
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

// serve serves one connection, and ends it.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	peer, err := s.Allowed.Admit(conn)
	if err != nil {
		s.Log.WithError(err).Warn("keeper: a client is refused")
		_ = send(conn, message{End: &End{Error: err.Error()}})
		return
	}
	log := s.Log.WithFields(logrus.Fields{"client": peer.PID, "uid": peer.UID})
	end := s.answer(ctx, conn, log)
	_ = send(conn, message{End: &end}) // it may have gone
}

func (s *Server) answer(ctx context.Context, conn net.Conn, log logrus.FieldLogger) End {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	in := bufio.NewReader(conn)
	_ = conn.SetReadDeadline(time.Now().Add(askTime)) // it fails where reading does
	line, err := readLine(in, maxRequest)
	var r Request
	if err == nil {
		err = decode(line, &r)
	}
	if err != nil {
		log.WithError(err).Warn("keeper: a client is cut off")
		return End{Error: err.Error()}
	}
	select {
	case s.traces <- struct{}{}:
		defer func() { <-s.traces }()
	default:
		return End{Error: fmt.Sprintf("%d domains are looked at already (domains in %s)", s.Domains, DefaultConfig)}
	}
	_ = conn.SetReadDeadline(time.Time{})
	if ctx.Err() != nil { // its own deadline has just been taken away
		return End{Reason: ReasonStop}
	}
	var listening sync.WaitGroup
	listening.Go(func() { // a client says nothing more: what comes is its end
		_, _ = in.ReadByte()
		cancel(errEnd(ReasonClient))
	})
	if !r.Dry {
		log.WithFields(logrus.Fields{"domain": r.UUID, "seconds": r.Seconds}).Info("keeper: a guest's system calls are asked for")
	}
	end := s.Trace(ctx, r, Sink{
		Begin: func(b Begin) error { return send(conn, message{Begin: &b}) },
		Unit:  func(u guestcalls.Unit) error { return send(conn, message{Unit: &u}) },
	})
	cancel(nil)
	_ = conn.SetReadDeadline(time.Now())
	listening.Wait()
	return end
}
