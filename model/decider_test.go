package model

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// run feeds units (a: anomalous, q: quiet, l: lossy, A: lossy and anomalous) and
// returns the states (n, s, A) after each.
func run(d *Decider, units string) string {
	var b strings.Builder
	for _, u := range units {
		b.WriteByte("nsA"[d.Observe(u == 'a' || u == 'A', u == 'l' || u == 'A')])
	}
	return b.String()
}

func q(units int) string { return strings.Repeat("q", units) }

func n(units int) string { return strings.Repeat("n", units) }

func TestDecider(t *testing.T) {
	for _, tc := range []struct {
		name, units, states string
		config              DeciderConfig
	}{
		{"quiet", "qqqqqq", "nnnnnn", DeciderConfig{}},
		{"one odd unit", "qaqqqqqq", "nnnnnnnn", DeciderConfig{}},
		{"odd units apart", "a" + q(20) + "a" + q(20) + "a", n(43), DeciderConfig{}},
		{"odd units nearer", "aqqqqaqqqqq", "nnnnnsssssn", DeciderConfig{}},
		{"weak and lasting", strings.Repeat("aqqqq", 4), "nnnnn" + "ssssssssss" + "AAAAA", DeciderConfig{}},
		{"two in the window", "aqqqaqqqqq", "nnnnsssssn", DeciderConfig{}},
		{"three of five", "aqaqa" + q(18), "nnssA" + strings.Repeat("A", 17) + "n", DeciderConfig{}},
		{"three at once", "aaa" + q(20), "nsA" + strings.Repeat("A", 19) + "n", DeciderConfig{}},
		{"quiet is interrupted", "aaa" + q(18) + "a" + q(15), "nsA" + strings.Repeat("A", 18+1+14) + "n", DeciderConfig{}},
		{"lossy units say nothing", "lllll", "nnnnn", DeciderConfig{}},
		{"lossy units are no quiet", "aaa" + q(19) + "llll" + "q", "nsA" + strings.Repeat("A", 19+4) + "n", DeciderConfig{}},
		{"lossy units push nothing out", "alllllallllla", "nnnnnnssssssA", DeciderConfig{}},
		{"lossy and anomalous", "AAA", "nsA", DeciderConfig{}},
		{"after an alarm all is forgotten", "aaa" + q(20) + "a", "nsA" + strings.Repeat("A", 19) + "nn", DeciderConfig{}},
		{"one is enough", "aq", "An", DeciderConfig{Window: 1, Alarm: 1, Quiet: 1}},
		{"suspect at once", "aqqqqqa", "sssssns", DeciderConfig{Suspect: 1}},
		{"long window", "aqqqqqqqaqqa", "nnnnnnnnsssA", DeciderConfig{Window: 20}},
		{"suspicion ends sooner than an alarm", "aa" + q(20), "ns" + strings.Repeat("s", 6) + n(14), DeciderConfig{Quiet: 30}},
		{"an alarm stands for long", "aaa" + q(31), "nsA" + strings.Repeat("A", 29) + "nn", DeciderConfig{Quiet: 30}},
		{"quiet ends it before the window does", "aa" + q(7), "nAAAAAAAn", DeciderConfig{Window: 20, Alarm: 2, Quiet: 2}},
	} {
		setDefault(&tc.config.Quiet, 5)
		d, err := NewDecider(tc.config)
		if err != nil {
			t.Fatal(err)
		}
		if got := run(d, tc.units); got != tc.states {
			t.Errorf("%s: %s gave %s, want %s", tc.name, tc.units, got, tc.states)
		}
		d.Reset()
		if got := run(d, tc.units); got != tc.states {
			t.Errorf("%s, after a reset: %s gave %s, want %s", tc.name, tc.units, got, tc.states)
		}
	}
}

