package metrics

import (
	"fmt"
	"strings"
)

const referenceHead = `# Metrics

All that ` + "`virtsentryd`" + ` shows Prometheus, at ` + "`/metrics`" + ` of ` + "`metrics.listen`" + `. This page is made from the code
(` + "`go run ./cmd/internal/metrics/reference packaging/METRICS.md`" + `); ` + "`make fresh`" + ` says when it is old.

The alert rules and the dashboard in ` + "`packaging/prometheus`" + ` are for a scrape job of this name:

    scrape_configs:
      - job_name: virtsentry
        scheme: https
        tls_config: { ca_file: /etc/prometheus/virtsentry.crt }
        basic_auth: { username: prometheus, password_file: /etc/prometheus/virtsentry.password }
        static_configs: [ { targets: [ "192.0.2.1:9889" ] } ]

Series of domains carry the domain's UUID and nothing else of it. Join its name from ` + "`virtsentry_domain_info`" + `:

    (virtsentry_domain_state{state="anomalous"} == 1) * on (instance, uuid) group_left (name) virtsentry_domain_info

A domain that does not run has no series. Its counters begin at 0 each time its QEMU or the daemon begins anew, which ` + "`rate()` and `increase()`" + ` know
how to read. Labels take their values from the lists below, so that a domain has no more than %d series.

Beside these there are ` + "`process_*` and `go_*`" + ` of Prometheus' own library: what the daemon itself costs. Of these,
` + "`process_cpu_seconds_total`, `process_resident_memory_bytes` and `process_open_fds`" + ` are worth watching; LTTng's daemons, QEMU and
` + "`virtsentry-probe`" + ` are processes of their own and not in it.
`

// Reference is the page that describes all metrics, Markdown.
func Reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, referenceHead, SeriesOfDomain())
	var host, domain []Family
	for _, f := range All() {
		if f.ofDomain() {
			domain = append(domain, f)
		} else {
			host = append(host, f)
		}
	}
	table(&b, "The daemon", host)
	table(&b, "Each domain", domain)
	b.WriteString("\n## Labels\n\n| Label | Values |\n|---|---|\n")
	seen := map[string]bool{}
	for _, f := range All() {
		for _, l := range f.Labels {
			if row := fmt.Sprintf("| `%s` | %s |\n", l.Name, l.values()); !seen[row] {
				seen[row] = true
				b.WriteString(row)
			}
		}
	}
	return b.String()
}

func table(b *strings.Builder, title string, list []Family) {
	fmt.Fprintf(b, "\n## %s\n\n| Metric | Type | Labels | |\n|---|---|---|---|\n", title)
	for _, f := range list {
		var labels []string
		for _, name := range f.labelNames() {
			if name != "uuid" {
				labels = append(labels, "`"+name+"`")
			}
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, strings.Join(labels, ", "), f.Help)
	}
}

func (f Family) ofDomain() bool { return len(f.Labels) > 0 && f.Labels[0].Name == "uuid" }

// SeriesOfDomain is how many series a domain has at most. A label without a closed list has one value at a time, and so has the reason of a state.
func SeriesOfDomain() int {
	n := 0
	for _, f := range All() {
		if !f.ofDomain() {
			continue
		}
		series := 1
		for _, l := range f.Labels {
			if f.Name != "virtsentry_domain_info" && f.Name != "virtsentry_domain_reason" {
				series *= max(1, len(l.Values))
			}
		}
		n += series
	}
	return n
}

func (l Label) values() string {
	if l.Values == nil {
		return l.Words
	}
	var quoted []string
	for _, v := range l.Values {
		quoted = append(quoted, "`"+v+"`")
	}
	return strings.Join(quoted, ", ")
}
