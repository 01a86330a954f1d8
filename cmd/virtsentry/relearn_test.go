package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

func TestRelearn(t *testing.T) {
	b := &backend{domains: domains()}
	socket := serve(t, b)
	for _, tc := range []struct {
		golden string
		args   []string
		lost   []string
		want   control.RelearnRequest
	}{
		{"relearn-dry.txt", []string{"--incident", "last", "--dry-run"}, nil, control.RelearnRequest{Incident: "last", DryRun: true, AcceptLoss: 0.05}},
		{"relearn-refused.txt", []string{"--incident", "3"}, []string{"slowhttp_target"}, control.RelearnRequest{Incident: "3", AcceptLoss: 0.05}},
		{"relearn.json", []string{"--incident", "3", "-o", "json", "--accept-loss", "1"}, nil, control.RelearnRequest{Incident: "3", AcceptLoss: 1}},
	} {
		b.lost = tc.lost
		got, code, err := run(t.Context(), append([]string{"--socket", socket, "relearn", "web"}, tc.args...)...)
		if diff := cmp.Diff(tc.want, b.request); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
		if tc.lost == nil && err != nil || tc.lost != nil && (code != exitFailure || !errors.Is(err, control.ErrRefused) ||
			!strings.Contains(err.Error(), "slowhttp_target (91.7 % of its units before, 85.0 % after); it is not in force")) {
			t.Errorf("%v: exit status %d, %v", tc.args, code, err)
		}
		golden(t, tc.golden, got)
	}
	for _, args := range [][]string{nil, {"--to", "-5m"}, {"--incident", "1", "--from", "-1h"}, {"--incident", "1", "--to", "-1h"}, {"--from", "yesterday"}} {
		if _, code, err := run(t.Context(), append([]string{"--socket", socket, "relearn", "web"}, args...)...); err == nil || code != exitFailure {
			t.Errorf("relearn %v: exit status %d, %v", args, code, err)
		}
	}
}

func TestIncidents(t *testing.T) {
	list := domains()
	for i := range list {
		if list[i].Name == "web" {
			list[i].Anomalies = []control.Anomaly{
				{Number: 4, Begin: noon.Add(-time.Hour), End: noon.Add(-50 * time.Minute), Units: 210, Text: "network: packets of 64 to 71 bytes received by the guest, 3,883 instead of 0"},
				{Number: 5, Begin: noon.Add(-time.Minute), End: noon.Add(-2 * time.Second), Open: true, Units: 29, Text: "tap_send:\n2,040"},
			}
		}
	}
	calm := control.DomainStatus{Name: "calm"}
	socket := serve(t, &backend{domains: append(list, calm)})
	for file, args := range map[string][]string{
		"incidents-web.txt": {"web"}, "incidents-web.json": {"web", "-o", "json"}, "incidents-calm.txt": {"calm"},
	} {
		got, _, err := run(t.Context(), append([]string{"--socket", socket, "incidents"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, file, got)
	}
	if _, code, err := run(t.Context(), "--socket", socket, "incidents", "no-such"); code != exitNoDomain {
		t.Errorf("exit status %d, %v", code, err)
	}
}
