package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// actions is the backend's part that looks more closely.
type actions struct {
	looks   []control.Action // the newest first
	wanted  []string
	polled  int // how often an action was read
	stopped []string
}

func (a *actions) ActionOptions(_ context.Context, ref string) (control.ActionOptions, error) {
	if ref == "nobody" {
		return control.ActionOptions{}, fmt.Errorf("%s: %w", ref, control.ErrNoDomain)
	}
	o := control.ActionOptions{UUID: "u", Name: "web", Usual: 30, Longest: 600, Options: []control.ActionOption{
		{Name: "probes:block", Words: "trace points of QEMU's block code", Price: control.ActionPrice{Known: true, Slowdown: 0.031, Low: 0.019, High: 0.046}},
		{Name: "probes:all", Words: "all trace points of QEMU", WhyNot: "its QEMU has no trace points\nof its own"},
		{Name: "kvm", Words: "exits", Running: "q3x7m2kd"},
		{Name: "syscalls", Words: "system calls", Price: control.ActionPrice{Why: "this host was not calibrated"}},
	}}
	if ref == "limited" {
		budget, left := 0.05, 12.5
		o.Budget, o.Left = &budget, &left
	}
	return o, nil
}

func (a *actions) StartAction(_ context.Context, ref string, request control.ActionRequest) (control.Action, error) {
	a.wanted = append(a.wanted, fmt.Sprint(ref, request.Actions, request.Seconds, request.DryRun))
	if ref == "dear" {
		return control.Action{}, fmt.Errorf("%w: syscalls costs 12.0 %% (8.0 to 15.0 %%) of the speed of dear; its budget is 10.0 %%", control.ErrRefused)
	}
	would := a.looks[0]
	if request.DryRun {
		would.ID, would.State = "", control.ActionAsked
		if ref == "db" {
			would.State, would.Why = control.ActionRefused, "its budget is 1.0 %"
		}
	}
	return would, nil
}

func (a *actions) ListActions() []control.Action { return a.looks }

func (a *actions) Action(id string) (control.Action, error) {
	a.polled++
	for _, l := range a.looks {
		if id != "" && strings.HasPrefix(l.ID, id) {
			return l, nil
		}
	}
	return control.Action{}, fmt.Errorf("%w %q is known", control.ErrNoAction, id)
}

func (a *actions) ActionUnits(id string) ([]control.ActionUnit, error) {
	l, err := a.Action(id)
	for i := range l.Line {
		l.Line[i].Events = []control.ActionEvent{
			{At: l.Line[i].Start.Add(1500 * time.Microsecond), What: "vcpu0 openat(-100, 0x7ffd34a0, 0, 0, 0, 0)"}, {At: l.Line[i].Start.Add(time.Second), What: "vcpu1 odd\x1b[2J()"},
		}
		l.Line[i].Counts = map[string]uint64{}
		for _, t := range l.Line[i].Top {
			l.Line[i].Counts[t.Feature] = t.Hits
		}
	}
	return l.Line, err
}

func (a *actions) StopAction(_ context.Context, id string) (control.Action, error) {
	l, err := a.Action(id)
	if err == nil {
		a.stopped = append(a.stopped, l.ID)
		l.State, l.Code = control.ActionEnded, control.EndedStopped
	}
	return l, err
}

// someLooks are one that runs, one that has ended and one that was refused.
func someLooks() []control.Action {
	budget := 0.05
	runs := control.Action{
		ID: "q3x7m2kd", UUID: "u", Name: "web", Actions: []string{"kvm", "syscalls"}, State: control.ActionRunning, Asked: noon.Add(3 * time.Minute), Started: noon.Add(3*time.Minute + time.Second),
		Until: noon.Add(3*time.Minute + 31*time.Second), Seconds: 30, Wanted: 3600, Budget: &budget,
		Price: control.ActionPrice{Known: true, Slowdown: 0.031, Low: 0.019, High: 0.046}, Measured: control.ActionPrice{Known: true, Slowdown: 0.04, Low: 0.03, High: 0.05},
		Units: 2, Hits: 1207, Lost: 3,
	}
	runs.Totals = []control.Tally{{Feature: "syscalls:vcpu:ioctl", Words: "ioctl of vCPU threads", Hits: 1200}, {Feature: "kvm:exit:hlt", Words: "id\x1ble", Hits: 7}}
	runs.Line = []control.ActionUnit{
		{Start: noon.Add(3*time.Minute + 2*time.Second), Duration: 2, Hits: 1000, Top: []control.Tally{{Feature: "syscalls:vcpu:ioctl", Hits: 1000}}, State: "normal", Judged: true, Score: 0.5, PValue: 0.4},
		{Start: noon.Add(3*time.Minute + 4*time.Second), Duration: 2, Hits: 207, Lost: 3, Top: []control.Tally{{Feature: "syscalls:vcpu:ioctl", Hits: 200}, {Feature: "kvm:exit:hlt", Hits: 7}}},
	}
	return []control.Action{
		runs,
		{ID: "aaaaaaaa", Name: "db", Actions: []string{"probes:all"}, State: control.ActionEnded, Code: control.EndedDear, Why: "it was measured to cost 9.0 %", Asked: noon,
			Started: noon, Until: noon.Add(8 * time.Second), Seconds: 30, Units: 4, Hits: 99},
		{ID: "bbbbbbbb", Name: "db", Actions: []string{"tap"}, State: control.ActionRefused, Why: "no interface has a tap device", Asked: noon.Add(-time.Hour), Until: noon.Add(-time.Hour)},
	}
}

