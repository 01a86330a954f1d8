package metrics

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// selector is a metric's name, and its label matchers, if any.
var selector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?`)

var (
	matcher  = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)`)
	calls    = regexp.MustCompile(`\b[a-z_]+\s*\(`)
	ranges   = regexp.MustCompile(`\[[^\]]*\]`)
)

// scraped are the labels that Prometheus adds, and that of a histogram's buckets.
var scraped = []string{"instance", "job", "le"}

// known finds the metric that a name in a query means. Those of the library are as good as their names.
func known(name string, library []string) (Family, bool) {
	for _, f := range All() {
		if f.Name == name && f.Kind != Histogram {
			return f, true
		}
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if f.Kind == Histogram && name == f.Name+suffix {
				return f, true
			}
		}
	}
	return Family{Name: name}, slices.Contains(library, name) || name == "up"
}

// checkQuery says what is wrong with the metrics, the labels and their values in a PromQL expression. Whether it is one at all is for promtool to say.
func checkQuery(expr string, library []string) error {
	left := expr
	var labels []string // that series are grouped by
	for _, m := range grouping.FindAllStringSubmatch(left, -1) {
		for l := range strings.SplitSeq(m[2], ",") {
			labels = append(labels, strings.TrimSpace(l))
		}
	}
	left = grouping.ReplaceAllString(left, " ")
	left = calls.ReplaceAllString(left, " ( ")
	left = ranges.ReplaceAllString(left, " ")
	used := slices.Clone(scraped)
	found := false
	for _, m := range selector.FindAllStringSubmatch(left, -1) {
		if slices.Contains([]string{"and", "or", "unless", "e"}, m[1]) {
			continue
		}
		f, ok := known(m[1], library)
		if !ok {
			return fmt.Errorf("there is no metric %s", m[1])
		}
		found = true
		used = append(used, f.labelNames()...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if err := checkMatcher(f, l[1], l[3]); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("there is no metric in it")
	}
	for _, l := range labels {
		if l != "" && !slices.Contains(used, l) {
			return fmt.Errorf("no metric in it has the label %s", l)
		}
	}
	return nil
}

func checkMatcher(f Family, label, value string) error {
	if slices.Contains(scraped, label) {
		return nil
	}
	i := slices.IndexFunc(f.Labels, func(l Label) bool { return l.Name == label })
	if i < 0 {
		return fmt.Errorf("%s has no label %s", f.Name, label)
	}
	if f.Labels[i].Values == nil {
		return nil
	}
	for v := range strings.SplitSeq(value, "|") {
		if !slices.Contains(f.Labels[i].Values, v) {
			return fmt.Errorf("%s{%s} is never %q", f.Name, label, v)
		}
	}
	return nil
}

func TestCheckQuery(t *testing.T) {
	library := []string{"go_goroutines"}
	for expr, complaint := range map[string]string{
		`virtsentry_domains > 0`: "",
		`sum by (state, instance) (rate(virtsentry_domain_state{state=~"blind|normal", instance=~"$x"}[5m]))`:                      "",
		`histogram_quantile(0.9, sum by (le) (rate(virtsentry_unit_verdict_seconds_bucket[$__rate_interval])))`:                    "",
		`(virtsentry_domain_state == 1) * on (instance, uuid) group_left (name) virtsentry_domain_info and on (job) go_goroutines`: "",
		`virtsentry_domain`:                                   "no metric virtsentry_domain",
		`go_gorutines`:                                        "no metric go_gorutines",
		`virtsentry_unit_verdict_seconds`:                     "no metric virtsentry_unit_verdict_seconds",
		`virtsentry_domain_state{kind="x"}`:                   "has no label kind",
		`virtsentry_domain_state{state="sad"}`:                `never "sad"`,
		`virtsentry_domain_state{state=~"normal|sad"}`:        `never "sad"`,
		`sum by (kind) (virtsentry_domain_state)`:             "the label kind",
		`virtsentry_domains * on (uuid) group_left (name) up`: "the label uuid",
		`1 > 0`: "no metric in it",
	} {
		err := checkQuery(expr, library)
		if complaint == "" && err != nil || complaint != "" && (err == nil || !strings.Contains(err.Error(), complaint)) {
			t.Errorf("%s: %v; want %q", expr, err, complaint)
		}
	}
}
