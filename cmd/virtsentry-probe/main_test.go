package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// binary is the command, built as it is shipped: without cgo, since only then can it drop privileges of all its threads.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "virtsentry-probe-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "virtsentry-probe")
	build := exec.Command("../../packaging/go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// patience bounds each wait. A wait ends when what it waits for has come.
const patience = 30 * time.Second

// helper is a running virtsentry-probe.
type helper struct {
	*exec.Cmd
	socket string
	log    bytes.Buffer
}

// start starts one by a command line of which BINARY is a part, and waits until it serves.
func start(t *testing.T, socket string, files []*os.File, line ...string) *helper {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the helper is started as root")
	}
	line = slices.Clone(line)
	for i := range line {
		line[i] = strings.ReplaceAll(line[i], "BINARY", binary)
	}
	h := &helper{Cmd: exec.Command(line[0], line[1:]...), socket: socket}
	h.Stderr, h.ExtraFiles = &h.log, files
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if h.ProcessState == nil {
			_ = h.Process.Kill()
			_ = h.Wait()
		}
		if t.Failed() {
			t.Logf("the helper's log:\n%s", h.log.String())
		}
	})
	await(t, "the helper's answer", func() bool {
		c, err := probe.Dial(t.Context(), socket)
		return err == nil && errors.Join(c.Ping(t.Context()), c.Close()) == nil
	})
	return h
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatal("waited in vain for", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// minimal is what a helper needs to be left of root's capabilities.
var minimal = []string{"setpriv", "--bounding-set", "-all,+bpf,+perfmon,+net_admin", "--inh-caps", "-all", "--", "BINARY"}

// TestPrivileges: no thread of the helper has more than it needs, however it is started, and none can get more.
func TestPrivileges(t *testing.T) {
	for name, line := range map[string][]string{"as root": {"BINARY"}, "with the least": minimal} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h := start(t, filepath.Join(dir, "s"), nil, append(line, "--socket", filepath.Join(dir, "s"), "--run-dir", dir)...)
			tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", h.Process.Pid))
			if err != nil || len(tasks) == 0 {
				t.Fatal(tasks, err)
			}
			const three = "000000c000001000" // CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF
			for _, task := range tasks {
				text, err := os.ReadFile(task)
				if err != nil {
					continue // the thread has ended
				}
				for _, want := range []string{"CapInh:\t0000000000000000", "CapPrm:\t" + three, "CapEff:\t" + three, "CapBnd:\t" + three, "CapAmb:\t0000000000000000", "NoNewPrivs:\t1"} {
					if !strings.Contains(string(text), want+"\n") {
						t.Errorf("%s has not %s:\n%s", task, want, regexp.MustCompile(`(?m)^(Cap|NoNew).*$`).FindAllString(string(text), -1))
					}
				}
			}
			if err := h.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := h.Wait(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(h.log.String(), "no privilege but CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN") {
				t.Errorf("log:\n%s", h.log.String())
			}
			if _, err := os.Stat(h.socket); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket is left: %v", err)
			}
		})
	}
}

func TestRefusesToStart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give capabilities away")
	}
	dir := t.TempDir()
	for name, test := range map[string]struct {
		line []string
		want string
	}{
		"no CAP_BPF":    {[]string{"setpriv", "--bounding-set", "-bpf,-perfmon", "--", binary}, "CAP_BPF, CAP_PERFMON missing"},
		"no net_admin":  {[]string{"setpriv", "--bounding-set", "-net_admin", "--", binary}, "CAP_NET_ADMIN missing: start it as root"},
		"unknown user":  {[]string{binary, "--allow", "no-such-user"}, `no user or group "no-such-user"`},
		"no socket":     {[]string{binary, "--socket", dir}, "no socket: not replaced"},
		"negative time": {[]string{binary, "--idle", "-1s"}, "negative"},
		"log level":     {[]string{binary, "--log-level", "loud"}, "--log-level"},
	} {
		line := test.line
		if name != "no socket" {
			line = append(line, "--socket", filepath.Join(dir, "s"))
		}
		out, err := exec.Command(line[0], line[1:]...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v: %s; want %q", name, err, out, test.want)
		}
	}
}

