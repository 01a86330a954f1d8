package metrics

import (
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/monitor"
)

// total is one snapshot of the daemon.
type total struct {
	monitor.Totals
	domains int
	history control.HistoryStatus
}

// totalFamily is a metric of the daemon itself; it has one series.
type totalFamily struct {
	Family
	read func(total) float64
}

var totals = []totalFamily{
	{
		Family{Name: "virtsentry_domains", Kind: Gauge, Help: "Running domains that the daemon knows, those that are not to be watched included."},
		func(t total) float64 { return float64(t.domains) },
	},
	{
		Family{Name: "virtsentry_libvirt_connected", Kind: Gauge, Help: "1 while the daemon is connected to libvirt, 0 otherwise. Domains are watched on without, and their state is not recorded."},
		func(t total) float64 { return truth(t.Connected) },
	},
	{
		Family{Name: "virtsentry_libvirt_connections_total", Kind: Counter, Help: "Connections to libvirt that were made; all but the first are reconnections."},
		func(t total) float64 { return float64(t.Connections) },
	},
	{
		Family{Name: "virtsentry_buffer_bytes", Kind: Gauge, Help: "Memory of the ring buffers of all domains."},
		func(t total) float64 { return float64(t.BufferBytes) },
	},
	{
		Family{Name: "virtsentry_buffer_limit_bytes", Kind: Gauge, Help: "Memory that the ring buffers of all domains may take: lttng.total_buffer_bytes of the configuration."},
		func(t total) float64 { return float64(t.BufferLimit) },
	},
	{
		Family{Name: "virtsentry_history_up", Kind: Gauge, Help: "1 while incidents can be written into history.file, 0 otherwise: then they are kept in memory."},
		func(t total) float64 { return truth(t.history.Error == "") },
	},
	{
		Family{Name: "virtsentry_history_bytes", Kind: Gauge, Help: "Size of history.file with its write-ahead log, when it was last written to; 0 before that."},
		func(t total) float64 { return float64(t.history.Bytes) },
	},
	{
		Family{Name: "virtsentry_history_waiting_incidents", Kind: Gauge, Help: "Incidents with news that are not on disk yet."},
		func(t total) float64 { return float64(t.history.Waiting) },
	},
	{
		Family{Name: "virtsentry_history_units_dropped_total", Kind: Counter, Help: "Units around incidents that were not kept, as too many waited to be written."},
		func(t total) float64 { return float64(t.history.Dropped) },
	},
	{
		Family{Name: "virtsentry_history_failures_total", Kind: Counter, Help: "Tries to write into history.file that failed."},
		func(t total) float64 { return float64(t.history.Failures) },
	},
	{
		Family{Name: "virtsentry_history_last_failure_timestamp_seconds", Kind: Gauge, Help: "When one last did; 0: none has since the daemon began."},
		func(t total) float64 {
			if t.history.Failed.IsZero() {
				return 0
			}
			return seconds(t.history.Failed)
		},
	},
}

// verdictFamily has no UUID: a histogram for each domain is more than anybody looks at.
var verdictFamily = Family{
	Name: "virtsentry_unit_verdict_seconds", Kind: Histogram,
	Help:    "Time from the end of a unit until it was judged, of all domains.",
	Buckets: []float64{0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 30, 60},
}

var trainingFamily = Family{
	Name: "virtsentry_training_seconds", Kind: Histogram,
	Help:    "Time that trainings of a profile took, by what came of them.",
	Labels:  []Label{{Name: "outcome", Values: monitor.TrainingOutcomes()}},
	Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300},
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
