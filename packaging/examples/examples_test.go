//go:build integration

// Package examples_test runs the tests of the examples, which are in the examples' own language.
package examples_test

import (
	"os/exec"
	"testing"
)

func TestFollowStates(t *testing.T) {
	// -B: nothing is left in the tree.
	out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-B", "-m", "unittest", "-v", "test_follow_states").CombinedOutput()
	if err != nil {
		t.Fatalf("%v (Debian package python3-libvirt, packaging/install packaging/deps)\n%s", err, out)
	}
	t.Logf("%s", out)
}
