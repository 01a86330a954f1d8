package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// parse reads one text over the defaults.
func parse(text string) (Config, error) {
	l := newLoader()
	if err := l.add("FILE", text); err != nil {
		return Default(), err
	}
	return l.config, l.check()
}

func ptr[T any](v T) *T { return &v }

func TestParse(t *testing.T) {
	want := Default()
	want.Files = []string{"FILE"}
	want.Libvirt.URI = "qemu:///session"
	want.Learning = Learning{Units: 90, Starting: Duration(30 * time.Second)}
	want.Domains = []Match{
		{Name: "web-*", Override: Override{Watch: ptr(false)}, Source: "FILE: line 6"},
		{
			UUID:     "C7A5FDBD-cdaf-9455-926a-d65c16db1809",
			Override: Override{Starting: ptr(Duration(0)), Nu: ptr(0.1), Alarm: ptr(2), QuietUnits: ptr(15)}, Source: "FILE: line 9",
		},
	}
	got, err := parse("[libvirt]\nuri = 'qemu:///session'\n[learning]\nunits = 90\nstarting = '30s'\n" +
		"[[domain]] # the first\nname = 'web-*'\nwatch = false\n" +
		"[['domain']]\nuuid = 'C7A5FDBD-cdaf-9455-926a-d65c16db1809'\nstarting = '0'\n'nu' = 0.1\nalarm = 2\nquiet_units = 15\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parse (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	const (
		prefix = "configuration FILE: "
		domain = "[[domain]]\nname = 'a'\n"
		id     = "uuid = 'c7a5fdbd-cdaf-9455-926a-d65c16db1809'\n"
	)
	tests := map[string]struct{ text, complaint string }{
		"unknown key":            {"[learning]\nunit = 90\n", "line 2: unknown key learning.unit (did you mean learning.units?)"},
		"unknown key, far":       {"[learning]\n\n# x\ncolour = 90\n", "line 4: unknown key learning.colour"},
		"unknown key, case":      {"[learning]\nUnits = 90\n", "line 2: unknown key learning.Units (did you mean learning.units?)"},
		"key of another table":   {"units = 90\n", "line 1: unknown key units (did you mean learning.units?)"},
		"several":                {"[learning]\nunit = 90\n[log]\nlvl = 'info'\n", "line 2: unknown key learning.unit (did you mean learning.units?)\nline 4: unknown key log.lvl"},
		"unknown table":          {"\n[learn]\nunits = 90\nx = 2\n", "line 2: unknown key learn"},
		"unknown table, close":   {"[learning]\n[juding]\nnu = 0.1\n", "line 2: unknown key juding (did you mean judging?)"},
		"unknown table in table": {"[learning.more.deep]\nunits = 90\n", "line 1: unknown key learning.more"},
		"dotted":                 {"log.level = 'info'\nlearning.unit = 90\n", "line 2: unknown key learning.unit"},
		"dotted below a key":     {"[learning]\nunits.x = 90\n", "line 2: unknown key learning.units.x"},
		"quoted":                 {"[learning]\nunits = 90\n\"un.it\" = 90\n", `line 3: unknown key learning."un.it"`},
		"quoted, escaped":        {"['log']\n\"l\\u0065vels\" = 90\n", `line 2: unknown key log.levels (did you mean log.level?)`},
		"inline table":           {"log = {level = 'info',\tfromat = 'text'}\n", "line 1: unknown key log.fromat (did you mean log.format?)"},
		"empty key":              {"[log]\n'' = 1\n", `line 2: unknown key log.""`},
		"after lines of a value": {"[libvirt]\nuri = '''\nunit = 1\n[learn]\n'''\n[log] # [learn]\nlvl = [\n1,\n]\n", "line 7: unknown key log.lvl"},
		"carriage returns":       {"[learning]\r\nunits = 90\r\nunit = 90\r\n", "line 3: unknown key learning.unit"},
		"byte order mark":        {"\ufeff[learning]\nunit = 90\n", "line 2: unknown key learning.unit"},
		"same table twice":       {"[log]\n[log]\n", "line 2"},
		"key twice":              {"[log]\nlevel = 'info'\nlevel = 'info'\n", "line 3"},
		"syntax":                 {"[learning]\nunits = \n", "line 2"},
		"not UTF-8":              {"[learning]\nunits = '\xff'\n", "line 2"},
		"wrong type":             {"[learning]\nunits = 'many'\n", "line 2: learning.units: incompatible types: TOML value has type string"},
		"wrong type, table":      {"log = 1\n", "line 1: log: "},
		"wrong type, array":      {"[[log]]\nlevel = 'info'\n", "line 1: log: "},
		"bad duration":           {"[learning]\n\nstarting = '30 parsecs'\n", "line 3: learning.starting: time: unknown unit"},
		"duration, number":       {"[learning]\nstarting = 30\n", "line 2: learning.starting: time: missing unit"},
		"long value":             {"[libvirt]\nuri = '''" + strings.Repeat("\n", 300) + "'''\n", "line 2: a value of more than 256 lines"},

		"too few units":      {"[learning]\nunits = 3\n", "FILE: line 2: learning.units: 3"},
		"many units":         {"[learning]\nmax_units = 43201\n", "FILE: line 2: learning.max_units: 43201 is not between"},
		"long start":         {"[learning]\nstarting = '25h'\n", "line 2: learning.starting: 25h0m0s"},
		"negative start":     {"[learning]\nstarting = '-1s'\n", "line 2: learning.starting: -1s"},
		"relative path":      {"[profiles]\ndir = 'profiles'\n", `line 2: profiles.dir: "profiles"`},
		"no power of two":    {"[lttng]\nsub_buffers = 3\n", "line 2: lttng.sub_buffers: 3"},
		"no power of two, 2": {"[lttng]\nsub_buffer_bytes = 5000\n", "line 2: lttng.sub_buffer_bytes: 5000"},
		"many buffers":       {"[lttng]\nsub_buffers = 128\n", "line 2: lttng.sub_buffers: 128"},
		"negative buffer":    {"[lttng]\ndomain_buffer_bytes = -1\n", "line 2: lttng.domain_buffer_bytes: -1"},
		"no buffer":          {"[lttng]\ntotal_buffer_bytes = 0\n", "line 2: lttng.total_buffer_bytes: 0"},
		"domain over total":  {"[lttng]\ntotal_buffer_bytes = 100\n", "line 2: lttng.domain_buffer_bytes, lttng.total_buffer_bytes: a domain"},
		"alarm > window":     {"[judging]\nwindow = 2\nalarm = 3\n", "line 3: judging.window, judging.alarm: alarm at 3 of 2"},
		"window alone":       {"[judging]\nwindow = 2\n", "line 2: judging"},
		"window too long":    {"[judging]\nwindow = 65\n", "line 2: judging"},
		"quiet units":        {"[judging]\nquiet_units = -1\n", "line 2: judging.quiet_units: -1"},
		"alarms, negative":   {"[judging]\nalarms_per_day = -1\n", "FILE: line 2: judging.alarms_per_day: -1 false alarms a day, want "},
		"alarms, nan":        {"[judging]\nalarms_per_day = nan\n", "line 2: judging.alarms_per_day: NaN false alarms a day"},
		"many alarms":        {"[judging]\nwindow = 4\nalarms_per_day = 289\n", "line 3: judging.alarms_per_day: 289 false alarms a day, want "},
		"level nan":          {"[judging]\nlevel = nan\n", "line 2: judging.level: NaN"},
		"gamma inf":          {"[judging]\ngamma = inf\n", "line 2: judging.gamma: +Inf"},
		"nu":                 {"[judging]\nnu = 1\n", "line 2: judging.nu: 1"},
		"engine":             {"[judging]\nengine = 'svmlight'\n", `line 2: judging.engine: "svmlight"`},
		"log format":         {"[log]\nformat = 'xml'\n", `line 2: log.format: "xml"`},
		"log level":          {"[log]\nlevel = 'loud'\n", `line 2: log.level: "loud"`},
		"history, relative":  {"[history]\nfile = 'history.db'\n", `line 2: history.file: "history.db"`},
		"history, days":      {"[history]\ndays = 0\n", "line 2: history.days: 0 is not between 1 and 36500"},
		"history, incidents": {"[history]\nincidents = 0\n", "line 2: history.incidents: 0"},
		"history, units":     {"[history]\nunits = -1\n", "line 2: history.units: -1"},
		"history, unit_days": {"[history]\nunit_day = 1\n", "line 2: unknown key history.unit_day (did you mean history.unit_days?)"},
		"overhead":           {"[actions]\noverhead_percent = 101\n", "line 2: actions.overhead_percent: 101 is not between 0 (no limit) and 100"},
		"overhead nan":       {"[actions]\noverhead_percent = nan\n", "line 2: actions.overhead_percent: NaN"},
		"short action":       {"[actions]\nduration = '3s'\n", "line 2: actions.duration: 3s is not between"},
		"long action":        {"[actions]\nmax_duration = '61m'\n", "line 2: actions.max_duration: 1h1m0s is not between"},
		"usual above most":   {"[actions]\nduration = '11m'\n", "line 2: actions.duration, actions.max_duration: an action"},
		"guest seconds":      {"[actions]\nguest_seconds_per_hour = nan\n", "line 2: actions.guest_seconds_per_hour: NaN"},
		"hook's timeout":     {"[hooks]\ntimeout = '0s'\n", "line 2: hooks.timeout: 0s"},

		"domain, unknown key":      {domain + "[[domain]]\nname = 'b'\nunit = 90\n" + domain, "line 5: unknown key domain.unit (did you mean domain.units?)"},
		"domain, wrong type":       {domain + "[[domain]]\nname = 'b'\nunits = 'x'\n" + domain + "units = 90\n", "line 5: domain.units: incompatible types"},
		"domain, out of range":     {domain + "[[domain]]\nname = 'b'\nunits = 1\n" + domain + "units = 90\n", "line 5: units: 1 is not between"},
		"domain, overhead":         {domain + "overhead_percent = -1\n", "line 3: overhead_percent: -1 is not between"},
		"domain, alarms":           {domain + "alarms_per_day = 1000\n", "line 3: alarms_per_day: 1000 false alarms a day"},
		"domain, with the table":   {"[judging]\nalarm = 5\nwindow = 5\n" + domain + "window = 4\n", "line 6: window, alarm: alarm at 5 of 4"},
		"domain, neither":          {domain + "[[domain]]\nunits = 90\n", "line 3: name, uuid: a [[domain]] needs"},
		"domain, both":             {domain + "\n" + id, "line 4: name, uuid: a [[domain]] needs"},
		"domain, no UUID":          {"[[domain]]\nuuid = '1'\n", `line 2: uuid: "1" is not a UUID`},
		"domain, no pattern":       {"[[domain]]\nname = 'a['\n", `line 2: name: "a[" is not a pattern`},
		"domain as table":          {"[domain]\nname = 'a'\n", "line 1: a domain is written as [[domain]]"},
		"domain as array":          {"domain = [{name = 'a'}]\n", "line 1: a domain is written as [[domain]]"},
		"domain, dotted":           {"domain.name = 'a'\n", "line 1: a domain is written as [[domain]]"},
		"domain, table of its own": {domain + "[domain.x]\n", "line 3: unknown key domain.x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse(test.text)
			if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("parse = %v; want a complaint with %q", err, test.complaint)
			}
		})
	}
}

