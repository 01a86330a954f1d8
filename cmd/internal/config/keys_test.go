package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadKeys(t *testing.T) {
	one, two := strings.Repeat("a", 32), strings.Repeat("b", 44)
	tests := map[string]struct {
		text      string
		mode      os.FileMode
		want      []string
		complaint string
	}{
		"two":       {"# both\n" + one + "\n\n  " + two + "\r\n", 0o640, []string{one, two}, ""},
		"short":     {one + "\nsecret\n", 0o600, nil, "keys:2: a key of 6 bytes"},
		"none":      {"# none\n", 0o600, nil, "no key"},
		"open":      {one, 0o644, nil, "mode 0644"},
		"writeable": {one, 0o660, nil, "mode 0660"},
		"large":     {strings.Repeat("a", maxKeyFile+1), 0o600, nil, "larger than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, test.mode); err != nil {
				t.Fatal(err)
			}
			keys, err := ReadKeys(file)
			if test.complaint == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.complaint) {
				t.Fatalf("%v; want %q", err, test.complaint)
			}
			var got []string
			for _, key := range keys {
				got = append(got, string(key))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := ReadKeys(t.TempDir()); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := ReadKeys(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file: no error")
	}
}
