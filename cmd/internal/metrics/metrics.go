// Package metrics shows Prometheus what the daemon knows. Nearly all of it is read from the monitor's snapshots when Prometheus asks; of
// domains, series carry the UUID alone, and virtsentry_domain_info has the rest.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/monitor"
)

const (
	scrapesMost  = 4 // at a time
	scrapeLimit  = 10 * time.Second
	nativeFactor = 1.1 // between the bounds of a native histogram's buckets
	nativeMost   = 100 // of its buckets
)

// Monitor is what the metrics are read from.
type Monitor interface {
	Domains() []control.DomainStatus
	Totals() monitor.Totals
	HistoryStatus() control.HistoryStatus
}

// Metrics are those of one daemon. It is a [monitor.Meter], and safe for concurrent use.
type Metrics struct {
	registry  *prometheus.Registry
	verdicts  prometheus.Histogram
	trainings *prometheus.HistogramVec
}

// New returns the metrics of a monitor, and of this process.
func New(m Monitor) *Metrics {
	all := &Metrics{
		registry: prometheus.NewRegistry(), verdicts: prometheus.NewHistogram(verdictFamily.histogram()),
		trainings: prometheus.NewHistogramVec(trainingFamily.histogram(), trainingFamily.labelNames()),
	}
	for _, outcome := range monitor.TrainingOutcomes() {
		all.trainings.WithLabelValues(outcome) // they are there from the beginning, so that the first one is an increase
	}
	all.registry.MustRegister(newCollector(m), all.verdicts, all.trainings,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return all
}

// Verdict takes the time from the end of a unit until it was judged.
func (m *Metrics) Verdict(after time.Duration) { m.verdicts.Observe(after.Seconds()) }

// Training takes how long a training took, and what came of it: one of [monitor.TrainingOutcomes].
func (m *Metrics) Training(took time.Duration, outcome string) {
	m.trainings.WithLabelValues(outcome).Observe(took.Seconds())
}

// Handler answers GET /metrics.
func (m *Metrics) Handler(log logrus.FieldLogger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: log, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapesMost, Timeout: scrapeLimit,
	}))
	return mux
}
