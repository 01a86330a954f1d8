package syscallname

import "testing"

func TestOf(t *testing.T) {
	for number, want := range map[int]string{0: "read", 59: "execve", 257: "openat", 435: "clone3", -1: "", 100000: ""} {
		if got := Of("amd64", number); got != want {
			t.Errorf("Of(amd64, %d) = %q, want %q", number, got, want)
		}
	}
	if got := Of("arm64", 64); got != "write" {
		t.Errorf("Of(arm64, 64) = %q, want write", got)
	}
	if got := Of("vax", 1); got != "" {
		t.Errorf("Of(vax, 1) = %q, want none", got)
	}
}

func TestNumber(t *testing.T) {
	for name, want := range map[string]int{"read": 0, "execve": 59, "ioctl": 16} {
		if got, ok := Number("amd64", name); !ok || got != want {
			t.Errorf("Number(amd64, %s) = %d, %t; want %d", name, got, ok, want)
		}
	}
	for _, of := range [][2]string{{"amd64", "other"}, {"vax", "read"}} {
		if got, ok := Number(of[0], of[1]); ok {
			t.Errorf("Number(%v) = %d, want none", of, got)
		}
	}
}
