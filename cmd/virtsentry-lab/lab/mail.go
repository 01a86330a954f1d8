package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/emulator"
)

// mailUsers is how many mailboxes there are: user1 and so on.
const mailUsers = 20

// mailSetup starts the image's mail servers, and ends the web site and its
// data base. That postfix@- runs is otherwise the business of a generator, of
// which the image has none.
var mailSetup = fmt.Sprintf(`
systemctl disable --now apache2.service mariadb.service
for i in $(seq %d); do
	id user$i >/dev/null 2>&1 || useradd -m user$i
done
systemctl add-wants multi-user.target postfix@-.service dovecot.service
systemctl start postfix@-.service dovecot.service`, mailUsers)

func mailAnswers(ctx context.Context, l *Lab, g GuestDef) error {
	c := newMailClient(l, g, nil)
	for _, port := range []string{"25", "110"} {
		err := c.converse(ctx, port, func(conn net.Conn) error {
			_, err := textproto.NewConn(conn).ReadLine()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func mailLoad(ctx context.Context, l *Lab, g GuestDef, cfg emulator.Config, report func(emulator.Stats)) (emulator.Stats, error) {
	return emulator.RunClients(ctx, cfg, func(rng *rand.Rand) emulator.Client { return newMailClient(l, g, rng) }, report)
}

// mailClient sends mails by SMTP and fetches some by POP3, each over a
// connection of its own.
type mailClient struct {
	host string
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	rng  *rand.Rand
}

func newMailClient(l *Lab, g GuestDef, rng *rand.Rand) *mailClient {
	return &mailClient{host: g.Addr.String(), dial: l.DialContext, rng: rng}
}

// Leave implements [emulator.Client].
func (c *mailClient) Leave() {}

// Request implements [emulator.Client]: somewhat more mails are sent than
// mailboxes looked into.
func (c *mailClient) Request(ctx context.Context) (kind string, err error) {
	user := fmt.Sprintf("user%d", 1+c.rng.IntN(mailUsers))
	if c.rng.IntN(100) < 60 {
		kind, err = "send", c.converse(ctx, "25", func(conn net.Conn) error { return c.send(conn, user) })
	} else {
		kind, err = "fetch", c.converse(ctx, "110", func(conn net.Conn) error { return fetch(textproto.NewConn(conn), user) })
	}
	var refused *textproto.Error
	if errors.As(err, &refused) {
		err = emulator.Failure(fmt.Sprintf("smtp %d", refused.Code))
	}
	return kind, err
}

// converse connects and talks, for no longer than ctx lasts.
func (c *mailClient) converse(ctx context.Context, port string, talk func(net.Conn) error) error {
	conn, err := c.dial(ctx, "tcp", net.JoinHostPort(c.host, port))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return talk(conn)
}

func (c *mailClient) send(conn net.Conn, to string) error {
	s, err := smtp.NewClient(conn, c.host)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Hello("client.lab.test"), s.Mail("someone@lab.test"), s.Rcpt(to+"@lab.test")); err != nil {
		return err
	}
	w, err := s.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, c.letter(to)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return s.Quit()
}

// letter writes a mail of log-normal size: half of them are shorter than
// 1.5 KB, few longer than 20 KB, none than 64 KB.
func (c *mailClient) letter(to string) string {
	size := min(64<<10, int(1500*math.Exp(1.2*c.rng.NormFloat64())))
	var b strings.Builder
	fmt.Fprintf(&b, "From: someone@lab.test\r\nTo: %s@lab.test\r\nSubject: %d\r\n\r\n", to, c.rng.Uint32())
	for b.Len() < size {
		for range 10 {
			fmt.Fprintf(&b, "%06x ", c.rng.IntN(1<<24))
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// fetch reads and deletes at most ten mails of a user (RFC 1939).
func fetch(conn *textproto.Conn, user string) error {
	if _, err := pop3(conn, ""); err != nil { // its greeting
		return err
	}
	for _, line := range []string{"USER " + user, "PASS gavel"} {
		if _, err := pop3(conn, line); err != nil {
			return err
		}
	}
	answer, err := pop3(conn, "STAT")
	if err != nil {
		return err
	}
	var count int
	if _, err := fmt.Sscan(answer, &count); err != nil {
		return fmt.Errorf("answer %q to STAT: %w", answer, err)
	}
	for i := 1; i <= min(count, 10); i++ {
		if _, err := pop3(conn, fmt.Sprintf("RETR %d", i)); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, conn.DotReader()); err != nil {
			return err
		}
		if _, err := pop3(conn, fmt.Sprintf("DELE %d", i)); err != nil {
			return err
		}
	}
	_, err = pop3(conn, "QUIT")
	return err
}

// pop3 sends a line, unless it is empty, and returns what follows +OK.
func pop3(conn *textproto.Conn, line string) (string, error) {
	if line != "" {
		if err := conn.PrintfLine("%s", line); err != nil {
			return "", err
		}
	}
	answer, err := conn.ReadLine()
	if err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(answer, "+OK")
	if !ok {
		verb, _, _ := strings.Cut(line, " ")
		return "", emulator.Failure(strings.TrimSpace("pop3 refused " + verb))
	}
	return rest, nil
}
