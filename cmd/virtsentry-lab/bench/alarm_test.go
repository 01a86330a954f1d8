package bench

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAlarmOf(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1_000_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	for name, c := range map[string]struct {
		packet, unit, written, heard float64
		want                         Alarm
	}{
		"three units":                    {0.5, 4, 6.25, 6.27, Alarm{Phase: 0.5, Units: 3, Decide: 5.5, Collect: 0.25, Tell: 0.02}},
		"the first one says nothing":     {1.9, 6, 8.25, 8.27, Alarm{Phase: 1.9, Units: 4, Decide: 6.1, Collect: 0.25, Tell: 0.02}},
		"at the begin of a unit":         {2, 6, 8.25, 8.27, Alarm{Phase: 0, Units: 3, Decide: 6, Collect: 0.25, Tell: 0.02}},
		"the trace's clock is a bit off": {0.5, 4.003, 6.25, 6.27, Alarm{Phase: 0.5, Units: 3, Decide: 5.503, Collect: 0.247, Tell: 0.02}},
	} {
		got := alarmOf(at(c.packet), at(c.unit), at(c.written), at(c.heard))
		if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if total := got.Total(); math.Abs(total-(c.heard-c.packet)) > 1e-9 {
			t.Errorf("%s: the parts' sum is %v", name, total)
		}
	}
}

func TestAlarmQuantile(t *testing.T) {
	infinite := math.Inf(1)
	for _, c := range []struct {
		values []float64
		share  float64
		want   float64
	}{
		{nil, 0.5, math.NaN()},
		{[]float64{3}, 0.25, 3},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{4, 1, 3, 2, 5}, 0.25, 2},
		{[]float64{1, infinite, 2}, 0.5, 2},
		{[]float64{1, infinite, 2}, 0.75, infinite},
		{[]float64{infinite, infinite}, 0.5, infinite},
		{[]float64{1, infinite}, 1, infinite},
	} {
		if got := alarmQuantile(c.values, c.share); got != c.want && !math.IsNaN(got+c.want) {
			t.Errorf("%v at %v: %v, want %v", c.values, c.share, got, c.want)
		}
	}
}

func TestAlarmSection(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := AlarmSection(dir); ok || err != nil {
		t.Error("a benchmark that was not kept has a table:", err)
	}
	f := File[Alarms]{Name: AlarmName, Result: Alarms{Units: 90, Window: 30, Attacks: []AlarmAttack{
		{Name: "portscan", Rate: 150, Unit: "packets/s", Samples: []Alarm{
			{Phase: 1, Units: 3, Decide: 5, Collect: 0.3, Tell: 0.1}, {Phase: 0.5, Units: 3, Decide: 5.5, Collect: 0.3, Tell: 0.1}, {Phase: 1.5, Units: 4, Decide: 6.5, Collect: 0.3, Tell: 0.1},
		}},
		{Name: "synflood", Rate: 1000, Unit: "packets/s", Samples: []Alarm{{Phase: 1, Missed: true}}},
	}}}
	if err := Write(dir, f); err != nil {
		t.Fatal(err)
	}
	text, ok, err := AlarmSection(dir)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, want := range []string{
		"| portscan, 150 packets/s | 3 | **5.90** | 5.65 – 6.40 | 6.90 | 0 | 5.50 | 0.30 | 0.10 | 3 (2×), 4 (1×) |",
		"| synflood, 1000 packets/s | 1 | **none** | none – none | none | 1 |  |  |  |  |",
		"does not hold",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	f.Result.Attacks, f.Short = f.Result.Attacks[:1], true
	if err := Write(dir, f); err != nil {
		t.Fatal(err)
	}
	text, _, err = AlarmSection(dir)
	if err != nil || strings.Contains(text, "does not hold") || !strings.Contains(text, "count for nothing") {
		t.Errorf("%v in:\n%s", err, text)
	}
}
