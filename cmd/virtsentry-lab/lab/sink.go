package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serveSink serves, on the bridge's own address, what a guest attacks: pages
// for everybody and an area behind HTTP basic authentication that lets nobody
// in. Stop ends it and waits for that.
func (l *Lab) serveSink(ctx context.Context) (stop func(), err error) {
	var ln net.Listener
	err = l.inside(func() (err error) {
		// Several attacks may run at once, each with a sink of its own.
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var soErr error
			err := c.Control(func(fd uintptr) {
				soErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			})
			return errors.Join(err, soErr)
		}}
		ln, err = lc.Listen(ctx, "tcp4", net.JoinHostPort(HostAddr.String(), "80"))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve the attacked host: %w", err)
	}
	srv := &http.Server{Handler: sinkHandler(), ReadHeaderTimeout: time.Minute, ReadTimeout: 10 * time.Minute, MaxHeaderBytes: 1 << 16}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln) // returns when closed
	}()
	return func() {
		_ = srv.Close()
		<-done
	}, nil
}

func sinkHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/private/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
		http.Error(w, "authorization required", http.StatusUnauthorized)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<20))
		_, _ = io.WriteString(w, "a page of the lab's host\n")
	})
	return mux
}
