package metrics

import (
	"context"
	"log/slog"

	"github.com/sirupsen/logrus"
)

// Logger lets a library that logs by slog write into the daemon's log, as a component of it.
func Logger(log logrus.FieldLogger, component string) *slog.Logger {
	return slog.New(&bridge{log: log.WithField("component", component)})
}

// bridge lets a library that logs by slog write into the daemon's log.
type bridge struct {
	log    logrus.FieldLogger
	prefix string // of the names of fields: the groups
}

// Enabled leaves it to the daemon's log.
func (b *bridge) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a record.
func (b *bridge) Handle(_ context.Context, r slog.Record) error {
	entry := b.log.WithFields(nil)
	r.Attrs(func(a slog.Attr) bool {
		entry = entry.WithField(b.prefix+a.Key, a.Value.Resolve().Any())
		return true
	})
	switch {
	case r.Level >= slog.LevelError:
		entry.Error(r.Message)
	case r.Level >= slog.LevelWarn:
		entry.Warn(r.Message)
	default: // that it listens, and how, is said by whoever made it listen
		entry.Debug(r.Message)
	}
	return nil
}

// WithAttrs adds fields to all records.
func (b *bridge) WithAttrs(list []slog.Attr) slog.Handler {
	log := b.log
	for _, a := range list {
		log = log.WithField(b.prefix+a.Key, a.Value.Resolve().Any())
	}
	return &bridge{log: log, prefix: b.prefix}
}

// WithGroup puts a name before those of fields.
func (b *bridge) WithGroup(name string) slog.Handler {
	return &bridge{log: b.log, prefix: b.prefix + name + "."}
}