// Other numbers count the same units anew; nothing is forgotten.
func TestDeciderConfigure(t *testing.T) {
	for _, tc := range []struct {
		name, before  string
		config        DeciderConfig
		now           State
		after, states string
	}{
		{"an alarm stays", "aaaqq", DeciderConfig{Quiet: 30}, Anomalous, "qqqqq", "AAAAA"},
		{"a quieter window does not end it", "aaa" + q(18), DeciderConfig{Window: 1, Alarm: 1}, Anomalous, "qqq", "Ann"},
		{"it ends where it is quiet enough", "aqaqa" + q(4) + "a" + q(13), DeciderConfig{Quiet: 2}, Anomalous, "qqqqqqqq", "AAAAAAnn"},
		{"units from before count", "aa" + q(8), DeciderConfig{}, Normal, "", ""},
		{"in a wider window", "aqqqqaq", DeciderConfig{Window: 10}, Suspect, "a", "A"},
		{"fewer make an alarm", "aa", DeciderConfig{Alarm: 2}, Anomalous, "q", "A"},
	} {
		setDefault(&tc.config.Quiet, 5)
		d, err := NewDecider(DeciderConfig{Quiet: 5})
		if err != nil {
			t.Fatal(err)
		}
		run(d, tc.before)
		if err := d.Configure(tc.config); err != nil || d.State() != tc.now {
			t.Errorf("%s: %v, %v; want %v", tc.name, d.State(), err, tc.now)
		}
		if got := run(d, tc.after); got != tc.states {
			t.Errorf("%s: then %s gave %s, want %s", tc.name, tc.after, got, tc.states)
		}
		before := *d
		if err := d.Configure(DeciderConfig{Window: 65}); err == nil || *d != before {
			t.Errorf("%s: a bad window: %v, and the decider is %+v", tc.name, err, *d)
		}
	}
}

func TestDeciderConfig(t *testing.T) {
	for _, c := range []DeciderConfig{
		{Window: -1}, {Window: 65}, {Alarm: 6}, {Alarm: -1}, {Suspect: 4}, {Suspect: -1}, {Quiet: -1}, {AlarmsPerDay: -1}, {AlarmsPerDay: 1e-9}, {AlarmsPerDay: 1000}, {AlarmsPerDay: math.NaN()},
	} {
		if _, err := NewDecider(c); err == nil {
			t.Errorf("%+v accepted", c)
		}
	}
	if _, err := NewDecider(DeciderConfig{Window: 64, Alarm: 64, Suspect: 1, Quiet: 100}); err != nil {
		t.Error(err)
	}
}

// A normal guest whose units are unusual as often as the evidence allows raises one
// false alarm a day at most.
func TestDeciderFalseAlarms(t *testing.T) {
	const days, probability = 400, 0.007 / 1.3 // for half of the accepted alarms
	d, err := NewDecider(DeciderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	alarms := 0
	for range days * int(perDay) {
		before := d.State()
		if d.Observe(random.Float64() < probability, false) == Anomalous && before != Anomalous {
			alarms++
		}
	}
	if alarms == 0 || alarms > days {
		t.Errorf("%d false alarms in %d days", alarms, days)
	}
}

// Whatever comes: a lossy unit that is not anomalous changes nothing, an alarm
// begins only with an anomalous unit, the third at least since the guest was
// normal, and ends only after two quiet minutes, suspicion after ten quiet seconds.
func TestDeciderProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, err := NewDecider(DeciderConfig{})
		if err != nil {
			t.Fatal(err)
		}
		odd, quiet := 0, 0
		for _, u := range rapid.StringOfN(rapid.RuneFrom([]rune("aqlA")), 0, 80, -1).Draw(t, "units") {
			before := d.State()
			after := d.Observe(u == 'a' || u == 'A', u == 'l' || u == 'A')
			if u == 'l' {
				if after != before {
					t.Fatalf("lossy unit: %v to %v", before, after)
				}
				continue
			}
			anomalous := u != 'q'
			if quiet++; anomalous {
				odd, quiet = odd+1, 0
			}
			if after == Anomalous && before != Anomalous && (odd < 3 || !anomalous) {
				t.Fatalf("alarm with %d anomalous units", odd)
			}
			if after == Normal && (before == Anomalous && quiet < 60 || before == Suspect && quiet < 5) {
				t.Fatalf("normal again after %d quiet units", quiet)
			}
		}
	})
}

func TestStateString(t *testing.T) {
	for s, want := range map[State]string{Normal: "normal", Suspect: "suspect", Anomalous: "anomalous", 7: "State(7)"} {
		if s.String() != want {
			t.Errorf("%d is %q", int(s), s)
		}
	}
}