// write makes files below a new directory and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "virtsentry.toml")
	c, err := Read(missing, true)
	if diff := cmp.Diff(Default(), c); err != nil || diff != "" {
		t.Errorf("Read of no file, optional: %v (-want +got):\n%s", err, diff)
	}
	if _, err := Read(missing, false); err == nil {
		t.Error("Read of no file: no error")
	}
	file := filepath.Join(write(t, map[string]string{"virtsentry.toml": "x = 1\n"}), "virtsentry.toml")
	if _, err := Read(file, true); err == nil || !strings.Contains(err.Error(), file+": line 1: unknown key x") {
		t.Errorf("Read = %v; want an error that names the file and the line", err)
	}
	big := filepath.Join(write(t, map[string]string{"virtsentry.toml": strings.Repeat("#", maxFile+1)}), "virtsentry.toml")
	if _, err := Read(big, true); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("Read of a large file = %v", err)
	}
}

func TestDropIns(t *testing.T) {
	dir := write(t, map[string]string{
		"v.toml":           "[learning]\nunits = 90\nstarting = '30s'\n[judging]\nwindow = 6\n[[domain]]\nname = 'a'\n[log]\nformat = 'json'\n",
		"v.d/10-x.toml":    "[learning]\nunits = 100\n[[domain]]\nname = 'b'\nwatch = false\n",
		"v.d/20-y.toml":    "[judging]\nalarm = 4\n[[domain]]\nname = 'c'\n[learning]\nunits = 110\n",
		"v.d/.hidden.toml": "nonsense",
		"v.d/README":       "nonsense",
		"v.d/x.toml.bak":   "nonsense",
	})
	file := func(name string) string { return filepath.Join(dir, name) }
	want := Default()
	want.Learning = Learning{Units: 110, Starting: Duration(30 * time.Second)}
	want.Judging.Window, want.Judging.Alarm = 6, 4
	want.Log.Format = "json"
	want.Domains = []Match{
		{Name: "a", Source: file("v.toml") + ": line 6"},
		{Name: "b", Override: Override{Watch: ptr(false)}, Source: file("v.d/10-x.toml") + ": line 3"},
		{Name: "c", Source: file("v.d/20-y.toml") + ": line 3"},
	}
	want.Files = []string{file("v.toml"), file("v.d/10-x.toml"), file("v.d/20-y.toml")}
	got, err := Read(file("v.toml"), false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Read (-want +got):\n%s", diff)
	}

	// Drop-ins need no main file where that is optional.
	if err := os.Remove(file("v.toml")); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(file("v.toml"), true); err != nil || got.Learning.Units != 110 {
		t.Errorf("Read of drop-ins alone: %d units, %v", got.Learning.Units, err)
	}
	if _, err := Read(file("v.toml"), false); err == nil {
		t.Error("Read of drop-ins alone, main file not optional: no error")
	}
}

