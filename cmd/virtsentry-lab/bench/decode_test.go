package bench

import (
	"strings"
	"testing"
)

func TestEventPrinted(t *testing.T) {
	for line, want := range map[string]string{
		`[19:18:09.590109100] (+?.?????????) vm:qemu-system-x86:(14543) qemu:apic_local_deliver: { cpu_id = 0 }, { vector = 0, lvt = 0 }`: "qemu:apic_local_deliver",
		`[22:10:08.560331381] (+0.000000332) vm:a b:(1) fields:begin: { cpu_id = 0 }, { s = "x: { y" }`:                                   "fields:begin",
		`[22:10:08.560331381] (+0.000000332) fields:nothing: { }`:                                                                         "fields:nothing",
	} {
		m := eventPrinted.FindStringSubmatch(line)
		if m == nil || m[1] != want {
			t.Errorf("%s: %q, not %q", line, m, want)
		}
	}
}

func TestDecodeSection(t *testing.T) {
	trace := func(ours float64) Decode {
		return Decode{Babeltrace: "babeltrace 2", Traces: []DecodeTrace{{
			Name: "qemu", Short: DecodeInput{Events: 1e5, Bytes: 24e5, Kinds: 16}, Long: DecodeInput{Events: 1e6, Bytes: 24e6, Kinds: 16}, Readers: decodeReaders,
			Rounds: []DecodeRound{{Short: []float64{0.1, 0.01, 0.01}, Long: []float64{0.46, 0.01 + ours, 0.03}, Read: 0.002}},
		}}}
	}
	for ours, want := range map[float64][]string{
		0.008: {"**45.0**", "400.0", "this holds"},
		0.012: {"**30.0**", "does not hold", "the slope of qemu is 30.0 times"},
	} {
		dir := t.TempDir()
		if err := Write(dir, File[Decode]{Name: DecodeName, Result: trace(ours)}); err != nil {
			t.Fatal(err)
		}
		text, ok, err := DecodeSection(dir)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("with %g s more there is no %q in\n%s", ours, w, text)
			}
		}
	}
	if _, ok, err := DecodeSection(t.TempDir()); ok || err != nil {
		t.Errorf("no results: %t, %v", ok, err)
	}
}
