package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the monitor's snapshots. It is a prometheus.Collector.
type collector struct {
	monitor Monitor
	totals  []*prometheus.Desc // in the order of the tables
	domains []*prometheus.Desc
}

func newCollector(m Monitor) *collector {
	c := &collector{monitor: m}
	for _, f := range totals {
		c.totals = append(c.totals, f.desc())
	}
	for _, f := range domains {
		c.domains = append(c.domains, f.desc())
	}
	return c
}

// Describe lists all that there may be.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.totals {
		out <- d
	}
	for _, d := range c.domains {
		out <- d
	}
}

// Collect reads one snapshot of each domain, and makes all of its series of that.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	list := c.monitor.Domains()
	t := total{c.monitor.Totals(), len(list), c.monitor.HistoryStatus()}
	for i, f := range totals {
		out <- prometheus.MustNewConstMetric(c.totals[i], f.valueType(), f.read(t))
	}
	for _, d := range list {
		uuid := valid(d.UUID)
		for i, f := range domains {
			f.read(d, func(value float64, labels ...string) {
				values := []string{uuid}
				for _, l := range labels {
					values = append(values, valid(l))
				}
				out <- prometheus.MustNewConstMetric(c.domains[i], f.valueType(), value, values...)
			})
		}
	}
}

// valid is a text as Prometheus takes one: it refuses a whole scrape in which something is not UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
