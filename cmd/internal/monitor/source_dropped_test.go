package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/virtsentry/virtsentry/lttng"
)

// A stream that is missing from a chunk was given up by LTTng, unless the process has ended, or it is not only the process's chunk.
func TestWhole(t *testing.T) {
	chunk := func(traces ...[]string) string {
		dir := t.TempDir()
		for i, files := range traces {
			trace := filepath.Join(dir, "ust", "pid", string(rune('a'+i)))
			if err := os.MkdirAll(filepath.Join(trace, "index"), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range append([]string{"metadata", "index/x_0.idx"}, files...) {
				if err := os.WriteFile(filepath.Join(trace, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		return dir
	}
	alive := true
	s := &ustSource{session: &lttng.Session{}, lives: func() bool { return alive }}
	both, one := []string{"x_0", "x_1"}, []string{"x_1"}
	for _, tc := range []struct {
		what    string
		chunk   string
		alive   bool
		dropped bool
	}{
		{"one at first", chunk(one), true, false},
		{"both", chunk(both), true, false},
		{"both again", chunk(both), true, false},
		{"one", chunk(one), true, true},
		{"none", chunk(nil), true, true},
		{"another process's, too", chunk(one, both), true, false},
		{"no trace", chunk(), true, false},
		{"the last one", chunk(nil), false, false},
	} {
		alive = tc.alive
		if err := s.whole(tc.chunk); errors.Is(err, errDropped) != tc.dropped || err != nil != tc.dropped {
			t.Errorf("%s: %v", tc.what, err)
		}
	}
}
