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
