package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

const longReason = "network: packets received by the guest, 2,040 instead of 96 to 312 (11 times the usual); disk: requests written, 5 instead of 20 to 44"

// domains are one of each kind: learnt and attacked, learning, not seen at all, with texts that would break a table.
func domains() []control.DomainStatus {
	trained := noon.Add(-26 * time.Hour)
	alarm := &control.UnitReport{
		Domain: "c7a5fdbd-cdaf-9455-926a-d65c16db1809", Name: "web", State: "anomalous", Start: noon, Duration: 2, Lost: 12,
		Counts: map[string]uint64{"tap_send": 2040, "bdrv_co_pwritev": 5}, Judged: true, Score: -9.712, PValue: 0.0114, Anomalous: true,
		Explain: []control.Variable{
			{Feature: "tap_send", Subsystem: "network", Words: "packets received by the guest", Observed: 2040, Typical: 180, UsualLow: 96, UsualHigh: 312, Deviation: 8.31},
			{Feature: "bdrv_co_pwritev", Subsystem: "disk", Words: "requests written", Observed: 5, Typical: 30, UsualLow: 20, UsualHigh: 44, Deviation: -2.5},
		},
		Sentence: longReason,
	}
	return []control.DomainStatus{
		{
			UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809", Name: "web", ID: 3, PID: 4711, State: "anomalous", Since: noon,
			Reason: &control.Reason{Code: "anomaly", Text: longReason}, Coverage: "full",
			LearntUnits: 90, WantedUnits: 90, Profile: true, Support: 7, Trained: &trained,
			Promise: &control.Promise{Accepted: 1, Hours: 1.44, Alarms: 1, Bound: new(79.06), Provisional: true},
			Units:   control.Units{Seen: 2700, Judged: 2600, Lossy: 3, Late: 1}, Last: alarm, Alarm: alarm,
			Ledger:      control.Ledger{Life: 5400, Scored: 5200, Reasons: map[string]float64{"events-lost": 6, "booting": 120, "gathering": 74}},
			Incidents:   []control.Incident{{Kind: "anomaly", Since: noon, Text: "tap_send:\n2,040"}},
			BufferBytes: 1 << 20, CPUSeconds: 0.75,
		},
		{
			UUID: "11111111-cdaf-9455-926a-d65c16db1809", Name: "customer-0815_database-server-of-the-second-floor.example", PID: 4712, State: "learning",
			Since: noon.Add(-time.Hour), Reason: &control.Reason{Code: "gathering", Text: "12 of 90 units"}, Coverage: "partial",
			Unseen:      []control.Unseen{{Kind: "interface", Name: "52:54:00:4d:00:0a", Why: "its packets pass QEMU by (vhost-net)"}},
			LearntUnits: 12, WantedUnits: 90, Units: control.Units{Seen: 14}, Missed: 61.4,
			Learning: &control.Learning{Units: 12, Wanted: 90, Most: 270, Seconds: 169},
		},
		{
			UUID: "22222222-cdaf-9455-926a-d65c16db1809", Name: "tab\there", State: "blind", Since: noon,
			Reason: &control.Reason{Code: "no-trace-points", Text: "its QEMU has\nno UST \x1b[31mtrace points"}, Coverage: "none", WantedUnits: 90,
			Learning: &control.Learning{Wanted: 90, Most: 90, Seconds: 180},
		},
	}
}

func TestDomains(t *testing.T) {
	socket := serve(t, &backend{domains: domains()})
	for _, tc := range []struct {
		golden string
		args   []string
	}{
		{"status.txt", []string{"status"}},
		{"status.json", []string{"status", "-o", "json"}},
		{"status-web.txt", []string{"status", "web"}},
		{"status-web.json", []string{"status", "web", "--output", "json"}},
		{"status-learning.txt", []string{"status", "11111111-cdaf-9455-926a-d65c16db1809"}},
		{"status-blind.txt", []string{"status", "tab\there"}},
		{"explain-web.txt", []string{"explain", "web"}},
		{"explain-web.json", []string{"explain", "web", "-o", "json"}},
		{"explain-blind.txt", []string{"explain", "tab\there"}},
		{"explain-blind.json", []string{"explain", "tab\there", "-o", "json"}},
	} {
		t.Run(tc.golden, func(t *testing.T) {
			got, code, err := run(t.Context(), append([]string{"--socket", socket}, tc.args...)...)
			if err != nil || code != 0 {
				t.Fatalf("exit status %d, %v", code, err)
			}
			golden(t, tc.golden, got)
		})
	}
}

