package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

// A collection that fails in any way leaves no state standing, and the session is made anew when it does not recover.
func TestFailingCollections(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	first := b.source
	second := &fakeSource{next: batch{registered: true, units: load(1, time.Now(), 1, 0)}}
	b.mu.Lock()
	b.source = second
	b.mu.Unlock()
	first.mu.Lock()
	first.err = errors.New("the consumer is gone")
	first.mu.Unlock()
	b.await(stateBlind, reasonCollectFailed)
	b.await(stateLearning, "")
	first.mu.Lock()
	defer first.mu.Unlock()
	if !first.closed {
		t.Error("the session that failed was not ended")
	}
}

// An event of a domain's earlier life does not end the watching of the present one.
func TestLateStopped(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	w := b.watcher(b.domain.UUID)
	b.event(t.Context(), libvirt.Event{Kind: libvirt.Stopped, Domain: b.domain}, now())
	time.Sleep(100 * time.Millisecond)
	if now := b.watcher(b.domain.UUID); now != w || w.stopping.Load() {
		t.Errorf("watcher %p, stopping %v; want the same one, not stopping", now, w.stopping.Load())
	}
}

// What a client reads is not changed while it reads.
func TestStatusWhileJudging(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	ctx, stop := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() {
		for ctx.Err() == nil {
			if _, err := json.Marshal(b.Domains()); err != nil {
				t.Error(err)
			}
		}
	})
	b.source.put(batch{units: load(100, time.Now().Add(200*time.Second), 20, 0)})
	b.await(stateAnomalous, "")
	stop()
	reader.Wait()
}

func TestRecorderEndsInTime(t *testing.T) {
	release := make(chan struct{})
	var mu sync.Mutex
	var written []string
	r := newRecorder("state", func(s libvirt.State) error {
		<-release
		mu.Lock()
		defer mu.Unlock()
		written = append(written, s.Value)
		return nil
	}, silent())
	ctx, stop := context.WithCancel(t.Context())
	r.start(ctx)
	for _, v := range []string{"a", "b", "c"} {
		r.put(libvirt.State{Value: v})
	}
	stop()
	close(release)
	r.finish()
	mu.Lock()
	defer mu.Unlock()
	if n := len(written); n == 0 || written[n-1] != "c" {
		t.Errorf("written %v; want the newest last", written)
	}
}

// What was refused while the domain was being started is written again, but never over newer news.
func TestRecorderRetry(t *testing.T) {
	refuse := true
	var written []string
	r := newRecorder("state", func(s libvirt.State) error {
		if refuse {
			return libvirt.ErrNoDomain
		}
		written = append(written, s.Value)
		return nil
	}, silent())
	r.put(libvirt.State{Value: "old"})
	r.flush()
	refuse = false
	r.retry()
	r.flush()
	if len(written) != 1 || written[0] != "old" {
		t.Errorf("written %v; want the state that was refused", written)
	}

	refuse = true
	r.put(libvirt.State{Value: "older"})
	r.flush()
	refuse = false
	r.put(libvirt.State{Value: "newer"})
	r.retry()
	r.flush()
	if last := written[len(written)-1]; last != "newer" || len(written) != 2 {
		t.Errorf("written %v; want nothing after the newer state", written)
	}
}

// A source that hangs does not hold up its caller, and what comes late is not lost.
func TestPatient(t *testing.T) {
	slow := &fakeSource{next: batch{registered: true, units: load(1, time.Now(), 1, 0)}}
	slow.mu.Lock()
	p := &patient{source: slow}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.collect(over, false); !errors.Is(err, errSilent) {
		t.Errorf("collect from a source that hangs = %v; want errSilent", err)
	}
	slow.mu.Unlock()
	b, err := p.finish(t.Context())
	if err != nil || len(b.units) != 1 || !slow.finished {
		t.Errorf("finish = %+v, %v; want the unit that came late", b, err)
	}
}

func TestOneDaemonADirectory(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	if err := b.MarkStopped(); err == nil {
		t.Error("MarkStopped beside a daemon that runs: no error")
	}
	b.await(stateLearning, "")
	b.end()
	if err := b.MarkStopped(); err != nil {
		t.Error(err)
	}
}

