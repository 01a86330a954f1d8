package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEverydayLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "everyday.log")
	line, err := newEverydayLog(path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, s := range []string{
		"0 script begin\n", "1 minute begin\n", "1 minute end 0\n", "2 backup begin\n",
		"2 backup end 22 curl: (22)\x00\x1b[1m \n", "3 rotate begin\n", "nonsense", "", "\xff\xfe",
	} {
		line.add(at, s)
	}
	lost := line.merge([]byte("1767323045.000001 1 minute end 0\n1767323046.500000 4 five begin\n1767323047.5 4 five end 0\nx y z\n\n"))
	if lost != 2 {
		t.Errorf("%d lines were lost, want 2", lost)
	}
	runs := []run{
		{1, 0, "minute", false}, {2, 0, "backup", false}, {3, 0, "rotate", false}, {4, 0, "five", false},
		{5, 0, "minute", false}, {6, time.Hour, "minute", false},
	}
	want := []string{"2 backup end 22 curl: (22)  [1m", "3 rotate did not end in time", "5 minute did not begin"}
	if diff := cmp.Diff(want, line.verdict(runs, time.Minute)); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
	if err := line.close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2026-01-02T03:04:05.000000006Z 1 minute begin\n", "2026-01-02T03:04:06.500000000Z 4 five begin\n",
		"2026-01-02T03:04:05.000000006Z 2 backup end 22 curl: (22)  [1m\n",
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the time line lacks %q:\n%s", want, raw)
		}
	}
}

func TestEverydayLogTellsThatItCannotWrite(t *testing.T) {
	if _, err := newEverydayLog(t.TempDir()); err == nil {
		t.Error("a directory was taken for a file")
	}
	line, err := newEverydayLog(filepath.Join(t.TempDir(), "everyday.log"))
	if err != nil {
		t.Fatal(err)
	}
	_ = line.f.Close()
	line.add(time.Now(), "1 minute begin")
	if err := line.close(); err == nil {
		t.Error("a line that was not written went unnoticed")
	}
}