func TestDropInsRefused(t *testing.T) {
	main := "[judging]\nwindow = 6\nalarm = 6\n[[domain]]\nname = 'a'\nunits = 40\n"
	tests := map[string]struct{ text, complaint string }{
		"unknown key":       {"[log]\n\nx = 1\n", "v.d/a.toml: line 3: unknown key log.x"},
		"syntax":            {"\n[log]\nlevel = \n", "v.d/a.toml: line 3"},
		"with another file": {"[judging]\nwindow = 5\n", "v.d/a.toml: line 2: judging.window, judging.alarm: alarm at 6 of 5"},
		"its domain":        {"[[domain]]\nname = 'b'\nunits = 1\n", "v.d/a.toml: line 3: units: 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(write(t, map[string]string{"v.toml": main, "v.d/a.toml": test.text}), "v.toml")
			if _, err := Read(file, true); err == nil || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("Read = %v; want a complaint with %q", err, test.complaint)
			}
		})
	}
	t.Run("directory", func(t *testing.T) {
		file := filepath.Join(write(t, map[string]string{"v.d/a.toml/x": ""}), "v.toml")
		if _, err := Read(file, true); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("Read = %v", err)
		}
	})
	t.Run("dangling", func(t *testing.T) {
		dir := write(t, map[string]string{"v.d/README": ""})
		if err := os.Symlink("nothing", filepath.Join(dir, "v.d/a.toml")); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(filepath.Join(dir, "v.toml"), true); err == nil || !strings.Contains(err.Error(), "a.toml") {
			t.Errorf("Read = %v; want an error: the main file alone is optional", err)
		}
	})
}

