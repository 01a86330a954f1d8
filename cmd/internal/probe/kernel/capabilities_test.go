package kernel

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// observeVariable has the process that TestCapabilities starts observe a process and a device: "PID INDEX".
const observeVariable = "VIRTSENTRY_TEST_OBSERVE"

// TestCapabilities observes as another user than root, who has nothing but the capabilities that virtsentry-probe shall have.
func TestCapabilities(t *testing.T) {
	if what := os.Getenv(observeVariable); what != "" {
		observe(t, what)
		return
	}
	newNetwork(t)
	g := newTap(t, "a0")
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sleep.Process.Kill()
		_ = sleep.Wait()
	})
	all := []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN}
	for _, tt := range []struct {
		name string
		caps []uintptr
		want string
	}{
		{"all of them", all, "tap: observed, syscalls: observed"},
		{"no CAP_BPF", all[1:], "tap: not permitted, syscalls: not permitted"},
		{"no CAP_PERFMON", []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN}, "tap: not permitted, syscalls: not permitted"},
		{"no CAP_NET_ADMIN", all[:2], "tap: not permitted, syscalls: observed"},
	} {
		// In this goroutine: its thread is in the network namespace.
		c := exec.Command("/proc/self/exe", "-test.run", "^TestCapabilities$", "-test.v")
		c.Dir = "/"
		c.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", observeVariable, sleep.Process.Pid, g.Index))
		const nobody = 65534
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: tt.caps}
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.want+"\n") {
			t.Errorf("%s: %v: %s", tt.name, err, out)
		}
	}
}

// observe tells what could be observed.
func observe(t *testing.T, what string) {
	pid, index, _ := strings.Cut(what, " ")
	var target Target
	target.PID, _ = strconv.Atoi(pid)
	target.Taps = []TapDevice{{Name: "a0"}}
	target.Taps[0].Index, _ = strconv.Atoi(index)
	try := func(s probe.Source) string {
		c, err := Attach(s, target, Options{Headers: true})
		switch {
		case errors.Is(err, ErrPermission):
			t.Log(err)
			return ErrPermission.Error()
		case err != nil:
			return err.Error()
		}
		if _, err := c.Collect(true); err != nil {
			return err.Error()
		}
		if err := c.Close(); err != nil {
			return err.Error()
		}
		return "observed"
	}
	t.Logf("tap: %s, syscalls: %s", try(probe.Tap), try(probe.Syscalls))
}
