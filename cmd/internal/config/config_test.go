package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	want := Default()
	want.Libvirt.URI = "qemu:///session"
	want.Learning = Learning{Units: 90, Starting: Duration(30 * time.Second)}
	got := Default()
	if err := got.parse("[libvirt]\nuri = 'qemu:///session'\n[learning]\nunits = 90\nstarting = '30s'\n"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parse (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct{ text, complaint string }{
		"unknown key":     {"[learning]\nunit = 90\n", "unknown key learning.unit"},
		"unknown table":   {"[learn]\nunits = 90\n", "unknown key learn"},
		"syntax":          {"[learning]\nunits = \n", "line 2"},
		"wrong type":      {"[learning]\nunits = 'many'\n", "units"},
		"bad duration":    {"[learning]\nstarting = '30 parsecs'\n", "parsecs"},
		"too few units":   {"[learning]\nunits = 3\n", "learning.units: 3"},
		"relative path":   {"[profiles]\ndir = 'profiles'\n", `profiles.dir: "profiles"`},
		"no power of two": {"[lttng]\nsub_buffers = 3\n", "lttng.sub_buffers: 3"},
		"alarm > window":  {"[judging]\nwindow = 2\nalarm = 3\n", "alarm at 3 of 2"},
		"window alone":    {"[judging]\nwindow = 2\n", "judging"},
		"window too long": {"[judging]\nwindow = 65\n", "judging"},
		"level nan":       {"[judging]\nlevel = nan\n", "judging"},
		"gamma inf":       {"[judging]\ngamma = inf\n", "judging"},
		"engine":          {"[judging]\nengine = 'svmlight'\n", "svmlight"},
		"log format":      {"[log]\nformat = 'xml'\n", "xml"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := Default()
			err := c.parse(test.text)
			if err == nil || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("parse = %v; want a complaint with %q", err, test.complaint)
			}
		})
	}
}

func TestRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "virtsentry.toml")
	if c, err := Read(missing, true); err != nil || c != Default() {
		t.Errorf("Read of no file, optional = %+v, %v; want the defaults", c, err)
	}
	if _, err := Read(missing, false); err == nil {
		t.Error("Read of no file: no error")
	}
	if err := os.WriteFile(missing, []byte("x = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(missing, true); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("Read = %v; want an error that names the file", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[learning]\nunits = 90\nstarting = '30s'\n")
	f.Fuzz(func(_ *testing.T, text string) {
		c := Default()
		_ = c.parse(text)
	})
}