func TestNoDomains(t *testing.T) {
	socket := serve(t, &backend{domains: []control.DomainStatus{}})
	for format, want := range map[string]string{"table": "no domain runs\n", "json": "[]\n"} {
		if got, _, err := run(t.Context(), "--socket", socket, "status", "-o", format); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
}

func TestLearn(t *testing.T) {
	b := &backend{domains: domains()}
	socket := serve(t, b)
	for _, args := range [][]string{{"learn", "web"}, {"learn", "web", "-n", "90"}} {
		if got, _, err := run(t.Context(), append(args, "--socket", socket)...); err != nil || got != "web: learning\n" {
			t.Errorf("%v: %q, %v", args, got, err)
		}
	}
	if diff := cmp.Diff([]string{"web 0", "web 90"}, b.learnt); diff != "" {
		t.Errorf("learnt (-want +got):\n%s", diff)
	}
}

func TestWatch(t *testing.T) {
	list := domains()
	units := []control.UnitReport{
		{Domain: list[0].UUID, Name: list[0].Name, State: "normal", Start: noon.Add(-2 * time.Second), Duration: 2, Judged: true, Score: 1.5, PValue: 0.43},
		{Domain: list[1].UUID, Name: list[1].Name, State: "learning", Start: noon.Add(-2 * time.Second), Duration: 2, Lost: 7},
		*list[0].Alarm,
	}
	for _, tc := range []struct {
		golden string
		args   []string
	}{
		{"watch.txt", []string{"watch"}},
		{"watch.json", []string{"watch", "-o", "json"}},
		{"watch-web.txt", []string{"watch", "web"}},
	} {
		t.Run(tc.golden, func(t *testing.T) {
			// The stream ends behind the last unit, as when a daemon ends.
			socket := serve(t, &backend{domains: list, units: units})
			got, code, err := run(t.Context(), append(tc.args, "--socket", socket)...)
			if !errors.Is(err, control.ErrNoDaemon) || code != exitNoDaemon {
				t.Errorf("exit status %d, %v; want ErrNoDaemon", code, err)
			}
			golden(t, tc.golden, got)
		})
	}
}

func TestWatchIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	socket := serve(t, &backend{watched: interrupt})
	if _, _, err := run(ctx, "watch", "--socket", socket); !errors.Is(err, context.Canceled) {
		t.Errorf("watch = %v; want context.Canceled", err)
	}
}

func TestOutputThatFails(t *testing.T) {
	socket := serve(t, &backend{domains: domains(), units: []control.UnitReport{{Name: "web"}}})
	for _, args := range [][]string{
		{"status"}, {"status", "-o", "json"}, {"status", "web"}, {"status", "web", "-o", "json"}, {"explain", "web"}, {"explain", "tab\there"},
		{"explain", "web", "-o", "json"}, {"learn", "web"}, {"watch"}, {"watch", "-o", "json"},
		{"relearn", "web", "--from", "-5m"}, {"profile", "list"}, {"profile", "show", "web"}, {"profile", "export", "web"},
		{"profile", "rollback", "web"}, {"profile", "delete", "web"}, {"config", "check"},
		{"replay", filepath.Join(traces, "fields"), "--profile", profileOf(t, "fields:begin")},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		c := command()
		c.SetArgs(append(args, "--socket", socket))
		c.SetOut(full)
		err = c.ExecuteContext(t.Context())
		_ = full.Close()
		if err == nil || exitCode(err) != exitFailure || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%v to a full device: %v", args, err)
		}
	}
}

func TestShortened(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"12345", "12345"},
		{"123456", "1234…"},
		{"äöüßé", "äöüßé"},
		{"äöüßéè", "äöüß…"},
		{"123 56", "123…"},
	} {
		got := shortened(tc.in, 5)
		if got != tc.want || utf8.RuneCountInString(got) > 5 {
			t.Errorf("shortened(%q) = %q; want %q", tc.in, got, tc.want)
		}
	}
}

func TestPromised(t *testing.T) {
	for want, p := range map[string]control.Promise{
		"1 a day accepted; no unit judged yet: provisional":                                                    {Accepted: 1, Provisional: true},
		"1 a day accepted; at most 129419 a day by 0 alarms in 0.0 h judged (95 % confidence): provisional":    {Accepted: 1, Hours: 0.00056, Bound: new(129419.), Provisional: true},
		"0.1 a day accepted; at most 0.16 a day by 1 alarm in 720.0 h judged (95 % confidence): provisional":   {Accepted: 0.1, Hours: 720, Alarms: 1, Bound: new(0.158), Provisional: true},
		"6 a day accepted; at most 5.99 a day by 0 alarms in 12.0 h judged (95 % confidence)":                  {Accepted: 6, Hours: 12, Bound: new(5.99)},
		"0.000274 a day accepted; at most 36 a day by 0 alarms in 2.0 h judged (95 % confidence): provisional": {Accepted: 1. / 3650, Hours: 2, Bound: new(35.95), Provisional: true},
	} {
		if got := promised(p); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

func TestAbout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", time.Second: "10 s", 60 * time.Second: "60 s", 89 * time.Second: "90 s", 4 * time.Minute: "4 min", 89 * time.Minute: "89 min", 24 * time.Hour: "24 h",
	} {
		if got := about(d); got != want {
			t.Errorf("%v: %q; want %q", d, got, want)
		}
	}
}
