package version

import "testing"

func TestString(t *testing.T) {
	if got := String(); got != "unreleased" {
		t.Errorf("a test's version is %q", got)
	}
	number = "1.2.3"
	t.Cleanup(func() { number = "" })
	if got := String(); got != "1.2.3" {
		t.Errorf("%q, though the linker has set another", got)
	}
}
