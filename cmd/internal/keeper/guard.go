package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
)

// Words between a keeper and its guard.
const (
	wordReady = "ready\n"
	wordDone  = "done\n"
)

// Guard is the second process. It reads a note from in, connects to libvirt so that it need not do so later, says that it is ready, and waits. Where in ends without the word
// that all is done, its keeper has died: it closes the stub and lets the guest run.
func Guard(ctx context.Context, runDir string, in io.Reader, out io.Writer) error {
	const most = 4096
	lines := bufio.NewReader(io.LimitReader(in, most))
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("keeper: the guard was told nothing: %w", err)
	}
	x, err := parseNote(line)
	if err != nil {
		return fmt.Errorf("keeper: the guard: %w", err)
	}
	conn, err := libvirt.Connect(x.URI)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(out, wordReady); err != nil {
		return err
	}
	word, err := lines.ReadString('\n')
	if err == nil && word == wordDone {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, repairTime)
	defer cancel()
	if err := repairUntil(ctx, conn, x); err != nil {
		return err
	}
	return notes(runDir).remove(x.UUID)
}

// guard is the guard of one trace, as its keeper sees it.
type guard struct {
	command *exec.Cmd
	in      io.WriteCloser
	gone    chan struct{} // closed when it has ended
	err     error         // of its end; to be read when it has
}

// startGuard starts a guard by a command line and waits until it is ready. It has a session of its own, so that what ends the keeper from a terminal does not end it.
func startGuard(ctx context.Context, line []string, x note) (*guard, error) {
	text, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	g := &guard{command: exec.Command(line[0], line[1:]...), gone: make(chan struct{})}
	g.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	g.command.Stderr = os.Stderr
	if g.in, err = g.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := g.command.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, g.in.Close())
	}
	if err := g.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("keeper: start the guard: %w", err), g.in.Close())
	}
	late := time.AfterFunc(guardTime, func() { _ = g.command.Process.Kill() })
	stop := context.AfterFunc(ctx, func() { _ = g.command.Process.Kill() })
	_, err = g.in.Write(append(text, '\n'))
	word := ""
	if err == nil {
		word, err = bufio.NewReader(io.LimitReader(out, 64)).ReadString('\n')
	}
	late.Stop()
	stop()
	go func() {
		g.err = g.command.Wait()
		close(g.gone)
	}()
	if err != nil || word != wordReady {
		_ = g.command.Process.Kill()
		<-g.gone
		return nil, fmt.Errorf("keeper: the guard is not ready: %w", errors.Join(err, g.err, g.in.Close(), ctx.Err()))
	}
	return g, nil
}

// dismiss tells the guard that all is done, and waits for its end.
func (g *guard) dismiss() {
	_, _ = io.WriteString(g.in, wordDone) // it may have been killed
	_ = g.in.Close()
	g.await()
}

// call has the guard repair, as if the keeper had died, and waits for its end. It says whether that was done.
func (g *guard) call() error {
	_ = g.in.Close()
	<-g.gone // it has its own limit, repairTime
	if g.err != nil {
		return fmt.Errorf("keeper: the guard: %w", g.err)
	}
	return nil
}

func (g *guard) await() {
	late := time.AfterFunc(guardTime, func() { _ = g.command.Process.Kill() })
	<-g.gone
	late.Stop()
}

// guardLine is the command line of a guard of this very program.
func guardLine(runDir string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("keeper: find the own program: %w", err)
	}
	return []string{strings.TrimSuffix(self, " (deleted)"), "guard", "--run-dir", runDir}, nil
}
