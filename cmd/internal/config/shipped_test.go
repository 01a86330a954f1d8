package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// shipped is the file that packages install.
const shipped = "../../../packaging/etc/virtsentry.toml"

// A line that is commented out has no space after the #; prose has one.
var commentedOut = regexp.MustCompile(`(?m)^#(\S.*)$`)

// As it is shipped, the file changes nothing. With all of its lines in force, every key has its default, and none is missing.
func TestShippedFile(t *testing.T) {
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	ignored := cmpopts.IgnoreFields(Config{}, "Files", "Domains")
	read := func(text string) Config {
		t.Helper()
		l := newLoader()
		if err := l.add(shipped, text); err != nil {
			t.Fatal(err)
		}
		if err := l.check(); err != nil {
			t.Fatal(err)
		}
		return l.config
	}
	as := read(string(text))
	if diff := cmp.Diff(Default(), as, ignored); diff != "" || len(as.Domains) != 0 {
		t.Errorf("the file as it is shipped changes something (-want +got):\n%s%v", diff, as.Domains)
	}
	full := commentedOut.ReplaceAllString(string(text), "$1")
	if diff := cmp.Diff(Default(), read(full), ignored); diff != "" {
		t.Errorf("the file gives defaults that are none (-want +got):\n%s", diff)
	}
	statements, err := split(full)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, s := range statements {
		for _, k := range s.keys {
			got[k.String()] = true
		}
	}
	wanted := func(key string, _ reflect.Value) {
		if !got[key] {
			t.Errorf("%s is not in the file", key)
		}
	}
	walk(reflect.ValueOf(Config{}), "", wanted)
	walk(reflect.ValueOf(Match{}), "domain.", wanted)
}

// Before each key and each table stands what it is.
func TestShippedFileExplains(t *testing.T) {
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		statement := commentedOut.MatchString(line) || line != "" && line[0] != '#'
		if statement && (i == 0 || !strings.HasPrefix(lines[i-1], "# ")) {
			t.Errorf("line %d: nothing explains %s", i+1, line)
		}
	}
}
