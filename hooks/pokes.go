package hooks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// DefaultPokes is the FIFO that the hook script writes to.
const DefaultPokes = "/run/virtsentry/pokes"

const (
	pokeQueue = 256  // pokes that wait for their reader
	pokeLine  = 4096 // bytes of a line; the script's are shorter than 800
)

// ErrListening says that another daemon listens at a FIFO already.
var ErrListening = errors.New("another daemon listens there")

// Poke is what libvirt's hook script was called with: a hint to look at a domain, never the truth about it.
type Poke struct {
	Domain       string // name, not empty
	Operation    string // prepare, start, started, stopped, release, migrate, restore, reconnect, attach
	SubOperation string // begin, end, -
}

// Listener reads pokes from a FIFO. What it says is safe for concurrent use.
type Listener struct {
	fifo   *os.File
	pokes  chan Poke
	lost   chan struct{}
	missed atomic.Uint64
}

// Listen makes the FIFO, which only its owner may write to, and opens it. One that an earlier daemon left is used again; another kind of
// file is replaced. The FIFO stays when the listener goes: without a reader it holds nothing. Errors: ErrListening.
func Listen(path string) (*Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("hooks: make directory of the pokes: %w", err)
	}
	if err := makeFIFO(path); err != nil {
		return nil, fmt.Errorf("hooks: make %s: %w", path, err)
	}
	// Open for writing too: reading then waits for the next writer where it would otherwise meet the end of the file.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("hooks: open pokes: %w", err)
	}
	if err := claim(f); err != nil {
		return nil, errors.Join(fmt.Errorf("hooks: %s: %w", path, err), f.Close())
	}
	return &Listener{fifo: f, pokes: make(chan Poke, pokeQueue), lost: make(chan struct{}, 1)}, nil
}

func makeFIFO(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode().Type() == fs.ModeNamedPipe:
		return os.Chmod(path, 0o600)
	case err == nil:
		if err := os.Remove(path); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return unix.Mkfifo(path, 0o600)
}

// claim takes the lock that keeps two daemons from stealing each other's pokes. It ends with the file descriptor (flock(2)).
func claim(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	if err := raw.Control(func(fd uintptr) { lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	if errors.Is(lockErr, unix.EWOULDBLOCK) {
		return ErrListening
	}
	return lockErr
}

// Pokes delivers what is heard. It is never closed.
func (l *Listener) Pokes() <-chan Poke { return l.pokes }

// Lost fires when something was said that Pokes does not deliver, because its reader was slow or the words made no sense: all domains
// are to be looked at.
func (l *Listener) Lost() <-chan struct{} { return l.lost }

// Missed counts the pokes that Pokes did not deliver.
func (l *Listener) Missed() uint64 { return l.missed.Load() }

// Run listens until ctx ends, and closes the FIFO. It may be called once.
func (l *Listener) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.fifo.Close() })
	defer func() {
		if stop() {
			_ = l.fifo.Close()
		}
	}()
	in := bufio.NewReaderSize(l.fifo, pokeLine)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			err = skipLine(in)
			l.miss()
		case err == nil:
			l.hear(line)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("hooks: read pokes: %w", err)
		}
	}
}

// skipLine reads on to the next line: a line that is too long must not spoil the one after it.
func skipLine(in *bufio.Reader) error {
	for {
		if _, err := in.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (l *Listener) hear(line []byte) {
	p, ok := parsePoke(line)
	if !ok {
		l.miss()
		return
	}
	select {
	case l.pokes <- p:
	default:
		l.miss()
	}
}

func (l *Listener) miss() {
	l.missed.Add(1)
	select {
	case l.lost <- struct{}{}:
	default:
	}
}

// parsePoke reads a line of three words with tabs between them; the first may hold spaces, as a domain's name may.
func parsePoke(line []byte) (Poke, bool) {
	text := string(bytes.TrimSuffix(line, []byte{'\n'}))
	words := strings.Split(text, "\t")
	if len(words) != 3 || words[0] == "" || !utf8.ValidString(text) {
		return Poke{}, false
	}
	for _, w := range words {
		if strings.ContainsFunc(w, unicode.IsControl) || strings.Contains(w, "/") {
			return Poke{}, false
		}
	}
	return Poke{Domain: words[0], Operation: words[1], SubOperation: words[2]}, true
}
