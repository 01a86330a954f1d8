package main

import (
	"context"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/dashboard"
)

// board shows the page for browsers until ctx ends, where the configuration wants that; the channel is closed then.
func board(ctx context.Context, cfg config.Dashboard, b control.Backend, log *logrus.Logger) (<-chan struct{}, error) {
	ended := make(chan struct{})
	l, err := dashboard.Listen(cfg)
	if err != nil || l == nil {
		close(ended)
		return ended, err
	}
	log.WithFields(logrus.Fields{"listen": cfg.Listen, "web_config": cfg.WebConfig, "changes": cfg.Changes()}).Info("the dashboard is shown")
	go func() {
		defer close(ended)
		// Domains are watched on without it; a browser sees that nobody answers.
		if err := dashboard.Serve(ctx, l, cfg, b, log); err != nil {
			log.WithError(err).Error("the dashboard is not shown any more")
		}
	}()
	return ended, nil
}
