package config

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	webID = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"
	text  = `
[learning]
units = 90
[judging]
level = 0.01
[[domain]]
name = "web*"
units = 100
alarm = 4
[[domain]]
name = "db"
watch = false
[[domain]]
uuid = "C7A5FDBD-CDAF-9455-926A-D65C16DB1809"
units = 200
starting = "5m"
quiet_units = 7
gamma = 0.5
alarms_per_day = 0.25
`
)

func TestFor(t *testing.T) {
	c, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	plain := Domain{
		Watch: true, Learning: Learning{Units: 90, Starting: Duration(2 * time.Minute)},
		Judging: Judging{Engine: EngineLibSVM, Level: 0.01},
		Sources: []string{Auto},
	}
	change := func(f func(*Domain)) Domain {
		d := plain
		f(&d)
		return d
	}
	tests := map[string]struct {
		name, uuid string
		policy     Override
		want       Domain
		complaint  string
	}{
		"sources":       {name: "mail", uuid: "1", policy: Override{Sources: []string{"tap", UST}}, want: change(func(d *Domain) { d.Sources = []string{"tap", UST} })},
		"overhead":      {name: "mail", uuid: "1", policy: Override{OverheadPercent: new(2.5)}, want: change(func(d *Domain) { d.OverheadPercent = 2.5 })},
		"wrong sources": {name: "mail", uuid: "1", policy: Override{Sources: []string{Auto, "tap"}}, want: plain, complaint: "none of auto (alone)"},
		"no match":      {name: "mail", uuid: "1", want: plain},
		"name":          {name: "db", uuid: "1", want: change(func(d *Domain) { d.Watch = false })},
		"pattern": {name: "web2", uuid: "1", want: change(func(d *Domain) {
			d.Learning.Units, d.Judging.Alarm = 100, 4
		})},
		"pattern and UUID": {name: "web", uuid: webID, want: change(func(d *Domain) {
			d.Learning = Learning{Units: 200, Starting: Duration(5 * time.Minute)}
			d.Judging.Alarm, d.Judging.QuietUnits, d.Judging.Gamma, d.Judging.AlarmsPerDay = 4, 7, 0.5, 0.25
		})},
		"policy": {
			name: "db", uuid: "1", policy: Override{Watch: ptr(true), Nu: ptr(0.2), Level: ptr(0.5), Window: ptr(10)},
			want: change(func(d *Domain) { d.Judging.Nu, d.Judging.Level, d.Judging.Window = 0.2, 0.5, 10 }),
		},
		"policy on alarms": {
			name: "db", uuid: "1", policy: Override{AlarmsPerDay: ptr(0.1)},
			want: change(func(d *Domain) { d.Watch, d.Judging.AlarmsPerDay = false, 0.1 }),
		},
		"policy on too many alarms": {
			name: "db", uuid: "1", policy: Override{AlarmsPerDay: ptr(300.)}, want: change(func(d *Domain) { d.Watch = false }),
			complaint: "policy element of domain 1 is passed over: false-alarms-per-day: 300 false alarms a day, want ",
		},
		"policy out of range": {
			name: "db", uuid: "1", policy: Override{Watch: ptr(true), QuietUnits: ptr(-1)},
			want: change(func(d *Domain) { d.Watch = false }), complaint: "policy element of domain 1 is passed over: judging quiet-units: -1",
		},
		"policy against the file": {
			name: "web", uuid: "1", policy: Override{Window: ptr(3)},
			want:      change(func(d *Domain) { d.Learning.Units, d.Judging.Alarm = 100, 4 }),
			complaint: "policy element of domain 1 is passed over: judging window, judging alarm: alarm at 4 of 3",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.For(test.name, test.uuid, test.policy)
			if (err != nil) != (test.complaint != "") || err != nil && !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("For: %v; want %q", err, test.complaint)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("For (-want +got):\n%s", diff)
			}
		})
	}
}

// Two [[domain]] may each be right and not go together.
func TestForConflict(t *testing.T) {
	c, err := parse("[[domain]]\nname = 'a'\nalarm = 5\n[[domain]]\nname = '*'\nunits = 60\nwindow = 4\n")
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.For("a", webID, Override{Units: ptr(70)})
	if err == nil || !strings.Contains(err.Error(), "configuration FILE: line 4: [[domain]] is passed over for domain "+webID+": window, alarm: alarm at 5 of 4") {
		t.Errorf("For = %v", err)
	}
	if d.Learning.Units != 70 || d.Judging.Alarm != 5 || d.Judging.Window != 0 || !d.Watch {
		t.Errorf("For = %+v", d)
	}
}

