package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng"
)

// heavySource is one that has ring buffers.
type heavySource struct {
	fakeSource
	bytes uint64
}

func (h *heavySource) memory() uint64 { return h.bytes }

// A session daemon that hangs while a session is made holds up nothing, and the session that comes too late is ended.
func TestAttachHangs(t *testing.T) {
	s := newSingle(t, testConfig(t))
	late := &heavySource{bytes: 4096}
	release := make(chan struct{})
	s.m.attach = func(libvirt.Domain, qemu.Process, wish) (source, error) {
		<-release
		s.m.buffers.mu.Lock()
		s.m.buffers.used += late.bytes
		s.m.buffers.mu.Unlock()
		return late, nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.obtain(ctx, qemu.Process{PID: 4321, Start: 500})
		ended <- err
	}()
	if err := s.ask(func() error { return nil }); err != nil {
		t.Errorf("a request meanwhile: %v", err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("obtain = %v; want that it was stopped", err)
	}
	s.abandon()
	a := s.attempt
	close(release)
	<-a.closed
	if !late.closed || s.m.buffers.used != 0 {
		t.Errorf("closed %v, %d bytes in use; want the late session to be gone", late.closed, s.m.buffers.used)
	}
	// Now there is room for another one.
	s.m.attach = func(libvirt.Domain, qemu.Process, wish) (source, error) { return s.source, nil }
	if got, err := s.obtain(t.Context(), a.proc); err != nil || got != s.source {
		t.Errorf("obtain = %v, %v; want a source", got, err)
	}
}

// A session that came after its time is used by the next try, and the domain is blind until then.
func TestAttachIsLate(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	release := make(chan struct{})
	second := &fakeSource{}
	second.put(batch{registered: true, units: load(1, time.Now(), 1, 0)})
	first := b.source
	made := 0
	b.mu.Lock()
	b.make = func() (source, error) {
		made++
		<-release
		return second, nil
	}
	b.mu.Unlock()
	first.fail(fmt.Errorf("gone: %w", lttng.ErrNoSession))
	if s := b.await(stateBlind, reasonAttachFailed); s.Reason.Text != errSilent.Error() {
		t.Errorf("reason %q; want that the session daemon does not answer", s.Reason.Text)
	}
	if err := b.watcher(b.domain.UUID).ask(func() error { return nil }); err != nil {
		t.Errorf("a request meanwhile: %v", err)
	}
	close(release)
	b.await(stateLearning, "")
	if made != 1 {
		t.Errorf("%d sessions were made; want the late one to be used", made)
	}
}

// The process that follows is another life's.
func TestOtherProcess(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.drop()
	p := s.m.processes
	for path, text := range map[string]string{
		filepath.Join(p.ProcDir, "5555", "stat"):    "5555 (qemu) S" + strings.Repeat(" 1", 18) + " 900 0\n",
		filepath.Join(p.ProcDir, "5555", "cmdline"): "qemu\x00-uuid\x00" + s.domain.UUID + "\x00",
		filepath.Join(p.RunDir, "qemu", "web.pid"):  "5555\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(p.ProcDir, "4321")); err != nil {
		t.Fatal(err)
	}
	if err := s.tryAttach(t.Context()); !errors.Is(err, qemu.ErrNoProcess) || s.watcher.source != nil {
		t.Errorf("tryAttach = %v, source %v; want ErrNoProcess and none", err, s.watcher.source)
	}
	if s.attach(t.Context()) || s.watch(t.Context(), nil) {
		t.Error("the watcher of a process that has ended goes on")
	}
}

// What was not seen since the guest's birth has the reasons of each time.
func TestBlindFromTheStart(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.m.attach = func(libvirt.Domain, qemu.Process, wish) (source, error) { return nil, lttng.ErrNoSessionDaemon }
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if s.attach(ctx) {
		t.Fatal("attached")
	}
	s.refresh()
	if d := s.status(); d.State != stateBlind || d.Ledger.Reasons[reasonNoDaemon] < 0.5 || d.Ledger.Reasons[reasonLateAttach] < 900 {
		t.Errorf("%s, ledger %+v; want a second without a session daemon, after the time in which there was no daemon at all", d.State, d.Ledger)
	}
	balanced(t, s.status().Ledger)
	s.m.attach = func(libvirt.Domain, qemu.Process, wish) (source, error) { return s.source, nil }
	s.begin()
	if d := s.status(); d.State != stateBlind || d.Reason.Code != reasonNoDaemon {
		t.Errorf("%s %v; want blind until something is seen", d.State, d.Reason)
	}
	s.observe(load(1, time.Now(), 1, 0))
	if d := s.status(); d.State != stateLearning {
		t.Errorf("%s %v; want learning", d.State, d.Reason)
	}
}