// A write that fails because the domain's modify job is taken is tried again until it succeeds.
func TestRecorderBusyJob(t *testing.T) {
	busy := 3
	var written []string
	r := newRecorder("state", func(s libvirt.State) error {
		if busy > 0 {
			busy--
			return errors.New("cannot acquire state change lock")
		}
		written = append(written, s.Value)
		return nil
	}, silent())
	r.keeps = true
	r.put(libvirt.State{Value: "anomalous"})
	for range 3 {
		if r.flush() != recordRetry || r.settled() != nil {
			t.Fatal("a write that failed is not tried again, or taken for written")
		}
	}
	if r.flush() != 0 || len(written) != 1 || r.settled().Value != "anomalous" {
		t.Errorf("written %v; want the state once", written)
	}
}

// What another process reports by the QEMU's process ID is neither learnt nor judged, and is an incident until the QEMU itself reports again.
func TestIdentity(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	mistaken := &fakeSource{err: &lttng.IdentityError{PID: 4321, Others: []lttng.Process{{PID: 666, Name: "impostor"}}}}
	first := b.source
	b.mu.Lock()
	b.source = mistaken
	b.mu.Unlock()
	first.mu.Lock()
	first.err = mistaken.err
	first.mu.Unlock()
	b.await(stateBlind, reasonIdentity)
	d := b.within("the incident", func(d control.DomainStatus) bool { return len(d.Incidents) == 1 })
	if i := d.Incidents[0]; i.Kind != incidentIdentity || !strings.Contains(i.Text, "process 666") {
		t.Errorf("incident %+v; want one of identity that names process 666", i)
	}
	b.within("the session is made anew, and no better", func(control.DomainStatus) bool {
		mistaken.mu.Lock()
		defer mistaken.mu.Unlock()
		return mistaken.closed
	})
	if d := b.within("status", func(control.DomainStatus) bool { return true }); d.State != stateBlind || d.Reason.Code != reasonIdentity {
		t.Errorf("state %s %v between two sessions; want blind still", d.State, d.Reason)
	}
	second := &fakeSource{next: batch{registered: true, units: load(1, time.Now().Add(time.Minute), 1, 0)}}
	b.mu.Lock()
	b.source = second
	b.mu.Unlock()
	b.await(stateLearning, "")
	if d := b.within("status", func(control.DomainStatus) bool { return true }); len(d.Incidents) != 0 || d.LearntUnits != 1 {
		t.Errorf("status %+v; want no incident, and one unit learnt", d)
	}
}

// There is a goroutine while something is to be written, and none is left behind.
func TestRecorderRests(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	written := make(chan string)
	r := newRecorder("state", func(s libvirt.State) error { written <- s.Value; return nil }, silent())
	r.put(libvirt.State{Value: "early"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r.start(ctx)
	for i, want := range []string{"early", "a", "b"} {
		if i > 0 {
			r.put(libvirt.State{Value: want})
		}
		if got := <-written; got != want {
			t.Errorf("written %s; want %s", got, want)
		}
		resting := func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.ended == nil }
		for end := time.Now().Add(10 * time.Second); !resting(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("its goroutine does not end")
			}
		}
	}
	stop()
	r.finish()
	r.put(libvirt.State{Value: "late"}) // nobody writes it
}

// What the watcher of a process that has ended had still to write does not reach the domain's next life.
func TestRecorderDiscards(t *testing.T) {
	busy := true
	var shown string
	write := func(s libvirt.State) error {
		if busy {
			return errors.New("cannot acquire state change lock")
		}
		shown = s.Value
		return nil
	}
	old, next := newRecorder("state", write, silent()), newRecorder("state", write, silent())
	old.put(libvirt.State{Value: "anomalous"}) // and the job is taken; then the domain is destroyed and started
	old.flush()
	busy = false
	next.put(libvirt.State{Value: "starting"})
	next.flush()
	old.discard()
	old.put(libvirt.State{Value: "normal"})
	old.retry()
	old.flush()
	over, stop := context.WithCancel(t.Context())
	stop()
	old.start(over)
	old.finish()
	if shown != "starting" {
		t.Errorf("libvirt shows %q of the domain's new life", shown)
	}
}

