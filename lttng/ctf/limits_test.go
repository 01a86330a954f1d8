package ctf

import (
	"runtime"
	"strings"
	"testing"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

// TestLargestMetadata: metadata of the largest size, of what takes the most room, are read or refused within a bound of memory.
func TestLargestMetadata(t *testing.T) {
	const mostMiB = 1 << 10
	tr := ctftest.Trace{Events: []string{"a"}}
	text := tr.Metadata()
	for name, repeated := range map[string]string{
		"types":    "typealias integer { size = 8; } := unsigned char;",
		"fields":   "struct { uint8_t a; uint8_t b; uint8_t c; uint8_t d; };",
		"enums":    "enum : uint8_t { A, B, C, D, E, F, G, H };",
		"blocks":   "env { a = 1; };",
		"comments": "/* */",
		"space":    "        ",
		"names":    strings.Repeat("x", 1<<16) + ";",
		"nested":   strings.Repeat("struct {", 40) + strings.Repeat("};", 40),
	} {
		data := []byte(text + strings.Repeat(repeated, (maxMetadata-len(text))/len(repeated)))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		md, err := ParseMetadata(data)
		runtime.ReadMemStats(&after)
		taken := (after.TotalAlloc - before.TotalAlloc) >> 20
		t.Logf("%s: %d MiB, %v", name, taken, err)
		if taken > mostMiB {
			t.Errorf("%s: %d MiB; want %d at most", name, taken, mostMiB)
		}
		runtime.KeepAlive(md)
	}
	if _, err := ParseMetadata(make([]byte, maxMetadata+1)); err == nil {
		t.Error("larger than what is read: no error")
	}
}
