//go:build integration

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
)

// TestStockQEMU watches a guest whose QEMU is the distribution's and has no trace points: by what the kernel sees.
func TestStockQEMU(t *testing.T) {
	if err := lab.CheckRoot(); err != nil {
		t.Fatal(err)
	}
	s := newStack(t, lab.Config{Dir: "/run/virtsentry-lab-stock", Guest: "web", QEMU: lab.StockQEMU, DefineOnly: true})
	s.web = s.guest(t, "web")
	h := &probeHelper{stack: s}
	t.Cleanup(h.end)
	for _, step := range []struct {
		name string
		f    func(*testing.T)
	}{
		{"without the helper the guest is blind, and says why", h.testWithout},
		{"with it, all of the guest is seen, learnt and judged", h.testLearn},
		{"a flood is an anomaly", h.testFlood},
		{"a helper that is killed leaves no probe, and the guest is blind until there is one again", h.testKillHelper},
		{"a daemon that is killed leaves no probe", h.testKillDaemon},
	} {
		if !t.Run(step.name, step.f) {
			t.FailNow()
		}
	}
	held := h.holds(t)
	s.stopDaemon(t)
	h.end()
	h.letGo(t, held)
}

// probeHelper is virtsentry-probe.
type probeHelper struct {
	*stack
	cmd *exec.Cmd
}

