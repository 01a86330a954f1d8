package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// everydayHost is what a server has around it, on the bridge's own address: a
// repository of packages, a place for backups, and a listener for its log.
type everydayHost struct {
	httpPort, logPort int
	backups           atomic.Int64 // bytes that were taken
	stop              func()       // ends it and waits for that
}

// serveEveryday serves the packages in dir, takes and drops backups, and
// hands each datagram that comes in to hear, one at a time.
func (l *Lab) serveEveryday(dir string, hear func(line string)) (*everydayHost, error) {
	var ln net.Listener
	var ear net.PacketConn
	err := l.inside(func() (err error) {
		if ln, err = net.Listen("tcp4", net.JoinHostPort(HostAddr.String(), "0")); err != nil {
			return err
		}
		if ear, err = net.ListenPacket("udp4", net.JoinHostPort(HostAddr.String(), "0")); err != nil {
			return errors.Join(err, ln.Close())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("serve packages and backups: %w", err)
	}
	h := new(everydayHost)
	h.httpPort, h.logPort = ln.Addr().(*net.TCPAddr).Port, ear.LocalAddr().(*net.UDPAddr).Port
	srv := &http.Server{Handler: h.handler(dir), ReadHeaderTimeout: time.Minute, ReadTimeout: 10 * time.Minute, MaxHeaderBytes: 1 << 16}
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) }) // both return when closed
	running.Go(func() { listenTo(ear, hear) })
	h.stop = func() {
		_, _ = srv.Close(), ear.Close()
		running.Wait()
	}
	return h, nil
}

func (h *everydayHost) handler(dir string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /packages/", http.StripPrefix("/packages/", http.FileServer(http.Dir(dir))))
	mux.HandleFunc("PUT /backup/", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<30))
		h.backups.Add(n)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	return mux
}

func listenTo(ear net.PacketConn, hear func(string)) {
	buf := make([]byte, 1500)
	for {
		n, _, err := ear.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			hear(string(buf[:n]))
		}
	}
}
