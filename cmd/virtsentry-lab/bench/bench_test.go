package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFile(t *testing.T) {
	type result struct{ Events int }
	dir := t.TempDir()
	if _, ok, err := Read[result](dir, "decode"); ok || err != nil {
		t.Errorf("a file that there is not: %v, %v", ok, err)
	}
	machine, err := ThisMachine()
	if err != nil || machine.CPUs == 0 || machine.Memory == 0 || machine.Kernel == "" {
		t.Errorf("machine %+v, %v", machine, err)
	}
	want := File[result]{Format: format, Name: "decode", Begin: time.Unix(1, 0).UTC(), Machine: machine, Result: result{Events: 7}}
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := Read[result](dir, "decode")
	if diff := cmp.Diff(want, got); !ok || err != nil || diff != "" {
		t.Errorf("read %v, %v: %s", ok, err, diff)
	}
	for name, text := range map[string]string{
		"cut":    `{"format": 1, "na`,
		"format": `{"format": 2, "name": "format"}`,
		"name":   `{"format": 1, "name": "other"}`,
		"key":    `{"format": 1, "name": "key", "what": 1}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := Read[result](dir, name); ok || err == nil || !strings.Contains(err.Error(), name+".json") {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

func TestCPU(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for x, end := 0, time.Now().Add(50*time.Millisecond); time.Now().Before(end); x++ { //nolint:revive // it is to take time
	}
	after, err := CPU(os.Getpid())
	if err != nil || after < before {
		t.Errorf("%v after %v, %v", after, before, err)
	}
	if _, err := CPU(1 << 30); err == nil {
		t.Error("a process that there is not has taken CPU time")
	}
}

func TestFill(t *testing.T) {
	page := "# P\n<!-- table: a -->\nold\n<!-- end of table -->\n<!-- table: b -->\n<!-- end of table -->\n"
	got, err := Fill(page, "", map[string]Section{
		"a": func(string) (string, bool, error) { return "| new |\n", true, nil },
		"b": func(string) (string, bool, error) { return "", false, nil },
	})
	want := "# P\n<!-- table: a -->\n\n| new |\n\n<!-- end of table -->\n<!-- table: b -->\n\n" + missing + "\n\n<!-- end of table -->\n"
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
