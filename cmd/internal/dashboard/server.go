package dashboard

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
	"github.com/virtsentry/virtsentry/cmd/internal/metrics"
)

// What a stranger may take of the daemon who can reach the port.
const (
	connectionsMost = 128
	headerBytes     = 16 << 10
	headerTimeout   = 5 * time.Second  // of TLS's handshake, too
	bodyTimeout     = 15 * time.Second // to send a request
	idleTimeout     = time.Minute
	// answerTimeout is how long an answer may take: to relearn takes some time. A stream of news sets itself another.
	answerTimeout = 2 * time.Minute
	shutdownTime  = 2 * time.Second
)

// Listen opens the port or the socket that the configuration names; nil where it names none. A file for TLS and basic auth that will not do is an
// error here already. The socket is for its owner and group.
func Listen(cfg config.Dashboard) (net.Listener, error) {
	if cfg.Listen == "" {
		return nil, nil
	}
	if err := web.Validate(cfg.WebConfig); err != nil {
		return nil, fmt.Errorf("dashboard.web_config: %s: %w", cfg.WebConfig, err)
	}
	path := cfg.Socket()
	if path == "" {
		l, err := net.Listen("tcp", cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("dashboard.listen: %w", err)
		}
		return netutil.LimitListener(l, connectionsMost), nil
	}
	l, err := control.ListenAs(path, "dashboard.listen")
	if err != nil {
		return nil, fmt.Errorf("dashboard.listen: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("dashboard.listen: set who may use the socket: %w", err), l.Close())
	}
	return netutil.LimitListener(l, connectionsMost), nil
}

// Serve shows the page on l until ctx ends, and closes l. The file for TLS and basic auth is read again for each connection.
func Serve(ctx context.Context, l net.Listener, cfg config.Dashboard, b control.Backend, log logrus.FieldLogger) error {
	to := metrics.Logger(log, "dashboard")
	streams, end := context.WithCancel(ctx)
	defer end()
	server := &http.Server{
		Handler: Handler(b, cfg), MaxHeaderBytes: headerBytes, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return streams },
		ErrorLog:    slog.NewLogLogger(to.Handler(), slog.LevelDebug), // whoever can reach the port can fill the log otherwise
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		stopped <- errors.Join(server.Shutdown(late), server.Close())
	})
	err := web.Serve(l, server, &web.FlagConfig{WebConfigFile: &cfg.WebConfig}, to)
	if stop() { // it did not end because of ctx
		err = fmt.Errorf("dashboard: serve: %w", err)
		if closing := l.Close(); !errors.Is(closing, net.ErrClosed) {
			err = errors.Join(err, closing)
		}
		return errors.Join(err, server.Close())
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("dashboard: shut down: %w", err)
	}
	return nil
}
