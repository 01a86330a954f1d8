package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	maxBody       = 4 << 10
	headerTimeout = 5 * time.Second
	shutdownTime  = 2 * time.Second
)

// Listen makes the control socket, readable and writable by its owner alone. A socket that a dead daemon left behind is replaced; one that
// answers is not, nor is anything else.
func Listen(path string) (net.Listener, error) { return ListenAs(path, "control.socket") }

// ListenAs is Listen for another socket of the daemon, whose path is the value of a key of the configuration: errors name it.
func ListenAs(path, key string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control: make directory of the socket: %w", err)
	}
	if err := checkSocket(path, key); err != nil {
		return nil, err
	}
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("control: %s: another daemon answers there (one daemon a socket: set %s)", path, key)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control: remove stale socket: %w", err)
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control: listen: %w", err)
	}
	return l, nil
}

// checkSocket refuses what must not be replaced by a socket.
func checkSocket(path, key string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("control: look at the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("control: %s is there already and no socket: not replaced (%s must name a path for a socket)", path, key)
	}
	return nil
}

// Serve answers requests of root and of the daemon's own user on l until ctx ends, and closes l. Others are refused, and logged.
func Serve(ctx context.Context, l net.Listener, b Backend, log logrus.FieldLogger) error {
	server := &http.Server{
		Handler:           routes(b),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	guarded := newDoor(l, log)
	defer guarded.refused.Wait()
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		// The server's own context is over already: what is left gets a moment of its own.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		stopped <- errors.Join(server.Shutdown(late), server.Close())
	})
	err := server.Serve(guarded)
	if stop() { // it did not end because of ctx
		return fmt.Errorf("control: serve: %w", err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("control: shut down: %w", err)
	}
	return nil
}

func routes(b Backend) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/daemon", func(w http.ResponseWriter, _ *http.Request) {
		d, err := thisDaemon()
		reply(w, d, err)
	})
	mux.HandleFunc("GET /v1/domains", func(w http.ResponseWriter, _ *http.Request) { reply(w, b.Domains(), nil) })
	mux.HandleFunc("GET /v1/domains/{ref}", func(w http.ResponseWriter, r *http.Request) {
		d, err := b.Domain(r.PathValue("ref"))
		reply(w, d, err)
	})
	mux.HandleFunc("POST /v1/domains/{ref}/learn", func(w http.ResponseWriter, r *http.Request) {
		var request LearnRequest
		if decode(w, r, &request) {
			reply(w, struct{}{}, b.Learn(r.PathValue("ref"), request.Units))
		}
	})
	mux.HandleFunc("POST /v1/domains/{ref}/relearn", func(w http.ResponseWriter, r *http.Request) {
		var request RelearnRequest
		if decode(w, r, &request) {
			p, err := b.Relearn(r.PathValue("ref"), request)
			reply(w, p, err)
		}
	})
	mux.HandleFunc("POST /v1/domains/{ref}/record", func(w http.ResponseWriter, r *http.Request) {
		var request RecordRequest
		if decode(w, r, &request) {
			record(w, r, b, request)
		}
	})
	routeProfiles(mux, b)
	routeIncidents(mux, b)
	routeTimelines(mux, b)
	routeActions(mux, b)
	mux.HandleFunc("GET /v1/units", func(w http.ResponseWriter, r *http.Request) { stream(w, r, b) })
	return mux
}

// stream writes a JSON object a line for every unit, until the client or the daemon goes.
func stream(w http.ResponseWriter, r *http.Request, b Backend) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	units := b.Subscribe(r.Context())
	_ = flush.Flush()
	encoder := json.NewEncoder(w)
	for u := range units {
		if encoder.Encode(u) != nil || flush.Flush() != nil {
			return
		}
	}
}

// decode reads a request's body; where that fails, it answers, and says false.
func decode(w http.ResponseWriter, r *http.Request, request any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := slowly(w, func() error { return decoder.Decode(request) })
	if err != nil {
		reply(w, nil, fmt.Errorf("%w: %w", ErrRefused, err))
	}
	return err == nil
}

// failure is the body of an answer that is not 200.
type failure struct {
	Error string `json:"error"`
}

func reply(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case errors.Is(err, ErrNoProfile):
		w.WriteHeader(http.StatusGone)
	case errors.Is(err, ErrNoIncident):
		w.WriteHeader(http.StatusUnprocessableEntity)
	case errors.Is(err, ErrNoAction):
		w.WriteHeader(http.StatusPreconditionFailed)
	case errors.Is(err, ErrNoDomain):
		w.WriteHeader(http.StatusNotFound)
	case errors.Is(err, ErrRefused):
		w.WriteHeader(http.StatusConflict)
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
	}
	if err != nil {
		v = failure{err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // an error here is the client's, who has gone
}