// start runs it in the lab's network, where libvirt is.
func (h *probeHelper) start(t *testing.T) {
	t.Helper()
	h.cmd = exec.Command(h.build(t, "virtsentry-probe"), "--socket", h.file("probe.sock"), "--run-dir", h.lab.RunLibvirt())
	log, err := os.OpenFile(h.file("probe.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	h.cmd.Stderr = log
	if err := h.lab.Start(h.cmd); err != nil {
		t.Fatal(err)
	}
	h.within(t, "virtsentry-probe listens", func() bool {
		_, err := os.Stat(h.file("probe.sock"))
		return err == nil
	})
}

// kill ends it as no program wants to end.
func (h *probeHelper) kill() {
	_ = h.cmd.Process.Kill() // it may have ended; then letGo finds nothing to wait for either
	_ = h.cmd.Wait()
	h.cmd = nil
}

func (h *probeHelper) end() {
	if h.cmd != nil {
		_ = h.cmd.Process.Signal(syscall.SIGTERM)
		_ = h.cmd.Wait()
		h.cmd = nil
	}
}

// open is how many files the helper has open.
func (h *probeHelper) open(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// links are the eBPF links of the whole host.
func links(t *testing.T) (all []link.ID) {
	t.Helper()
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		all = append(all, it.ID)
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// holds are the eBPF links that the helper has, by what the kernel says of its open files (proc_pid_fdinfo(5)).
func (h *probeHelper) holds(t *testing.T) (held []link.ID) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", h.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have been closed
		for line := range strings.Lines(string(text)) {
			var id link.ID
			if n, _ := fmt.Sscanf(line, "link_id: %d", &id); n == 1 {
				held = append(held, id)
			}
		}
	}
	if len(held) == 0 {
		t.Fatal("the helper holds no eBPF link; want those of the guest's sources")
	}
	return held
}

// letGo makes sure that links are gone from the kernel within five seconds.
func (h *probeHelper) letGo(t *testing.T, held []link.ID) {
	t.Helper()
	var left []link.ID
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all := links(t)
		if left = slices.DeleteFunc(slices.Clone(held), func(id link.ID) bool { return !slices.Contains(all, id) }); len(left) == 0 {
			return
		}
	}
	t.Errorf("eBPF links %v of %v are left", left, held)
}

// sources are those of the guest's status that see something, and all others.
func sources(d control.DomainStatus) (seeing, not []string) {
	for _, x := range d.Sources {
		if x.Error == "" {
			seeing = append(seeing, x.Name)
		} else {
			not = append(not, x.Name+": "+x.Error)
		}
	}
	return seeing, not
}

func (h *probeHelper) testWithout(t *testing.T) {
	h.web.domain(t, (*golibvirt.Domain).Create)
	if err := h.lab.WaitForWeb(t.Context(), h.web.name, patience); err != nil {
		t.Fatal(err)
	}
	h.startDaemon(t)
	h.within(t, "blind for want of the helper", func() bool {
		state, err := h.client.State(h.web.uuid)
		return err == nil && state != nil && state.Value == "blind" && state.Reason.Code == "no-probe-helper" && state.Coverage == "none" &&
			strings.Contains(state.Reason.Text, "virtsentry-probe")
	})
}

func (h *probeHelper) testLearn(t *testing.T) {
	h.start(t)
	state := h.web.await(t, "normal")
	d, _ := h.web.status(t)
	seeing, not := sources(d)
	if state.Coverage != "full" || !slices.Equal(seeing, []string{"tap", "functions"}) || len(not) > 0 {
		t.Errorf("coverage %s, seen by %v, not by %v; want all of it, by tap and functions", state.Coverage, seeing, not)
	}
	if d.Units.Lossy > 0 || d.BufferBytes > 0 || !d.Profile {
		t.Errorf("status %+v", d)
	}
	balanced(t, d)
	// What a unit counts is what the guest does.
	began := time.Now()
	h.web.ping(t, 40)
	h.within(t, "40 packets received and sent", func() bool {
		counts := map[string]uint64{}
		for _, u := range h.heard.since(h.web.uuid, began.Truncate(2*time.Second)) {
			for feature, n := range u.Counts {
				if i := strings.Index(feature, ":len"); i > 0 {
					counts[feature[:i]] += n
				}
			}
		}
		return counts["tap:received"] >= 40 && counts["tap:sent"] >= 40
	})
}

func (h *probeHelper) testFlood(t *testing.T) {
	h.web.await(t, "normal")
	event := time.Now()
	for range 5 {
		h.web.ping(t, 3000)
	}
	h.web.changes(t, event, "anomalous", is("anomalous"))
	state := h.web.await(t, "anomalous")
	network := func(x libvirt.ExplainedFeature) bool {
		return x.Subsystem == "network" && strings.Contains(x.Text, " by the guest")
	}
	if state.Explanation == nil || !slices.ContainsFunc(state.Explanation.Features, network) {
		t.Errorf("explained by %+v; want packets of the guest among it", state.Explanation)
	}
	h.web.await(t, "normal")
}

// fetches asks the guest's web server for a page again and again until f ends, and says how often it answered in a second.
func (h *probeHelper) fetches(t *testing.T, f func()) float64 {
	t.Helper()
	def, err := h.lab.Guest(h.web.name)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: h.lab.DialContext}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	began, n := time.Now(), 0
	for {
		answer, err := client.Get("http://" + def.Addr.String() + "/")
		if err != nil {
			t.Errorf("the guest's web server: %v", err)
			<-done
			return 0
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		n++
		select {
		case <-done:
			return float64(n) / time.Since(began).Seconds()
		default:
		}
	}
}

func (h *probeHelper) testKillHelper(t *testing.T) {
	h.web.judged(t)
	held := h.holds(t)
	pause := func() { time.Sleep(4 * time.Second) }
	before := h.fetches(t, pause)
	event := time.Now()
	during := h.fetches(t, func() { h.kill(); time.Sleep(time.Second) })
	h.letGo(t, held)
	h.web.changes(t, event, "blind", is("blind"))
	after := h.fetches(t, pause)
	t.Logf("pages a second: %.1f before the kill, %.1f during it, %.1f after it", before, during, after)
	event = time.Now()
	h.start(t)
	h.web.changes(t, event, "sees again", func(c hooks.Change) bool { return c.State != "blind" && c.State != "starting" })
	h.web.judgedAfter(t, event)
}

func (h *probeHelper) testKillDaemon(t *testing.T) {
	h.web.judged(t)
	held := h.holds(t)
	_ = h.daemon.Process.Kill()
	_ = h.daemon.Wait()
	h.letGo(t, held)
	h.startDaemon(t)
	h.web.judged(t)
}
