//go:build integration

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// metrics are the series that the daemon shows on its socket, with their values.
func (s *stack) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.file("metrics.sock"))
	}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("http://daemon/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	all := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if strings.HasPrefix(lines.Text(), "#") || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all[lines.Text()[:at]] = value
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *stack) testMetrics(t *testing.T) {
	s.web.judged(t)
	before, _ := s.web.status(t)
	all := s.metrics(t)
	after, _ := s.web.status(t)
	of := func(name, labels string) float64 {
		series := fmt.Sprintf("virtsentry_domain_%s{%suuid=%q}", name, labels, s.web.uuid)
		value, there := all[series]
		if !there {
			t.Errorf("%s is not shown", series)
		}
		return value
	}
	for _, c := range []struct {
		what         string
		low, is, top float64
	}{
		{"units", float64(before.Units.Seen), of("units_total", `result="usual",`) + of("units_total", `result="unusual",`) + of("units_total", `result="unknown",`) +
			of("units_total", `result="unjudged",`), float64(after.Units.Seen)},
		{"hits", float64(before.Units.Hits), of("hits_total", ""), float64(after.Units.Hits)},
		{"seconds scored", before.Ledger.Scored, of("scored_seconds_total", ""), after.Ledger.Scored},
		{"ring buffers", float64(before.BufferBytes), of("buffer_bytes", ""), float64(after.BufferBytes)},
		{"units learnt from", float64(before.LearntUnits), of("profile_units", ""), float64(after.LearntUnits)},
		{"trace points", 1, of("source_up", `source="ust",`), 1},
	} {
		if c.is < c.low || c.is > c.top || c.is == 0 {
			t.Errorf("%s: %v; want %v to %v", c.what, c.is, c.low, c.top)
		}
	}
	if p := of("last_unit_p_value", ""); p <= 0 || p > 1 {
		t.Errorf("p-value %v", p)
	}
	// Units are judged once they have ended, and how late is known of each.
	verdicts, late := all["virtsentry_unit_verdict_seconds_count"], all["virtsentry_unit_verdict_seconds_sum"]
	if verdicts < float64(before.Units.Judged) || late <= 0 {
		t.Errorf("%v verdicts, %v s after their units; want %d or more", verdicts, late, before.Units.Judged)
	}
	t.Logf("%v verdicts, each %.2f s after its unit; %v", verdicts, late/verdicts, after.Units)
	if n := all["virtsentry_domains"]; n < 1 || all["virtsentry_libvirt_connected"] != 1 {
		t.Errorf("%v domains, connected: %v", n, all["virtsentry_libvirt_connected"])
	}
}
