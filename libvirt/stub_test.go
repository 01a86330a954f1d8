package libvirt

import (
	"errors"
	"strings"
	"testing"
)

func TestParseDescriptorTable(t *testing.T) {
	base, limit, err := parseDescriptorTable("RAX=0000000000000000 RBX=ffff\r\nGDT=     fffffe0000001000 0000007f\r\nIDT=     fffffe0000000000 00000fff\r\nCR0=80050033\r\n")
	if err != nil || base != 0xfffffe0000000000 || limit != 0xfff {
		t.Errorf("%#x, %#x, %v", base, limit, err)
	}
	for _, text := range []string{"", "IDT=", "IDT= x y", "IDT= 1", "IDT= 1 2 3", "IDT= fffffffffffffffff 0", "IDT= 0 fffffffff", strings.Repeat(" ", 70000) + "\nIDT= 1 2\n"} {
		if base, _, err := parseDescriptorTable(text); !errors.Is(err, ErrGarbled) {
			t.Errorf("%.20q: %#x, %v", text, base, err)
		}
	}
}

func TestRefusal(t *testing.T) {
	if err := refusal(`{"return":{},"id":"libvirt-1"}`); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		`{"id":"x","error":{"class":"GenericError","desc":"Chardev with id 'a' already exists"}}`: "already exists", "": "not understood", "x": "not understood",
		strings.Repeat("x", 5<<20): "5242880 bytes",
	} {
		if err := refusal(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// TestStubElsewhere: a hypervisor that is no QEMU has no stub, and says so.
func TestStubElsewhere(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	if _, err := c.OpenStub(d.UUID, StubPrefix+"1"); err == nil {
		t.Error("the test driver has a stub")
	}
	if _, err := c.Stubs("00000000-0000-4000-8000-000000000000"); !errors.Is(err, ErrNoDomain) {
		t.Errorf("of no domain: %v", err)
	}
	if leaving, err := c.PausedUnexplained(d.UUID); err != nil || leaving {
		t.Errorf("PausedUnexplained = %v, %v", leaving, err)
	}
}

// FuzzMonitor: what QEMU's monitor answers is read within bounds, or is an error.
func FuzzMonitor(f *testing.F) {
	f.Add("IDT=     fffffe0000000000 00000fff\n")
	f.Add(`{"error":{"desc":"x"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, err := parseDescriptorTable(text); err != nil && !errors.Is(err, ErrGarbled) {
			t.Error(err)
		}
		_ = refusal(text)
	})
}
