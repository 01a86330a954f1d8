package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"github.com/sirupsen/logrus"
	"golang.org/x/net/netutil"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// What a stranger may take of the daemon who can reach the port.
const (
	connectionsMost = 32
	headerBytes     = 16 << 10
	headerTimeout   = 5 * time.Second // of TLS's handshake, too
	requestTimeout  = 15 * time.Second
	idleTimeout     = time.Minute
)

// shutdownTime is how long an answer may still take when the daemon ends.
const shutdownTime = 2 * time.Second

// Listen opens the port or the socket that the configuration names; nil where it names none. A file for TLS and basic auth that will not do is an
// error here already. The socket is for its owner and group.
func Listen(cfg config.Metrics) (net.Listener, error) {
	if cfg.Listen == "" {
		return nil, nil
	}
	if err := web.Validate(cfg.WebConfig); err != nil {
		return nil, fmt.Errorf("metrics.web_config: %s: %w", cfg.WebConfig, err)
	}
	path := cfg.Socket()
	if path == "" {
		l, err := net.Listen("tcp", cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("metrics.listen: %w", err)
		}
		return netutil.LimitListener(l, connectionsMost), nil
	}
	l, err := control.ListenAs(path, "metrics.listen")
	if err != nil {
		return nil, fmt.Errorf("metrics.listen: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("metrics.listen: set who may use the socket: %w", err), l.Close())
	}
	return netutil.LimitListener(l, connectionsMost), nil
}

// Serve answers on l until ctx ends, and closes l. The file for TLS and basic auth is read again for each connection.
func Serve(ctx context.Context, l net.Listener, cfg config.Metrics, handler http.Handler, log logrus.FieldLogger) error {
	to := Logger(log, "metrics")
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: headerBytes, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(to.Handler(), slog.LevelDebug), // whoever can reach the port can fill the log otherwise
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		stopped <- errors.Join(server.Shutdown(late), server.Close())
	})
	err := web.Serve(l, server, &web.FlagConfig{WebConfigFile: &cfg.WebConfig}, to)
	if stop() { // it did not end because of ctx
		return errors.Join(fmt.Errorf("metrics: serve: %w", err), server.Close(), ignoreClosed(l.Close()))
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("metrics: shut down: %w", err)
	}
	return nil
}

// ignoreClosed is nil for the error of closing what is closed.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