// TestActivation: with a socket of the service manager, the helper ends when nobody needs it, and leaves the socket.
func TestActivation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	file, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for range 2 {
		h := start(t, path, []*os.File{file}, "sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec BINARY --idle 200ms`)
		if err := h.Wait(); err != nil || !strings.Contains(h.log.String(), "until the next one") {
			t.Errorf("%v; log:\n%s", err, h.log.String())
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// guest is what looks like a domain to the helper: a process of that UUID, and libvirt's files about it.
func guest(t *testing.T, runDir, name, uuid, tap string) int {
	t.Helper()
	q := exec.Command("sh", "-c", "read line", "-uuid", uuid)
	in, err := q.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = q.Wait() })
	pid := strconv.Itoa(q.Process.Pid)
	status := "<domstatus state='running' pid='" + pid + "'><domain type='qemu'><name>" + name + "</name><uuid>" + uuid +
		"</uuid><devices><emulator>/bin/sh</emulator><interface type='network'><target dev='" + tap + "'/></interface></devices></domain></domstatus>"
	for file, text := range map[string]string{name + ".xml": status, name + ".pid": pid} {
		path := filepath.Join(runDir, "qemu", file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return q.Process.Pid
}

const webUUID = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"

// TestCrash: the helper counts packets of a tap device, is killed, or its client is; in either case no program remains on the device, and packets go on
// passing it in both directions.
func TestCrash(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make network devices")
	}
	enterNetwork(t)
	d := newTap(t, "vnet0")
	dir := t.TempDir()
	guest(t, dir, "web", webUUID, "vnet0")
	socket := filepath.Join(dir, "s")
	line := append(slices.Clone(minimal), "--socket", socket, "--run-dir", dir)
	h := start(t, socket, nil, line...)

	var echoed atomic.Int64
	stop := d.echo(t, &echoed)
	defer stop()
	pass := func(when string) {
		t.Helper()
		from := echoed.Load()
		await(t, "packets "+when, func() bool { return echoed.Load() >= from+200 })
		t.Logf("%s: %d packets have passed both ways", when, echoed.Load())
	}
	attach := func() *probe.Client {
		t.Helper()
		c, err := probe.Dial(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Attach(t.Context(), probe.Attach{UUID: webUUID, Sources: []probe.Source{probe.Tap, probe.Syscalls}})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range a.Sources {
			if s.Error != "" {
				t.Fatalf("%s: %s", s.Source, s.Error)
			}
		}
		t.Logf("attached: %+v", a)
		return c
	}
	none := func() bool { return d.programs(t) == 0 }

	pass("before")
	if !none() {
		t.Fatal("there are programs on the device before")
	}
	c := attach()
	if n := d.programs(t); n == 0 {
		t.Error("no program is on the device")
	}
	pass("while they are counted")
	got, err := c.Collect(t.Context(), true)
	if err != nil || len(got.Sources) != 2 || len(got.Sources[0].Units) == 0 {
		t.Fatalf("Collect = %+v, %v", got, err)
	}
	var sum uint64
	for _, u := range got.Sources[0].Units {
		for _, n := range u.Counts {
			sum += n
		}
	}
	if sum < 400 {
		t.Errorf("%d packets were counted", sum)
	}
	t.Logf("%d packets were counted", sum)
	await(t, "the end of the programs after the last units", none)

	c = attach()
	_ = c.Close() // as the kernel does for a client that is killed
	killed := time.Now()
	await(t, "the end of the programs after the client's", none)
	t.Logf("none remains %v after the client's end", time.Since(killed))

	attach()
	if none() {
		t.Error("no program is on the device")
	}
	killed = time.Now()
	if err := h.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.Wait()
	await(t, "the end of the programs after the helper's", none)
	took := time.Since(killed)
	if took > 5*time.Second { // what the product promises
		t.Errorf("programs remained for %v", took)
	}
	t.Logf("none remains %v after the helper was killed", took)
	pass("after")

	h = start(t, socket, nil, line...) // the dead one has left its socket
	c = attach()
	defer func() { _ = c.Close() }()
	idle(t, h, c)
}

// idle reports what a helper with one domain takes, when its units are collected as often as the daemon does.
func idle(t *testing.T, h *helper, c *probe.Client) {
	t.Helper()
	used := func() (ticks int, memory string) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		file, err := os.Open(fmt.Sprintf("/proc/%d/status", h.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "VmRSS") {
				memory = lines.Text()
			}
		}
		return user + system, memory
	}
	before, _ := used()
	const times = 100
	for range times {
		if _, err := c.Collect(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	after, memory := used()
	t.Logf("%d collections took %d ms of CPU; %s", times, 10*(after-before), memory)
}
