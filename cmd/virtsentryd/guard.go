package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/lttng"
)

const (
	// guardedPrefix begins the names of all sessions of the daemon: a guard ends no others.
	guardedPrefix = "virtsentryd-"
	// guardLimit is how long a guard tries to end what is left.
	guardLimit = 5 * time.Second
	// guardAgain is when it looks again: a session that was being made when the daemon died may come a moment later.
	guardAgain = 500 * time.Millisecond
	// guardLines bounds what a daemon may have told a guard to watch over.
	guardLines = 4096
)

// watched is a line of what a daemon tells its guard: a session to watch over, or one that has been ended.
type watched struct {
	Session string `json:"session"`
	Output  string `json:"output,omitempty"` // directory; empty: the session has been ended
}

// check refuses what is no session of a daemon with a directory of its own.
func (w watched) check() error {
	switch {
	case !strings.HasPrefix(w.Session, guardedPrefix) || filepath.Base(w.Session) != w.Session:
		return fmt.Errorf("guard: %.256q is no session of this program", w.Session)
	case w.Output != "" && (!filepath.IsAbs(w.Output) || filepath.Base(w.Output) != w.Session):
		return fmt.Errorf("guard: %.256q is no directory of session %s", w.Output, w.Session)
	}
	return nil
}

// keepGuard is what virtsentryd --guard does: it reads what it is told until the daemon closes the pipe or dies, and then ends by destroy what has not been ended.
// It returns within guardLimit.
func keepGuard(from io.Reader, destroy func(session string) error, log logrus.FieldLogger) error {
	left := map[string]string{} // output directories by session
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		var w watched
		err := json.Unmarshal(lines.Bytes(), &w)
		if err == nil {
			err = w.check()
		}
		switch {
		case err != nil:
			log.WithError(err).Error("guard: passed over")
		case w.Output == "":
			delete(left, w.Session)
		case len(left) < guardLines:
			left[w.Session] = w.Output
		}
	}
	if len(left) == 0 {
		return lines.Err()
	}
	log.WithField("sessions", len(left)).Warn("the daemon has died: ending the sessions of its actions")
	ended := make(chan error, 1)
	go func() { ended <- endAll(left, destroy) }()
	select {
	case err := <-ended:
		return errors.Join(lines.Err(), err)
	case <-time.After(guardLimit):
		return errors.New("guard: the LTTng session daemon does not answer: sessions are left (virtsentryd --stopped, or the next start, ends them)")
	}
}

// endAll ends sessions, twice, and removes their directories.
func endAll(left map[string]string, destroy func(session string) error) error {
	var errs []error
	for again := range 2 {
		if again > 0 {
			time.Sleep(guardAgain)
		}
		errs = nil
		for session, output := range left {
			errs = append(errs, destroy(session), os.RemoveAll(output))
		}
	}
	return errors.Join(errs...)
}

// guarding is the whole of a guard's process. It does not end by signals that the daemon gets, too: it ends after it.
func guarding(log logrus.FieldLogger) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return keepGuard(os.Stdin, lttng.DestroySession, log)
}

// guard starts a guard process when there is a session to watch over, and lets it end when there is none any more. It is safe for concurrent use.
type guard struct {
	command func() *exec.Cmd
	log     logrus.FieldLogger

	mu       sync.Mutex // guards the fields below
	process  *exec.Cmd  // nil: none runs
	pipe     io.WriteCloser
	sessions map[string]string // output directories by session
}

// newGuard returns a guard whose process is this program.
func newGuard(log logrus.FieldLogger) (*guard, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("guard: find this program: %w", err)
	}
	return &guard{log: log, sessions: map[string]string{}, command: func() *exec.Cmd {
		c := exec.Command(self, "--guard")
		c.Stderr = os.Stderr
		return c
	}}, nil
}

// Watch has a session ended when this process dies, monitor.Guard.
func (g *guard) Watch(session, output string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := watched{session, output}
	if err := w.check(); err != nil {
		return err
	}
	g.sessions[session] = output
	err := g.tell(w)
	if err != nil { // it has been killed, perhaps; another one is told of all
		g.end()
		err = g.start()
	}
	if err != nil {
		delete(g.sessions, session)
		g.end()
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

// Release says that a session has been ended, monitor.Guard.
func (g *guard) Release(session string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, session)
	if len(g.sessions) == 0 {
		if g.process != nil {
			_ = g.tell(watched{Session: session})
		}
		g.end()
		return
	}
	if err := g.tell(watched{Session: session}); err != nil {
		g.log.WithError(err).Warn("the guard of the actions' sessions does not listen; another one is started")
		g.end()
		if err := g.start(); err != nil {
			g.log.WithError(err).Error("no guard: the sessions of actions that run may outlive a daemon that is killed")
		}
	}
}

var errNoGuard = errors.New("no guard process runs")

// tell writes a line to the process. The caller holds the lock, here and below.
func (g *guard) tell(w watched) error {
	if g.process == nil {
		return errNoGuard
	}
	text, err := json.Marshal(w)
	if err == nil {
		_, err = g.pipe.Write(append(text, '\n'))
	}
	return err
}

// start starts the process and tells it all.
func (g *guard) start() error {
	c := g.command()
	pipe, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return errors.Join(err, pipe.Close())
	}
	g.process, g.pipe = c, pipe
	for session, output := range g.sessions {
		if err := g.tell(watched{session, output}); err != nil {
			return err
		}
	}
	return nil
}

// end lets the process end, and waits for it.
func (g *guard) end() {
	if g.process == nil {
		return
	}
	_ = g.pipe.Close()
	if err := g.process.Wait(); err != nil {
		g.log.WithError(err).Warn("the guard of the actions' sessions did not end as it should")
	}
	g.process, g.pipe = nil, nil
}
