//go:build integration

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/hooks"
)

// appSocket is where applications register with root's session daemon.
const appSocket = "/var/run/lttng/lttng-ust-sock-8"

// testClaim has another process say that it is the guest's QEMU. LTTng asks the kernel, so what that one reports is not the guest's.
func (s *stack) testClaim(t *testing.T) {
	s.web.judged(t)
	program := s.buildImpostor(t)
	event := time.Now()
	impersonate(t, program, nil, "IMPOSTOR_PID="+strconv.Itoa(s.web.pid(t)))
	s.within(t, "some units later", func() bool { return len(s.heard.since(s.web.uuid, event)) > 2*mostUnits })
	for _, u := range s.heard.since(s.web.uuid, event) {
		if !u.Judged || u.Counts["virtqueue_fill"] > foreign {
			t.Errorf("unit %+v; want it judged, and nothing of another process in it", u)
		}
	}
	if d, _ := s.web.status(t); len(d.Incidents) > 0 || d.State == "blind" {
		t.Errorf("status %+v; want the guest judged as before", d)
	}
}

// foreign is fewer than an impostor hits a trace point in a unit, and more than a quiet guest does.
const foreign = 1000

// testIdentity has another process register with LTTng by a connection of the QEMU's own, and so by its process ID. What that one reports is not
// the guest's either.
func (s *stack) testIdentity(t *testing.T) {
	s.web.judged(t)
	daemon, ours, err := s.lab.SessionDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if !ours {
		t.Skip("the host has a session daemon of its own, which is not ours to restart")
	}
	program := s.buildImpostor(t)
	event := time.Now()
	impostor := impersonate(t, program, s.web.connections(t), "IMPOSTOR_SOCKETS=3,4") // soon: LTTng waits for five seconds
	identity := func(d control.DomainStatus) int {
		return slices.IndexFunc(d.Incidents, func(x control.Incident) bool { return x.Kind == "identity" })
	}
	blind := s.web.becomes(t, event, "blind", func(c hooks.Change) bool { return c.State == "blind" && c.Reason != nil && c.Reason.Code == "identity" })
	s.within(t, "an incident is open", func() bool {
		d, ok := s.web.status(t)
		return ok && identity(d) >= 0
	})
	d, _ := s.web.status(t)
	if text := d.Incidents[identity(d)].Text; !strings.Contains(text, strconv.Itoa(impostor.Pid)) {
		t.Errorf("the incident %q does not name process %d", text, impostor.Pid)
	}
	balanced(t, d)
	seen := time.Now()
	s.within(t, "it is still an impostor some units later", func() bool {
		d, ok := s.web.status(t)
		return ok && time.Since(seen) > 10*time.Second && identity(d) >= 0
	})
	for _, u := range s.heard.since(s.web.uuid, blind.Since) {
		if u.Judged {
			t.Errorf("a unit of an impostor's was judged: %+v", u)
		}
	}
	if c, ok := s.heard.change(s.web.uuid, blind.Since, func(c hooks.Change) bool { return c.State != "blind" && c.State != "starting" }); ok {
		t.Errorf("the guest was said to be %s because of what an impostor reports: %+v", c.State, c)
	}
	// LTTng-UST registers again with another session daemon: now the guest's QEMU, and nobody else.
	if err := impostor.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(daemon.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	event = time.Now()
	s.repair(t)
	s.web.judgedAfter(t, event)
	s.within(t, "the incident is over", func() bool {
		d, ok := s.web.status(t)
		return ok && identity(d) < 0 && d.State != "blind"
	})
}

// connections has the guest's QEMU connect twice to the session daemon, as LTTng-UST does to register, and takes the connections.
func (g *guest) connections(t *testing.T) (files []*os.File) {
	t.Helper()
	pid := g.pid(t)
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(process) }()
	before := sockets(t, pid)
	for _, id := range []string{"first", "second"} {
		command := fmt.Sprintf(`{"execute":"chardev-add","arguments":{"id":%q,"backend":{"type":"socket","data":`+
			`{"addr":{"type":"unix","data":{"path":%q}},"server":false}}}}`, "impostor-"+id, appSocket)
		g.domain(t, func(d *golibvirt.Domain) error {
			answer, err := d.QemuMonitorCommand(command, golibvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
			if err == nil && strings.Contains(answer, `"error"`) {
				err = errors.New(answer)
			}
			return err
		})
		for fd, socket := range sockets(t, pid) {
			if before[fd] == socket {
				continue
			}
			before[fd] = socket
			own, err := unix.PidfdGetfd(process, fd, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.SetNonblock(own, false); err != nil { // as LTTng-UST expects it, and QEMU does not
				t.Fatal(err)
			}
			files = append(files, os.NewFile(uintptr(own), id))
		}
	}
	if len(files) != 2 {
		t.Fatalf("QEMU made %d sockets to connect twice", len(files))
	}
	return files
}

// sockets are the sockets of a process by their file descriptors.
func sockets(t *testing.T, pid int) map[int]string {
	t.Helper()
	list, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, file := range list {
		fd, err := strconv.Atoi(filepath.Base(file))
		if to, linkErr := os.Readlink(file); err == nil && linkErr == nil && strings.HasPrefix(to, "socket:") {
			found[fd] = to
		}
	}
	return found
}

// buildImpostor builds a program that reports a trace point of QEMU's.
func (s *stack) buildImpostor(t *testing.T) string {
	t.Helper()
	const source = "../../testdata/impostor"
	binary := s.file("qemu-system-x86") // the name that a QEMU goes by with LTTng
	build := exec.CommandContext(t.Context(), "gcc", "-O2", "-I", source, "-o", binary, source+"/impostor.c", "-llttng-ust", "-ldl", "-lpthread")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build impostor: %v\n%s", err, out)
	}
	return binary
}

// impersonate starts the program, and returns when it has registered with LTTng. The files are its descriptors from 3 on.
func impersonate(t *testing.T, binary string, files []*os.File, env string) *os.Process {
	t.Helper()
	cmd := exec.Command(binary, "1000", "1")
	cmd.Env = append(os.Environ(), "LTTNG_UST_REGISTER_TIMEOUT=-1", env)
	cmd.ExtraFiles, cmd.Stderr = files, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for _, f := range files {
		_ = f.Close() // it has its own
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the impostor has not registered: %v", err)
	}
	return cmd.Process
}