// The domain's watcher is silent once the domain has stopped, but not when the daemon ends.
func TestStoppedIsSilent(t *testing.T) {
	for ending, want := range map[bool]bool{true: false, false: true} {
		s := newSingle(t, testConfig(t))
		s.m.ending.Store(ending)
		s.stop()
		if s.record.discarded() != want || s.publish.discarded() != want {
			t.Errorf("daemon ends %v: silent %v, %v; want %v", ending, s.record.discarded(), s.publish.discarded(), want)
		}
	}
}

// A write that waits for the domain's modify job does not hold up the daemon's end.
func TestRecorderDoesNotWait(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{})
	r := newRecorder("state", func(libvirt.State) error { close(begun); <-release; return errors.New("in vain") }, silent())
	ctx, stop := context.WithCancel(t.Context())
	r.start(ctx)
	r.put(libvirt.State{Value: "a"})
	<-begun
	stop()
	ended := make(chan struct{})
	go func() {
		r.finish()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(4 * recordLast):
		t.Error("finish goes on waiting")
	}
	r.put(libvirt.State{Value: "b"})
	close(release) // a second write would close begun again
}

// A watcher that is younger than the list of running domains is not stopped because its domain is not in it.
func TestReconcileSparesTheYoung(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	other := libvirt.Domain{UUID: "11111111-f6a4-8304-79aa-97f2502e193f", Name: "other"}
	young, err := newWatcher(other, b.Monitor)
	if err != nil {
		t.Fatal(err)
	}
	young.cancel = func() {}
	b.policyMu.Lock() // reconcile has its list, and is at the first domain
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.reconcile(t.Context(), b.client)
	}()
	time.Sleep(300 * time.Millisecond)
	b.mu.Lock()
	b.watchers[other.UUID] = young // as m.starts does by m.watch
	b.mu.Unlock()
	b.policyMu.Unlock()
	<-done
	if young.stopping.Load() {
		t.Error("the young watcher was stopped")
	}
	b.reconcile(t.Context(), b.client)
	if !young.stopping.Load() {
		t.Error("a watcher whose domain does not run was not stopped")
	}
	b.mu.Lock()
	delete(b.watchers, other.UUID)
	b.mu.Unlock()
}

// What libvirt has refused is written when the domain is found to run.
func TestReconcileRetries(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	r := b.watcher(b.domain.UUID).record
	b.within("the write is over", func(control.DomainStatus) bool { return r.settled() != nil })
	r.mu.Lock()
	s := *r.written
	s.Value = stateSuspect
	r.written, r.refused = nil, &s
	r.mu.Unlock()
	b.reconcile(t.Context(), b.client)
	b.await(stateSuspect, "")
}

// Policies are those of the domains that there are.
func TestPoliciesAreForgotten(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	const gone = "11111111-f6a4-8304-79aa-97f2502e193f"
	b.policyMu.Lock()
	b.policies[gone] = policy{err: errors.New("level")}
	b.policyMu.Unlock()
	b.reconcile(t.Context(), b.client)
	b.policyMu.Lock()
	defer b.policyMu.Unlock()
	if _, kept := b.policies[gone]; kept {
		t.Error("the policy of a domain that is no more is kept")
	}
}

// What takes effect only after a restart is not in force before.
func TestReloadKeepsTheRest(t *testing.T) {
	b := New(testConfig(t), testSet, libsvm.Engine{}, silent())
	other := b.cfg
	other.Hooks.Dir, other.Judging.Engine, other.Learning.Units = "/elsewhere", "libsvm-go", 99
	late := b.Reload(other)
	if diff := cmp.Diff([]string{"hooks.dir", "judging.engine"}, late); diff != "" {
		t.Errorf("Reload (-want +got):\n%s", diff)
	}
	if now := b.live.Load(); now.Hooks.Dir != b.cfg.Hooks.Dir || now.Judging.Engine != b.cfg.Judging.Engine || now.Learning.Units != 99 {
		t.Errorf("in force: %+v", now)
	}
}
