package model

import (
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

func TestDecider(t *testing.T) {
	for _, tc := range []struct {
		name, units, states string
		config              DeciderConfig
	}{
		{"quiet", "qqqqqq", "nnnnnn", DeciderConfig{}},
		{"one odd unit", "qaqqqqqq", "nnnnnnnn", DeciderConfig{}},
		{"odd units apart", "aqqqqaqqqqa", "nnnnnnnnnnn", DeciderConfig{}},
		{"two in the window", "aqqqaqqqqq", "nnnnsssssn", DeciderConfig{}},
		{"three of five", "aqaqaqqqqq", "nnssAAAAAn", DeciderConfig{}},
		{"three at once", "aaaqqqqq", "nsAAAAAn", DeciderConfig{}},
		{"quiet is interrupted", "aaaqqqqaqqqqq", "nsAAAAAAAAAAn", DeciderConfig{}},
		{"lossy units say nothing", "lllll", "nnnnn", DeciderConfig{}},
		{"lossy units are no quiet", "aaaqqllllqql" + "q", "nsAAAAAAAAAA" + "n", DeciderConfig{}},
		{"lossy units push nothing out", "alllllallllla", "nnnnnnssssssA", DeciderConfig{}},
		{"lossy and anomalous", "AAA", "nsA", DeciderConfig{}},
		{"after an alarm all is forgotten", "aaaqqqqqa", "nsAAAAAnn", DeciderConfig{}},
		{"one is enough", "aq", "An", DeciderConfig{Window: 1, Alarm: 1, Quiet: 1}},
		{"suspect at once", "aqqqqqa", "sssssns", DeciderConfig{Suspect: 1}},
		{"long window", "aqqqqqqqaqqa", "nnnnnnnnsssA", DeciderConfig{Window: 20}},
		{"quiet ends it before the window does", "aaaqq", "nsAAn", DeciderConfig{Window: 20, Quiet: 2}},
	} {
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
		{"a quieter window does not end it", "aaaqq", DeciderConfig{Window: 1, Alarm: 1}, Anomalous, "qqq", "AAn"},
		{"it ends where it is quiet enough", "aaaqq", DeciderConfig{Quiet: 2}, Normal, "a", "n"},
		{"units from before count", "aaqqqqq", DeciderConfig{}, Normal, "", ""},
		{"in a wider window", "aqqqqaq", DeciderConfig{Window: 10}, Suspect, "a", "A"},
		{"fewer make an alarm", "aa", DeciderConfig{Alarm: 2}, Anomalous, "q", "A"},
	} {
		d, err := NewDecider(DeciderConfig{})
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
		{Window: -1}, {Window: 65}, {Alarm: 6}, {Alarm: -1}, {Suspect: 4}, {Suspect: -1}, {Quiet: -1},
	} {
		if _, err := NewDecider(c); err == nil {
			t.Errorf("%+v accepted", c)
		}
	}
	if _, err := NewDecider(DeciderConfig{Window: 64, Alarm: 64, Suspect: 1, Quiet: 100}); err != nil {
		t.Error(err)
	}
}

// Whatever comes: a lossy unit that is not anomalous changes nothing, an alarm
// begins only with the third anomalous unit of the last five counted, and ends
// only after five quiet ones.
func TestDeciderProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, err := NewDecider(DeciderConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var counted []bool
		quiet := 0
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
			counted = append(counted, anomalous)
			if quiet++; anomalous {
				quiet = 0
			}
			among := 0
			for _, a := range counted[max(0, len(counted)-5):] {
				among += int(count(a))
			}
			if after == Anomalous && before != Anomalous && (among < 3 || !anomalous) {
				t.Fatalf("alarm at %d of five", among)
			}
			if after == Normal && before != Normal && quiet < 5 {
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
