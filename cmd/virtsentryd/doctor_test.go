//go:build integration

package main

import (
	"os/exec"
	"testing"
)

func (s *stack) testDoctor(t *testing.T) {
	s.web.judged(t)
	virtsentry := s.build(t, "virtsentry")
	doctor := exec.CommandContext(t.Context(), virtsentry, "doctor", "--socket", s.file("control.sock"), "--run-dir", s.lab.RunLibvirt(),
		"--config", s.file("virtsentryd.toml"), s.web.name)
	if out, err := doctor.CombinedOutput(); err != nil {
		t.Errorf("virtsentry doctor: %v\n%s", err, out)
	}
}