func TestLook(t *testing.T) {
	b := &backend{domains: domains(), actions: actions{looks: someLooks()}}
	socket := serve(t, b)
	for _, tc := range []struct {
		golden string
		code   int
		args   []string
	}{
		{"look-actions.txt", 0, []string{"actions", "web"}},
		{"look-actions-limited.txt", 0, []string{"actions", "limited"}},
		{"look-actions.json", 0, []string{"actions", "limited", "-o", "json"}},
		{"look-start.txt", 0, []string{"start", "web", "kvm,syscalls", "--for", "1h"}},
		{"look-start.json", 0, []string{"start", "web", "kvm", "-o", "json"}},
		{"look-start-dry.txt", 0, []string{"start", "web", "kvm", "--dry-run"}},
		{"look-list.txt", 0, []string{"list"}},
		{"look-list.json", 0, []string{"list", "-o", "json"}},
		{"look-show.txt", 0, []string{"show", "q3"}},
		{"look-show-ended.txt", 0, []string{"show", "aaaa"}},
		{"look-show-refused.txt", 0, []string{"show", "bbbb"}},
		{"look-show.json", 0, []string{"show", "q3", "-o", "json"}},
		{"look-units.csv", 0, []string{"show", "q3", "--units", "-"}},
		{"look-each.txt", 0, []string{"show", "q3", "--each"}},
		{"look-each.json", 0, []string{"show", "q3", "--each", "-o", "json"}},
		{"look-stop.txt", 0, []string{"stop", "q3"}},
	} {
		t.Run(tc.golden, func(t *testing.T) {
			out, code, err := run(t.Context(), append([]string{"--socket", socket, "look"}, tc.args...)...)
			if err != nil || code != tc.code {
				t.Fatalf("%v, exit status %d", err, code)
			}
			golden(t, tc.golden, out)
		})
	}
	if got := strings.Join(b.wanted, "; "); got != "web[kvm syscalls] 3600 false; web[kvm] 0 false; web[kvm] 0 true" {
		t.Errorf("asked for %s", got)
	}
	if got := strings.Join(b.stopped, " "); got != "q3x7m2kd" {
		t.Errorf("stopped %s", got)
	}
}

func TestLookFails(t *testing.T) {
	socket := serve(t, &backend{domains: domains(), actions: actions{looks: someLooks()}})
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"actions", "nobody"}, exitNoDomain, "no running domain"},
		{[]string{"start", "dear", "syscalls"}, exitFailure, "its budget is 10.0 %"},
		{[]string{"start", "db", "kvm", "--dry-run"}, exitFailure, "its budget is 1.0 %"},
		{[]string{"start", "web", ""}, exitFailure, "no action is named"},
		{[]string{"start", "web", "a,,b"}, exitFailure, "empty"},
		{[]string{"start", "web", "a", "--for", "-1s"}, exitFailure, "--for -1s"},
		{[]string{"start", "web", "a", "--for", "100h"}, exitFailure, "--for 100h"},
		{[]string{"show", "zz"}, exitNoDomain, "no action"},
		{[]string{"show", "zz", "--each"}, exitNoDomain, "no action"},
		{[]string{"show", "aaaa", "--each"}, exitFailure, "has seen no event by itself"},
		{[]string{"stop", "zz"}, exitNoDomain, "no action"},
	} {
		_, code, err := run(t.Context(), append([]string{"--socket", socket, "look"}, tc.args...)...)
		if err == nil || code != tc.code || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("look %v = %v, exit status %d; want %d and %q", tc.args, err, code, tc.code, tc.want)
		}
	}
}
