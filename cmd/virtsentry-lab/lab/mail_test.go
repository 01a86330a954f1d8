package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/emulator"
)

// fakeMail answers SMTP and POP3 on one end of each connection as far as the
// client uses them, for as many mails as it has taken.
type fakeMail struct {
	refuse string // a command that is refused

	mu    sync.Mutex // guards all below
	mails []string
	heard map[string]int
}

func (f *fakeMail) dial(_ context.Context, _, addr string) (net.Conn, error) {
	here, there := net.Pipe()
	serve := f.pop3
	if strings.HasSuffix(addr, ":25") {
		serve = f.smtp
	}
	go func() {
		defer func() { _ = there.Close() }()
		serve(bufio.NewReader(there), func(s string) { _, _ = fmt.Fprintf(there, "%s\r\n", s) })
	}()
	return here, nil
}

// next reads a command and says whether to go on.
func (f *fakeMail) next(r *bufio.Reader) (string, bool) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", false
	}
	verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard[verb]++
	return verb, true
}

func (f *fakeMail) smtp(r *bufio.Reader, say func(string)) {
	say("220 here")
	for {
		verb, ok := f.next(r)
		switch {
		case !ok:
			return
		case verb == f.refuse:
			say("450 later")
		case verb == "DATA":
			say("354 go on")
			var text strings.Builder
			for !strings.HasSuffix(text.String(), "\r\n.\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				text.WriteString(line)
			}
			f.mu.Lock()
			f.mails = append(f.mails, text.String())
			f.mu.Unlock()
			say("250 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (f *fakeMail) pop3(r *bufio.Reader, say func(string)) {
	say("+OK here")
	for {
		verb, ok := f.next(r)
		f.mu.Lock()
		mails := f.mails
		f.mu.Unlock()
		switch {
		case !ok:
			return
		case verb == f.refuse:
			say("-ERR no")
		case verb == "STAT":
			say(fmt.Sprintf("+OK %d 1000", len(mails)))
		case verb == "RETR":
			say("+OK\r\n" + strings.TrimSuffix(mails[0], "\r\n"))
		case verb == "QUIT":
			say("+OK bye")
			return
		default:
			say("+OK")
		}
	}
}

func TestMailClient(t *testing.T) {
	f := &fakeMail{heard: make(map[string]int)}
	c := &mailClient{host: "10.77.0.10", dial: f.dial, rng: rand.New(rand.NewPCG(1, 1))}
	kinds := make(map[string]int)
	for range 100 {
		kind, err := c.Request(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		kinds[kind]++
	}
	c.Leave()
	if kinds["send"]+kinds["fetch"] != 100 || kinds["fetch"] < 25 || len(f.mails) != kinds["send"] {
		t.Errorf("%v with %d mails: want both kinds, a mail for each sent", kinds, len(f.mails))
	}
	if f.heard["STAT"] != kinds["fetch"] || f.heard["RETR"] == 0 || f.heard["RETR"] != f.heard["DELE"] || f.heard["RETR"] > 10*kinds["fetch"] {
		t.Errorf("commands %v: want at most ten mails fetched each time, and all of them deleted", f.heard)
	}
	for _, m := range f.mails {
		if len(m) > 66<<10 || !strings.Contains(m, "@lab.test\r\nSubject: ") {
			t.Fatalf("a mail of %d bytes begins %.80q", len(m), m)
		}
	}
}

func TestMailClientNamesRefusals(t *testing.T) {
	for refuse, want := range map[string]string{"RCPT": "smtp 450", "PASS": "pop3 refused PASS"} {
		f := &fakeMail{refuse: refuse, heard: make(map[string]int)}
		c := &mailClient{host: "10.77.0.10", dial: f.dial, rng: rand.New(rand.NewPCG(1, 1))}
		var refused emulator.Failure
		for range 30 {
			if _, err := c.Request(t.Context()); err != nil && !errors.As(err, &refused) {
				t.Errorf("%s refused: %v", refuse, err)
			}
		}
		if string(refused) != want {
			t.Errorf("%s refused: counted as %q, want %q", refuse, refused, want)
		}
	}
}

func TestMailClientEndsWithItsContext(t *testing.T) {
	mute := func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { _ = there.Close() })
		return here, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c := &mailClient{host: "10.77.0.10", dial: mute, rng: rand.New(rand.NewPCG(1, 1))}
	if kind, err := c.Request(ctx); err == nil {
		t.Errorf("%s of a server that says nothing was answered", kind)
	}
}
