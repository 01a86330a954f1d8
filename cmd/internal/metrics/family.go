package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Kind is the type of a metric.
type Kind string

// The kinds of metrics.
const (
	Gauge     Kind = "gauge"
	Counter   Kind = "counter"
	Histogram Kind = "histogram"
)

// Label tells the series of a family apart.
type Label struct {
	Name   string
	Values []string // that there may be; nil: no closed list
	Words  string   // where there is no list: what it is
}

// Family is a metric: all the series of one name.
type Family struct {
	Name    string
	Kind    Kind
	Help    string
	Labels  []Label
	Buckets []float64 // upper bounds of a histogram's, seconds
}

// All lists the metrics of this package: those of the daemon, then those of each domain.
func All() []Family {
	var all []Family
	for _, f := range totals {
		all = append(all, f.Family)
	}
	all = append(all, verdictFamily, trainingFamily)
	for _, f := range domains {
		all = append(all, f.Family)
	}
	return all
}

func (f Family) labelNames() []string {
	var names []string
	for _, l := range f.Labels {
		names = append(names, l.Name)
	}
	return names
}

func (f Family) desc() *prometheus.Desc {
	return prometheus.NewDesc(f.Name, f.Help, f.labelNames(), nil)
}

// histogram is both a native one and one with buckets of its own: which of them Prometheus takes is its own choice.
func (f Family) histogram() prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: f.Name, Help: f.Help, Buckets: f.Buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeMost, NativeHistogramMinResetDuration: time.Hour,
	}
}

func (f Family) valueType() prometheus.ValueType {
	if f.Kind == Counter {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}