// README.md shows the defaults, and an example of [[domain]].
func TestReadmeShowsTheDefaults(t *testing.T) {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### The configuration\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := strings.Split(section, "```toml\n")[1:]
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of TOML in README.md's section on the configuration", len(blocks))
	}
	for i := range blocks {
		blocks[i], _, _ = strings.Cut(blocks[i], "```")
	}
	want := Default()
	want.Files = []string{"FILE"}
	got, err := parse(blocks[0])
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("README.md does not show the defaults: %v (-want +got):\n%s", err, diff)
	}
	for key, table := range known {
		if _, name, _ := strings.Cut(key, "."); !table && !strings.HasPrefix(key, "domain.") && !strings.Contains(blocks[0], "\n"+name+" = ") {
			t.Errorf("README.md does not show %s", key)
		}
	}
	if c, err := parse(blocks[1]); err != nil || len(c.Domains) == 0 {
		t.Errorf("README.md's example of [[domain]]: %d domains, %v", len(c.Domains), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[learning]\nunits = 90\nstarting = '30s'\n")
	f.Add("[[domain]]\nname = '*'\nunits = 90\n[[domain]]\nuuid = 'c7a5fdbd-cdaf-9455-926a-d65c16db1809'\nwatch = false\n")
	f.Add("\ufeffa.'b' = {c = [1,\n {d = 1}]}\r\n [[e.f]]\n[e.f.g]\nh = \"\"\"\n[x]\"\"\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parse(text)
		var values map[string]any
		meta, syntaxErr := toml.Decode(text, &values)
		if syntaxErr != nil {
			if err == nil {
				t.Fatalf("parse takes what cannot be parsed: %v", syntaxErr)
			}
			return
		}
		// Statement by statement, the keys are those of the whole.
		statements, err := split(text)
		if err != nil {
			return
		}
		want, got := map[string]bool{}, map[string]bool{}
		for _, key := range meta.Keys() {
			want[key.String()] = true
		}
		for _, s := range statements {
			for _, key := range s.keys {
				got[key.String()] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("keys of the statements (-want +got):\n%s", diff)
		}
	})
}