func TestForIsAlwaysValid(t *testing.T) {
	number := rapid.Ptr(rapid.IntRange(-1, 70), true)
	real := rapid.Ptr(rapid.Float64(), true)
	override := rapid.Custom(func(t *rapid.T) Override {
		return Override{
			Watch: rapid.Ptr(rapid.Bool(), true).Draw(t, "watch"), Units: number.Draw(t, "units"),
			Starting: rapid.Ptr(rapid.Map(rapid.Int64(), func(n int64) Duration { return Duration(n) }), true).Draw(t, "starting"),
			Nu:       real.Draw(t, "nu"), Gamma: real.Draw(t, "gamma"), Level: real.Draw(t, "level"),
			Window: number.Draw(t, "window"), Alarm: number.Draw(t, "alarm"), QuietUnits: number.Draw(t, "quiet"),
			AlarmsPerDay: real.Draw(t, "alarms"), MaxUnits: number.Draw(t, "most"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		c := Default()
		for range rapid.IntRange(0, 3).Draw(t, "matches") {
			c.Domains = append(c.Domains, Match{Name: "*", Override: override.Draw(t, "override")})
		}
		policy := override.Draw(t, "policy")
		d, err := c.For("web", webID, policy)
		if p := d.check(); p != nil {
			t.Fatalf("For = %+v, %v, but %v", d, err, p)
		}
		if err == nil && policy.Watch != nil && d.Watch != *policy.Watch {
			t.Fatal("the policy has not the last word")
		}
	})
}

func TestNeedsRestart(t *testing.T) {
	change := func(f func(*Config)) Config {
		c := Default()
		f(&c)
		return c
	}
	tests := map[string]struct {
		to   Config
		want []string
	}{
		"nothing": {Default(), nil},
		"at run time": {change(func(c *Config) {
			c.Learning.Units, c.Judging.Nu, c.Log.Level = 90, 0.5, "debug"
			c.Domains, c.Files = []Match{{Name: "*"}}, []string{"/x"}
		}), nil},
		"restart": {
			change(func(c *Config) {
				c.Libvirt, c.LTTng, c.Profiles.Dir, c.Control.Socket = Libvirt{"x", "/x"}, LTTng{"/x", "/x", 1, 1, 1, 1, 1}, "/x", "/x"
				c.Hooks, c.Metrics = Hooks{"/x", 1, "/x"}, Metrics{"unix:/x", "/x"}
				c.History = History{"/x", 1, 1, 1, 1}
				c.Log.Format, c.Judging.Engine, c.Log.Level = "json", EngineLibSVMGo, "debug"
			}),
			[]string{
				"control.socket", "history.days", "history.file", "history.incidents", "history.unit_days", "history.units", "hooks.dir", "hooks.pokes", "hooks.timeout", "judging.engine", "libvirt.run_dir", "libvirt.uri", "log.format", "lttng.domain_buffer_bytes",
				"lttng.domain_events_per_second", "lttng.features",
				"lttng.output_dir", "lttng.sub_buffer_bytes", "lttng.sub_buffers", "lttng.total_buffer_bytes", "metrics.listen", "metrics.web_config", "profiles.dir",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Default().NeedsRestart(test.to)); diff != "" {
				t.Errorf("NeedsRestart (-want +got):\n%s", diff)
			}
			now := Default().AtRunTime(test.to)
			if keys := Default().NeedsRestart(now); keys != nil {
				t.Errorf("AtRunTime leaves %q", keys)
			}
			if now.Log.Level != test.to.Log.Level || !cmp.Equal(now.Domains, test.to.Domains) || now.Learning != test.to.Learning {
				t.Error("AtRunTime leaves the old values of what can change")
			}
		})
	}
}

// Where a file of tables, whatever their order and form, has one unknown key, its line is told.
func TestLineOfUnknownKey(t *testing.T) {
	blocks := []string{
		"# [[domain]]\n\n", "[libvirt]\nuri = \"\"\"\nxyzzy = 1\n[log]\n\"\"\"\n", "[lttng] # x\nsub_buffers = 4\n",
		"learning.units = 40\n", "log = {level = 'info'}\n", "[[domain]]\nname = '*'\n", "[judging]\r\nnu = 0.1\r\n\r\n",
		"[[domain]]\n'name' = 'a\\'\nunits = 50\n", "[profiles]\n\t\"dir\" = '''/x'''\n",
	}
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.Permutation(blocks).Draw(t, "order")
		// Keys of no table come first.
		var head, rest []string
		for _, b := range order {
			if strings.HasPrefix(b, "l") || strings.HasPrefix(b, "#") {
				head = append(head, b)
			} else {
				rest = append(rest, b)
			}
		}
		all := slices.Concat(head, rest)
		at := rapid.IntRange(0, len(all)).Draw(t, "at")
		unknown := rapid.SampledFrom([]string{"xyzzy = 1\n", "'xyzzy' = '''\n'''\n", "  xyzzy.deep = [1,\n2]\n", "xyzzy={a=1}\n", "\"\\u0078yzzy\" = 1 # x\n"}).Draw(t, "unknown")
		before := strings.Join(all[:at], "")
		_, err := parse(before + unknown + strings.Join(all[at:], ""))
		want := "line " + strconv.Itoa(strings.Count(before, "\n")+1) + ": unknown key "
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "xyzzy") {
			t.Fatalf("parse = %v; want %q", err, want)
		}
	})
}

func TestDropInsDirectory(t *testing.T) {
	for file, want := range map[string]string{"v.toml": "v.d", "v.conf": "v.conf.d", "v": "v.d"} {
		dir := write(t, map[string]string{filepath.Join(want, "a.toml"): ""})
		found, err := dropIns(filepath.Join(dir, file))
		if diff := cmp.Diff([]string{filepath.Join(dir, want, "a.toml")}, found); err != nil || diff != "" {
			t.Errorf("dropIns(%s): %v (-want +got):\n%s", file, err, diff)
		}
	}
}

func TestMost(t *testing.T) {
	for l, want := range map[Learning]int{
		{Units: 300}: 900, {Units: 300, MaxUnits: 400}: 400, {Units: 300, MaxUnits: 90}: 300, {Units: 30000}: 43200, {Units: 43200}: 43200,
	} {
		if got := l.Most(); got != want {
			t.Errorf("%+v: %d; want %d", l, got, want)
		}
	}
}
