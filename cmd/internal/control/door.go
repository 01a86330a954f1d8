package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// Limits of who comes to the control socket.
const (
	maxConnections = 256              // of those who may use it, at once
	maxRefusals    = 16               // connections that are told why they are refused, at once; those beyond are not told
	refusalTime    = time.Second      // for one of these
	refusalPause   = 10 * time.Second // between two lines of the log about them
	maxHeader      = 16 << 10         // bytes of a request's header, some
	idleTime       = time.Minute      // of a connection between two requests
	bodyTime       = 30 * time.Second // that a request's body may take
)

// door lets in root and the daemon's own user, whatever the mode of the socket is, and each only so often at once. Nothing that others send is parsed.
// A door is closed, and then waited for.
type door struct {
	net.Listener
	log      logrus.FieldLogger
	peer     func(net.Conn) (*unix.Ucred, error) // peerOf
	open     atomic.Int64
	refusing chan struct{} // holds one for each that is being refused
	refused  sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	logged time.Time  // when the log was last told
	more   int        // were refused since
}

func newDoor(l net.Listener, log logrus.FieldLogger) *door {
	return &door{Listener: l, log: log, peer: peerOf, refusing: make(chan struct{}, maxRefusals)}
}

// Accept waits for somebody who may come in.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := d.peer(conn)
		switch {
		case err != nil:
			d.refuse(conn, http.StatusForbidden, ErrDenied, logrus.Fields{logrus.ErrorKey: err})
		case peer.Uid != 0 && int(peer.Uid) != os.Geteuid():
			d.refuse(conn, http.StatusForbidden, ErrDenied, logrus.Fields{"uid": peer.Uid, "pid": peer.Pid})
		case d.open.Add(1) > maxConnections:
			d.open.Add(-1)
			d.refuse(conn, http.StatusServiceUnavailable, errCrowded, logrus.Fields{"uid": peer.Uid, "pid": peer.Pid})
		default:
			return &visitor{Conn: conn, leave: sync.OnceFunc(func() { d.open.Add(-1) })}, nil
		}
	}
}

var errCrowded = fmt.Errorf("more than %d connections to the control socket", maxConnections)

// visitor is a connection of somebody who was let in.
type visitor struct {
	net.Conn
	leave func()
}

// Close ends the connection.
func (v *visitor) Close() error {
	v.leave()
	return v.Conn.Close()
}

// CloseWrite says that nothing more will be written.
func (v *visitor) CloseWrite() error { return closeWrite(v.Conn) }

func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// refuse says on the connection why it is of no use, and in the log who it was.
func (d *door) refuse(conn net.Conn, status int, why error, who logrus.Fields) {
	d.note(why, who)
	select {
	case d.refusing <- struct{}{}:
	default:
		_ = conn.Close()
		return
	}
	d.refused.Go(func() {
		defer func() { _ = conn.Close(); <-d.refusing }()
		tell(conn, status, why)
	})
}

// tell answers whatever is asked. A client takes no answer before it has asked, and loses it when what it sends is not read.
func tell(conn net.Conn, status int, why error) {
	_ = conn.SetDeadline(time.Now().Add(refusalTime))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return
	}
	text, err := json.Marshal(failure{why.Error()})
	if err != nil {
		return
	}
	_, err = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(text), text)
	if errors.Join(err, closeWrite(conn)) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxHeader+maxBody))
	}
}

// note logs who was refused, but a stranger who comes again and again does not fill the log.
func (d *door) note(why error, who logrus.Fields) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.logged.IsZero() && time.Since(d.logged) < refusalPause {
		d.more++
		return
	}
	if d.more > 0 {
		who["more"] = d.more
	}
	d.log.WithFields(who).Warnf("control: refused a connection: %v", why)
	d.logged, d.more = time.Now(), 0
}

// peerOf reads who is at the other end of a UNIX connection (unix(7), SO_PEERCRED).
func peerOf(conn net.Conn) (cred *unix.Ucred, err error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not a UNIX connection")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	ctlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(err, ctlErr)
}

// slowly gives a request's body so much time, and then reads it. Behind it the connection has no limit: a stream may last.
func slowly(w http.ResponseWriter, read func() error) error {
	steer := http.NewResponseController(w)
	_ = steer.SetReadDeadline(time.Now().Add(bodyTime)) // not all writers can, such as that of a test
	defer func() { _ = steer.SetReadDeadline(time.Time{}) }()
	return read()
}
