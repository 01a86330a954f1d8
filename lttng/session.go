package lttng

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// Defaults of a session's ring buffer. LTTng allocates SubBuffers × SubBufferBytes for every possible CPU of the host.
const (
	DefaultSubBufferBytes = 64 << 10
	DefaultSubBuffers     = 8
)

const (
	channelName  = "virtsentry"
	pollInterval = 20 * time.Millisecond
	// destroyPatience bounds the wait for the session daemon to let go of a session's files.
	destroyPatience = 10 * time.Second
)

var sessionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// Config says what a session records and where to.
type Config struct {
	Name    string   // session name, unique on the host: letters, digits, '.', '_', '-'
	Output  string   // directory of the trace; made if it is not there, removed by Destroy when RemoveOutput is set
	PID     int      // the process that is traced (its PID in its own namespace)
	Events  []string // full names, such as "qemu:virtqueue_fill", or globs such as "qemu:*"
	Exclude []string // names or globs that a glob in Events does not mean

	SubBufferBytes uint64 // a power of two; 0: DefaultSubBufferBytes
	SubBuffers     uint64 // a power of two; 0: DefaultSubBuffers
	// SwitchTimer is how often what the ring buffers hold is written, also where no sub-buffer is full: for a [Follower]. 0: only at a rotation.
	SwitchTimer  time.Duration
	RemoveOutput bool
}

func (c Config) check() error {
	switch {
	case !sessionName.MatchString(c.Name):
		return fmt.Errorf("lttng: session name %q: letters, digits, '.', '_' and '-' are allowed", c.Name)
	case c.PID <= 0:
		return fmt.Errorf("lttng: session %s: process id %d is not positive", c.Name, c.PID)
	case len(c.Events) == 0:
		return fmt.Errorf("lttng: session %s: no events to record", c.Name)
	case !filepath.IsAbs(c.Output):
		return fmt.Errorf("lttng: session %s: output directory %q is not an absolute path", c.Name, c.Output)
	}
	return nil
}

// Session is one recording session of one process. Its methods may be called from several goroutines; Rotate calls exclude
// each other. Destroy ends it; until then the session daemon keeps it, even if this process dies.
type Session struct {
	cfg     Config
	rotate  sync.Mutex // one rotation at a time, as the session daemon demands; guards pending
	pending *rotation  // one that a context gave up waiting for
}

// NewSession creates the session and enables its channel and events. Nothing is recorded before Start. On an error
// nothing is left behind. Errors: ErrNoSessionDaemon, ErrPermission, ErrSessionExists inside an *OpError, or a wrong Config.
func NewSession(cfg Config) (*Session, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.SubBufferBytes == 0 {
		cfg.SubBufferBytes = DefaultSubBufferBytes
	}
	if cfg.SubBuffers == 0 {
		cfg.SubBuffers = DefaultSubBuffers
	}
	if err := os.MkdirAll(cfg.Output, 0o700); err != nil {
		return nil, fmt.Errorf("lttng: session %s: make output directory: %w", cfg.Name, err)
	}
	s := &Session{cfg: cfg}
	switch err := createSession(cfg.Name, cfg.Output); {
	case errors.Is(err, ErrSessionExists):
		return nil, err // the directory may be that session's
	case err != nil:
		return nil, errors.Join(err, s.removeOutput())
	}
	if err := s.configure(); err != nil {
		return nil, errors.Join(err, s.Destroy())
	}
	return s, nil
}

func (s *Session) configure() error {
	c := s.cfg
	if err := enableChannel(c.Name, channelName, c.SubBufferBytes, c.SubBuffers, c.SwitchTimer); err != nil {
		return err
	}
	// The process is tracked before events are enabled, so no other process is ever asked for them.
	if err := trackProcess(c.Name, c.PID); err != nil {
		return err
	}
	for _, event := range c.Events {
		if err := enableEvent(c.Name, channelName, event, c.Exclude); err != nil {
			return err
		}
	}
	return nil
}

// Name is the session's name.
func (s *Session) Name() string { return s.cfg.Name }

// Start begins (or resumes) recording.
func (s *Session) Start() error { return startTracing(s.cfg.Name) }

// Disable ends the recording of some of [Config.Events], by the same names; to the process they then cost what trace points cost that nobody records. Others go on.
func (s *Session) Disable(events []string) error {
	for _, event := range events {
		if err := disableEvent(s.cfg.Name, channelName, event); err != nil {
			return err
		}
	}
	return nil
}

// Enable has events recorded again that [Session.Disable] has ended.
func (s *Session) Enable(events []string) error {
	for _, event := range events {
		if err := enableEvent(s.cfg.Name, channelName, event, s.cfg.Exclude); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends recording and waits until all that was recorded is written, or ctx ends. After it the output directory, and
// what it holds beside the archived chunks, may be read.
func (s *Session) Stop(ctx context.Context) error {
	if err := stopTracing(s.cfg.Name); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		pending, err := dataPending(s.cfg.Name)
		return !pending, err
	})
}

// Rotate archives what was recorded since the last rotation and returns the chunk's directory, which is the caller's to
// read and to remove. All events that were recorded before the call are in this chunk or an earlier one. When ctx ends
// first, the rotation goes on in the session daemon, and the next call waits for it, and returns its chunk, instead of beginning another.
func (s *Session) Rotate(ctx context.Context) (chunk string, err error) {
	s.rotate.Lock()
	defer s.rotate.Unlock()
	if s.pending == nil {
		if s.pending, err = startRotation(s.cfg.Name); err != nil {
			return "", err
		}
	}
	err = poll(ctx, func() (done bool, err error) {
		done, chunk, err = s.pending.poll()
		return done, err
	})
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return "", &OpError{Op: "rotate", Session: s.cfg.Name, Err: err}
	}
	s.pending.close()
	s.pending = nil
	return chunk, err
}

// Destroy ends the session and, with Config.RemoveOutput, removes its output directory. A session that is gone already is no error.
func (s *Session) Destroy() error {
	s.rotate.Lock()
	if s.pending != nil {
		s.pending.close()
		s.pending = nil
	}
	s.rotate.Unlock()
	err := destroySession(s.cfg.Name, destroyPatience)
	if errors.Is(err, ErrNoSession) {
		err = nil
	}
	return errors.Join(err, s.removeOutput())
}

func (s *Session) removeOutput() error {
	if !s.cfg.RemoveOutput {
		return nil
	}
	return os.RemoveAll(s.cfg.Output)
}

// DestroySession ends a session by its name, such as one that a dead process left behind. One that does not exist is no error.
func DestroySession(name string) error {
	if err := destroySession(name, destroyPatience); err != nil && !errors.Is(err, ErrNoSession) {
		return err
	}
	return nil
}

func poll(ctx context.Context, f func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if done, err := f(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
