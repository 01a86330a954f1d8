package main

import (
	"context"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/metrics"
	"github.com/virtsentry/virtsentry/cmd/internal/monitor"
)

// export shows Prometheus the monitor's metrics until ctx ends, where the configuration wants that; the channel is closed then. It is called before
// the monitor runs.
func export(ctx context.Context, cfg config.Metrics, m *monitor.Monitor, log *logrus.Logger) (<-chan struct{}, error) {
	ended := make(chan struct{})
	l, err := metrics.Listen(cfg)
	if err != nil || l == nil {
		close(ended)
		return ended, err
	}
	all := metrics.New(m)
	m.Measure(all)
	log.WithFields(logrus.Fields{"listen": cfg.Listen, "web_config": cfg.WebConfig}).Info("metrics are shown")
	go func() {
		defer close(ended)
		// Domains are watched on without it; Prometheus sees that nobody answers.
		if err := metrics.Serve(ctx, l, cfg, all.Handler(log), log); err != nil {
			log.WithError(err).Error("metrics are not shown any more")
		}
	}()
	return ended, nil
}
