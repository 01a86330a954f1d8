package main

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// statusLine keeps one line at the foot of a terminal and writes what else is
// said above it. Elsewhere there is no such line.
type statusLine struct {
	terminal bool
	stop     chan struct{}
	done     sync.WaitGroup

	mu   sync.Mutex // guards the rest
	w    io.Writer
	text func(now time.Time) string // nil: no line
}

const clearLine = "\r\x1b[K"

// newStatusLine makes a line on w; Close ends it.
func newStatusLine(w io.Writer) *statusLine {
	s := &statusLine{w: w, stop: make(chan struct{})}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		s.terminal = err == nil
	}
	if s.terminal {
		s.done.Go(s.run)
	}
	return s
}

func (s *statusLine) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.Do(func() {})
		}
	}
}

// Show sets what the line says, nil for none.
func (s *statusLine) Show(text func(now time.Time) string) {
	s.Do(func() { s.text = text })
}

// Do calls f, which may write to the terminal, while the line is away.
func (s *statusLine) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		f()
		return
	}
	_, _ = io.WriteString(s.w, clearLine)
	f()
	if s.text != nil {
		_, _ = io.WriteString(s.w, s.text(time.Now()))
	}
}

// Write implements io.Writer for what is to stand above the line.
func (s *statusLine) Write(p []byte) (n int, err error) {
	s.Do(func() { n, err = s.w.Write(p) })
	return n, err
}

// Close takes the line away.
func (s *statusLine) Close() {
	close(s.stop)
	s.done.Wait()
	s.Show(nil)
}
