package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// TestForgedClock: a process that has its metadata say that its clock is another one is not observed by that.
func TestForgedClock(t *testing.T) {
	for name, clock := range map[string]string{
		"LTTng's":      "freq = 1000000000; offset = 1700000000000000000",
		"no offset":    "freq = 1000000000; offset = 0",
		"fast":         "freq = 1000; offset = 0",
		"slow":         "freq = 18446744073709551615; offset = 0",
		"far ahead":    "freq = 1000000000; offset = 9000000000000000000",
		"far ahead, s": "freq = 1000000000; offset_s = 9000000000; offset = 0",
		"long ago":     "freq = 1000000000; offset_s = -9000000000; offset = 0",
	} {
		trace := ctftest.Trace{Events: []string{"qemu:a"}, Streams: []ctftest.Stream{{Packets: []ctftest.Packet{{Begin: 5, End: 9}}}}}
		dir := filepath.Join(t.TempDir(), "ust", "pid", "qemu-1-x")
		if err := trace.Write(dir); err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(trace.Metadata(), "freq = 1000000000; offset = 0", clock, 1)
		if err := os.WriteFile(filepath.Join(dir, "metadata"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &ustSource{cutter: unit.NewCutter(nil), started: 1}
		err := s.begin(filepath.Dir(dir), 2)
		if good := name == "LTTng's" || name == "no offset"; good != (err == nil) || good != (s.clock != nil) || !good && !errors.Is(err, errUnreadable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
